//! What those do who run the core's tasks.

use pool_core::ErrorKind;
use pool_core::core::{ConnectFailure, Operation, Phase, Purpose, SlotId, Task};

use super::End;
use super::books::Entry;
use super::borrowers::pick;
use super::facts::{Facts, Running, Work, least};
use super::handle::Handle;
use super::harness::Harness;
use super::violation::Checked;
use crate::FakeError;

impl Harness {
    /// Starts one task; false where there is none.
    pub(super) fn start(&mut self) -> Checked<bool> {
        let promised = self.core.has_task(self.now);
        let Some(task) = self.core.poll_task(self.now) else {
            ensure!(!self.core.has_task(self.now), "I30", "a task is promised and not given");
            self.observe()?;
            return Ok(false);
        };
        ensure!(promised, "I30", "a task nobody was told of: {task:?}");
        let (slot, work, session, deadline, limit) = match task {
            Task::Connect { slot, deadline } => {
                (slot, Work::Connect, None, deadline, self.setup.connect_timeout)
            }
            Task::Check { slot, purpose, session, deadline } => {
                let limit = self.setup.check_timeout;
                (slot, Work::Check(purpose), Some(session), deadline, limit)
            }
            Task::Reset { slot, session, deadline } => {
                (slot, Work::Reset, Some(session), deadline, self.setup.reset_timeout)
            }
            Task::Close { slot, session, deadline, .. } => {
                (slot, Work::Close, Some(session), deadline, self.setup.close_timeout)
            }
        };
        // Of closes too: their time does not run while they wait for their turn (I39).
        let in_time = deadline == self.now.checked_add(limit);
        ensure!(in_time, "I19", "{work:?} until {deadline:?}");
        ensure!(!self.is_worked_on(slot), "I32", "{work:?} beside another task of {slot:?}");
        if let Some(session) = &session {
            session.use_it(|| ());
            self.check_task(work, session.id)?;
        }
        self.running.push(Running {
            slot,
            work,
            session,
            deadline,
            given_up: false,
            interrupted: None,
            holds_up: None,
            evicted: false,
        });
        match work {
            Work::Connect => self.use_leave()?,
            Work::Check(Purpose::Keepalive) => self.tally.keepalives += 1,
            Work::Check(Purpose::Watch) | Work::Reset | Work::Close => {}
            Work::Check(_) => self.tally.checks += 1,
        }
        self.tally.connects += u64::from(work == Work::Connect);
        let before = self.observe()?;
        if work == Work::Connect {
            self.check_connect(&before)?;
            self.vain = false;
        }
        ensure!(before.stats.waiting == self.book.stats.waiting, "I13", "a task took a waiter");
        Ok(true)
    }

    fn check_task(&mut self, work: Work, id: u64) -> Checked {
        let Some(facts) = self.facts.get_mut(&id) else {
            ensure!(false, "I6", "a task with an unknown session");
            return Ok(());
        };
        if work == Work::Close {
            facts.dead = Some("it was closed");
            return Ok(());
        }
        ensure!(facts.dead.is_none(), "I7", "{work:?} although {:?}", facts.dead);
        ensure!(!self.closed, "I24", "{work:?} after close");
        if let (Work::Check(Purpose::Keepalive), Some(interval)) =
            (work, self.setup.keepalive_interval)
        {
            let silent = facts.silent(self.now);
            ensure!(silent >= least(&self.setup, interval), "I22", "pinged after {silent:?}");
        }
        if work == Work::Check(Purpose::Watch) {
            let interval = self.setup.watch_interval.unwrap_or_default();
            let unseen = facts.unseen(self.now);
            ensure!(unseen >= least(&self.setup, interval), "I22", "looked at after {unseen:?}");
        }
        Ok(())
    }

    pub(super) fn start_all(&mut self) -> Checked {
        while self.start()? {}
        self.check_started()
    }

    /// Tells the time and starts every task.
    pub(super) fn start_due(&mut self) -> Checked {
        self.tick()?;
        self.start_all()?;
        self.check_keepalives()
    }

    /// I11, I34, I39: with every task started, what waits to be started has a reason to wait.
    fn check_started(&self) -> Checked {
        let waits = |entry: &&Entry| !self.is_worked_on(entry.slot);
        let waiting = |which: &dyn Fn(&Entry) -> bool| {
            self.book.slots.iter().filter(waits).filter(|entry| which(entry)).count()
        };
        let bound = self.most_hung();
        let most = self.setup.max_maintaining;
        // Those that were told to end count for those that hang, soon.
        let busy = |which: &dyn Fn(Work) -> bool| {
            let here = |task: &&Running| self.book.entry(task.slot).is_some();
            let runs = |task: &&Running| task.interrupted.is_none() && which(task.work);
            self.running.iter().filter(here).filter(runs).count()
        };
        let closes = waiting(&|entry| matches!(entry.phase, Phase::Closing | Phase::Orphan));
        let free = busy(&|work| work == Work::Close) < self.setup.max_closing;
        let free = free && self.hung(Operation::Close) < bound;
        ensure!(closes == 0 || !free, "I39", "{closes} closes are not started");
        let resets = waiting(&|entry| entry.phase == Phase::Resetting);
        let free = busy(&|work| work == Work::Reset) < most;
        ensure!(resets == 0 || !free, "I11", "{resets} resets are not started");
        let checks = waiting(&|entry| entry.purpose == Some(Purpose::Lend));
        let free = busy(&|work| work == Work::Check(Purpose::Lend)) < most;
        ensure!(checks == 0 || !free, "I11", "{checks} checks are not started");
        self.check_connects_started()
    }

