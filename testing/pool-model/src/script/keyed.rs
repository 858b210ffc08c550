//! What the hub of a keyed pool does to the core of one key, and the rules for it.

use pool_core::CloseReason;
use pool_core::core::Phase;

use super::Keyed;
use super::books::{Book, Entry};
use super::harness::Harness;
use super::violation::Checked;

/// What the core may do, by the leave of its hub.
#[derive(Debug)]
pub(super) struct Leave {
    /// How many more connects may start; `None` is no limit.
    connects: Option<u8>,
    /// One is given up in this step.
    giving: bool,
}

impl Leave {
    pub(super) fn new(keyed: bool) -> Self {
        Self { connects: keyed.then_some(0), giving: false }
    }

    /// Whether a connect may start.
    pub(super) fn permits(&self) -> bool {
        self.connects != Some(0)
    }
}

impl Harness {
    pub(super) fn keyed(&mut self, op: Keyed) -> Checked {
        match op {
            Keyed::Allow(connects) => self.allow(Some(connects)),
            Keyed::AllowAll => self.allow(None),
            Keyed::Stop => self.stop(),
            Keyed::GiveUp => self.give_up_one(),
            Keyed::Turn(places) => self.turn(places),
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
        ensure!(!starved || !self.leave.permits(), "I16", "starves although it may connect");
        let displaced = self.news.closed.iter().filter(|end| end.1 == CloseReason::Displaced);
        let displaced = displaced.count();
        let leaving = |entry: &&Entry| entry.retiring == Some(CloseReason::Displaced);
        let asked = before.slots.iter().filter(leaving).count() + usize::from(self.leave.giving);
        ensure!(displaced <= asked, "I20", "{displaced} displaced without need");
        Ok(())
    }

    fn allow(&mut self, connects: Option<u8>) -> Checked {
        let busy = self.core.has_task(self.now);
        let starved = self.core.is_starved();
        self.leave.connects = connects;
        self.core.allow_connects(connects.map_or(usize::MAX, usize::from));
        let due = self.core.has_task(self.now);
        ensure!(busy || starved || !due, "I11", "it was held back and did not say so");
        let free = starved && self.gate.is_over(self.now) && self.leave.permits();
        ensure!(!free || due, "I11", "it starved and has nothing to open");
        self.observe().map(drop)
    }

    fn stop(&mut self) -> Checked {
        self.leave.connects = Some(0);
        self.core.stop_connects();
        self.observe().map(drop)
    }

    fn give_up_one(&mut self) -> Checked {
        let since = |slot| Some(self.facts_of(slot)?.since);
        let oldest = self.book.in_phase(Phase::Idle).filter_map(since).min();
        let spare = oldest.filter(|_| self.book.queued() == 0);
        let told = self.core.spare_since();
        ensure!(told == spare, "I23", "can spare one since {told:?}, not {spare:?}");
        self.leave.giving = true;
        let given = self.core.give_up_one(self.now);
        let before = self.observe()?;
        self.leave.giving = false;
        let lent =
            |entry: &&Entry| entry.stays() && matches!(entry.phase, Phase::Lent | Phase::Reserved);
        let some = oldest.is_some() || before.slots.iter().any(|entry| lent(&entry));
        ensure!(given == some, "I37", "gave one up: {given}");
        if oldest.is_some() {
            let left = |slot: &_| before.phase(*slot) == Some(Phase::Idle);
            let gone = self.book.in_phase(Phase::Closing).find(left);
            let used = gone.and_then(|slot| Some(self.facts_of(slot)?.since));
            ensure!(used == oldest, "I23", "gave up {gone:?}, used {used:?} and not {oldest:?}");
        } else if given {
            let least = before.slots.iter().filter(lent).map(|entry| entry.leases).min();
            let stays = |entry: &&Entry| {
                lent(entry) && self.book.entry(entry.slot).is_some_and(Entry::stays)
            };
            let gone = before.slots.iter().filter(lent).find(|entry| !stays(entry));
            let right = gone.map(|entry| entry.leases) == least;
            ensure!(right, "I37", "gave up {gone:?}, the least have {least:?}");
        }
        Ok(())
    }

    fn turn(&mut self, places: u8) -> Checked {
        self.allow(Some(places))?;
        self.start_due()?;
        self.stop()
    }
}
