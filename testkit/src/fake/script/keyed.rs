//! What the hub of a keyed pool does to the core of one key, and the rules for it.

use pool_core::CloseReason;
use pool_core::core::Phase;

use super::Keyed;
use super::books::Book;
use super::breach::Checked;
use super::harness::Harness;

/// What the core may do, by the leave of its hub.
#[derive(Debug)]
pub(super) struct Leave {
    /// How many more connects may start; `None` is no limit.
    connects: Option<u8>,
    /// What becomes idle is given up.
    yielding: bool,
    /// One is given up in this step.
    giving: bool,
}

impl Leave {
    pub(super) fn new(keyed: bool) -> Self {
        Self { connects: keyed.then_some(0), yielding: false, giving: false }
    }
}

impl Harness {
    pub(super) fn keyed(&mut self, op: Keyed) -> Checked {
        match op {
            Keyed::Allow(connects) => self.allow(Some(connects)),
            Keyed::AllowAll => self.allow(None),
            Keyed::Stop => self.stop(),
            Keyed::Yield(_) => Ok(()),
            Keyed::GiveUp => self.give_up_one(),
            Keyed::Turn(places, _) => self.turn(places),
        }
    }

    /// All that a pool of its own may do.
    pub(super) fn give_leave(&mut self) -> Checked {
        if self.setup.keyed {
            self.allow(None)?;
        }
        Ok(())
    }

    pub(super) fn use_leave(&mut self) -> Checked {
        if let Some(left) = &mut self.leave.connects {
            ensure!(*left > 0, "I16", "a connect without leave");
            *left -= 1;
        }
        Ok(())
    }

    /// What a hub relies on: a core that is held back says so, and never closes what it was not
    /// asked for.
    pub(super) fn check_leave(&self, before: &Book) -> Checked {
        let starved = self.core.is_starved();
        let held = self.leave.connects == Some(0);
        ensure!(!starved || held, "I16", "starves although it may connect");
        let displaced = |reason: &CloseReason| *reason == CloseReason::Displaced;
        let displaced = self.news.closed.iter().filter(|(reason, _)| displaced(reason)).count();
        let asked = self.leave.yielding || (self.leave.giving && displaced == 1);
        ensure!(displaced == 0 || asked, "I20", "{displaced} displaced without need");
        if self.leave.yielding && before.queued() == 0 {
            for slot in self.book.in_phase(Phase::Idle) {
                let was = before.phase(slot);
                // A promise that nobody collects is no new session, so it may stay.
                let old = matches!(was, Some(Phase::Idle | Phase::Reserved));
                ensure!(old, "I20", "{slot:?} stays idle, was {was:?}, and others starve");
            }
        }
        Ok(())
    }

    fn allow(&mut self, connects: Option<u8>) -> Checked {
        let busy = self.core.has_task(self.now);
        let starved = self.core.is_starved();
        self.leave.connects = connects;
        self.core.allow_connects(connects.map_or(usize::MAX, usize::from));
        let due = self.core.has_task(self.now);
        ensure!(busy || starved || !due, "I11", "it was held back and did not say so");
        let free = starved && self.gate.is_over(self.now);
        ensure!(!free || due, "I11", "it starved and has nothing to open");
        self.observe().map(drop)
    }

    fn stop(&mut self) -> Checked {
        self.leave.connects = Some(0);
        self.core.stop_connects();
        self.observe().map(drop)
    }

    fn give_up_one(&mut self) -> Checked {
        let idle = self.book.in_phase(Phase::Idle);
        let oldest = idle.filter_map(|slot| Some(self.facts_of(slot)?.used)).min();
        let spare = oldest.filter(|_| self.book.queued() == 0);
        let told = self.core.spare_since();
        ensure!(told == spare, "I23", "can spare one since {told:?}, not {spare:?}");
        if spare.is_none() {
            return Ok(());
        }
        self.leave.giving = true;
        self.core.give_up_one(self.now);
        let before = self.observe()?;
        self.leave.giving = false;
        let left = |slot: &_| before.phase(*slot) == Some(Phase::Idle);
        let gone = self.book.in_phase(Phase::Closing).find(left);
        let used = gone.and_then(|slot| Some(self.facts_of(slot)?.used));
        ensure!(used == oldest, "I23", "gave up {gone:?}, used {used:?} and not {oldest:?}");
        Ok(())
    }

    fn turn(&mut self, places: u8) -> Checked {
        self.allow(Some(places))?;
        self.start_due()?;
        self.stop()
    }
}