    fn check_connects_started(&self) -> Checked {
        let stats = &self.book.stats;
        let open = stats.open() < self.max_size && !self.closed && stats.connecting == 0;
        let free = self.gate.is_over(self.now) && self.leave.permits();
        let free = free && self.hung(Operation::Connect) < self.most_hung();
        if !open || !free {
            return Ok(());
        }
        let queued = self.book.queued();
        // A keepalive under way serves borrowers as well, and a look is over at once.
        let serves = |purpose| matches!(purpose, Some(Purpose::Keepalive | Purpose::Watch));
        let kept = |entry: &&Entry| serves(entry.purpose);
        let kept = self.book.slots.iter().filter(kept).count();
        let supply = stats.resetting + self.book.lend_checks().count() + kept;
        ensure!(queued == 0 || supply > 0, "I11", "{queued} wait, and nothing is opened");
        if self.gate.permanent {
            return Ok(());
        }
        let overdue = self.book.slots.iter().filter(|entry| {
            entry.stays() && self.facts_of(entry.slot).is_some_and(|facts| facts.overdue)
        });
        let overdue = overdue.count();
        ensure!(overdue == 0, "I34", "{overdue} sessions past their lifetime have no successor");
        let (staying, warm) = (self.book.staying(), self.warm);
        ensure!(staying >= warm, "I20", "{staying} open of {warm} that somebody waits for");
        Ok(())
    }

    pub(super) fn end_task(&mut self, n: u8, end: End) -> Checked {
        let Some(pick) = pick(n, self.running.len()) else { return Ok(()) };
        let task = self.running.remove(pick);
        let slot = task.slot;
        self.ended = Some(slot);
        let Some(session) = task.session else {
            return self.end_connect(slot, end, task.given_up, task.evicted);
        };
        let entry = self.book.entry(slot).copied();
        let id = session.id;
        // Whether its answer says anything: its slot is not closing.
        let counts = entry.is_some_and(|entry| entry.phase != Phase::Closing);
        match task.work {
            Work::Close => {
                self.dropped += 1;
                drop(session);
                self.core.closed(slot, self.now);
            }
            _ if end == End::Lost => {
                self.dropped += 1;
                drop(session);
                if let Some(facts) = self.facts.get_mut(&id) {
                    facts.dead = Some("its task was lost");
                }
                self.core.lost(slot, self.now);
            }
            work => {
                session.use_it(|| ());
                let ok = end == End::Ok;
                if counts && !task.given_up {
                    self.note_answer(id, work, ok);
                }
                let session = self.hand_back(session);
                match work {
                    Work::Reset => self.core.reset_done(slot, session, ok, self.now),
                    _ => self.core.checked(slot, session, ok, self.now),
                }
            }
        }
        let before = self.observe()?;
        let late = task.given_up && entry.is_none();
        let same = before.slots_of_the_pool() == self.book.slots_of_the_pool();
        ensure!(!late || same, "I4", "a late end changed the slots");
        Ok(())
    }

    fn note_answer(&mut self, id: u64, work: Work, ok: bool) {
        let now = self.now;
        let Some(facts) = self.facts.get_mut(&id) else { return };
        match (ok, work) {
            (true, Work::Reset) => facts.used(now),
            (true, Work::Check(Purpose::Watch)) => {
                facts.watched = now;
                self.look_was_good(id);
            }
            (true, _) => {
                facts.answered(now);
                self.look_was_good(id);
            }
            (false, _) => {
                facts.dead = Some("it failed");
                if work != Work::Reset {
                    self.tally.check_failures += 1;
                    self.look_failed(id);
                }
            }
        }
    }

    fn end_connect(&mut self, slot: SlotId, end: End, given_up: bool, evicted: bool) -> Checked {
        let mut failed = None;
        match end {
            End::Ok => {
                let session = Handle::new(&self.truth, &self.handles);
                let mut facts = Facts { evicted, ..Facts::new(self.now) };
                if given_up {
                    facts.dead = Some("it came too late");
                } else {
                    self.home.insert(slot, session.id);
                    self.limits.born(slot);
                    self.gate.opened();
                }
                self.facts.insert(session.id, facts);
                self.tally.created += 1;
                self.core.connected(slot, session, self.now);
            }
            End::Fail(kind) => {
                failed = Some(kind);
                let failure = ConnectFailure::Error(FakeError(kind));
                self.core.connect_failed(slot, kind, failure, self.now);
            }
            End::Lost => {
                failed = Some(ErrorKind::Transient);
                let failure = ConnectFailure::Panicked;
                self.core.connect_failed(slot, ErrorKind::Transient, failure, self.now);
            }
        }
        let first = self.book.stats.counters.created == 0;
        if let Some(kind) = failed.filter(|_| !given_up) {
            self.connect_failed(kind);
        }
        let before = self.observe()?;
        if given_up {
            let same = before.slots_of_the_pool() == self.book.slots_of_the_pool();
            ensure!(same, "I4", "a late connect changed the slots");
            ensure!(before.queue == self.book.queue, "I4", "a late connect changed the queue");
        } else {
            let nobody_there =
                failed == Some(ErrorKind::Unreachable) && first && self.setup.fail_fast;
            let hopeless = failed == Some(ErrorKind::Permanent) || nobody_there;
            let left = self.book.queued();
            ensure!(!hopeless || left == 0, "I18", "waiters outlived {failed:?}");
            let told = self.news.progress || self.warm == 0;
            ensure!(told, "I20", "who waits for a warm pool was not told of {slot:?}");
            self.check_succession(&before, failed.is_none())?;
        }
        Ok(())
    }
}
