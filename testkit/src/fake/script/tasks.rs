//! What those do who run the core's tasks and mind its clock.

use std::time::Duration;

use pool_core::core::{ConnectFailure, Phase, Purpose, Task};
use pool_core::{CloseReason, ErrorKind};

use super::End;
use super::books::{Facts, Running, Work, least};
use super::breach::Checked;
use super::harness::Harness;
use super::inputs::pick;
use crate::fake::{FakeError, FakeSession};

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
        let in_time = deadline == self.now.checked_add(limit);
        ensure!(in_time, "I19", "{work:?} until {deadline:?}");
        if let Some(session) = &session {
            session.use_it(|| ());
            self.check_task(work, session)?;
        }
        let task = Running { slot, work, session, deadline, given_up: false, evicted: false };
        self.running.push(task);
        self.tally.connects += u64::from(work == Work::Connect);
        match work {
            Work::Connect => self.use_leave()?,
            Work::Check(Purpose::Keepalive) => self.tally.keepalives += 1,
            Work::Check(_) => self.tally.checks += 1,
            Work::Reset | Work::Close => {}
        }
        let before = self.observe()?;
        match work {
            Work::Connect => self.check_connect(&before.stats),
            _ => Ok(()),
        }?;
        ensure!(before.stats.waiting == self.book.stats.waiting, "I13", "a task took a waiter");
        Ok(true)
    }

    fn check_task(&mut self, work: Work, session: &FakeSession) -> Checked {
        let Some(facts) = self.facts.get_mut(&session.id) else {
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
        Ok(())
    }

    pub(super) fn start_all(&mut self) -> Checked {
        while self.start()? {}
        Ok(())
    }

    /// Tells the time and starts every task.
    pub(super) fn start_due(&mut self) -> Checked {
        self.tick()?;
        self.start_all()?;
        self.check_keepalives()
    }

    /// After a tick and with every task started, no keepalive is overdue.
    fn check_keepalives(&self) -> Checked {
        let Some(interval) = self.setup.keepalive_interval else { return Ok(()) };
        let full = self.count_running(Work::is_upkeep) >= self.setup.max_maintaining;
        if full || self.went_back {
            return Ok(());
        }
        let over = |limit: Option<Duration>, age: Duration| {
            limit.is_some_and(|limit| age >= least(&self.setup, limit))
        };
        for slot in self.book.in_phase(Phase::Idle) {
            let Some(facts) = self.facts_of(slot) else { continue };
            // It is to be closed, or was until a moment ago, and waits for the next tick that may.
            let unused = self.now.saturating_duration_since(facts.used);
            let aged = over(self.setup.max_lifetime, facts.age(self.now));
            if aged || over(self.setup.idle_timeout, unused) {
                continue;
            }
            let silent = facts.silent(self.now);
            ensure!(silent < interval, "I22", "{slot:?} is silent for {silent:?}");
        }
        Ok(())
    }

    pub(super) fn end_task(&mut self, n: u8, end: End) -> Checked {
        let Some(pick) = pick(n, self.running.len()) else { return Ok(()) };
        let Running { slot, work, session, given_up, evicted, .. } = self.running.remove(pick);
        match (work, session) {
            (Work::Connect, _) => {
                return self.end_connect(slot, end, given_up, evicted);
            }
            (Work::Close, session) => {
                self.dropped += 1;
                drop(session);
                self.core.closed(slot, self.now);
            }
            (_, Some(session)) if end == End::Lost => {
                self.dropped += 1;
                drop(session);
                self.core.lost(slot, self.now);
            }
            (_, Some(session)) => {
                session.use_it(|| ());
                let facts = self.facts.get_mut(&session.id);
                match (facts, end == End::Ok && !given_up, work) {
                    (Some(facts), true, Work::Reset) => facts.used(self.now),
                    (Some(facts), true, _) => facts.answered(self.now),
                    (Some(facts), false, _) if !given_up => facts.dead = Some("it failed"),
                    _ => {}
                }
                match work {
                    Work::Reset => {
                        self.core.reset_done(slot, Some(session), end == End::Ok, self.now)
                    }
                    _ => self.core.checked(slot, Some(session), end == End::Ok, self.now),
                }
            }
            _ => {}
        }
        let before = self.observe()?;
        let late = given_up && before.phase(slot).is_none();
        ensure!(!late || before.slots == self.book.slots, "I4", "a late end changed the slots");
        Ok(())
    }

    fn end_connect(
        &mut self,
        slot: pool_core::core::SlotId,
        end: End,
        given_up: bool,
        evicted: bool,
    ) -> Checked {
        let mut failed = None;
        match end {
            End::Ok => {
                let session = FakeSession::new(&self.truth);
                let mut facts = Facts { evicted, ..Facts::new(self.now) };
                if given_up {
                    facts.dead = Some("it came too late");
                } else {
                    self.home.insert(slot, session.id);
                    self.gate = super::gate::GateModel::new();
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
        if let Some(kind) = failed.filter(|_| !given_up) {
            self.permanents += u64::from(kind == ErrorKind::Permanent);
            self.gate.failed(&self.setup, kind, self.now);
        }
        let before = self.observe()?;
        if given_up {
            ensure!(before.slots == self.book.slots, "I4", "a late connect changed the slots");
            ensure!(before.queue == self.book.queue, "I4", "a late connect changed the queue");
        } else if failed == Some(ErrorKind::Permanent) {
            ensure!(self.book.queued() == 0, "I18", "waiters outlived a permanent error");
        }
        Ok(())
    }

    /// Tells the core the time, twice.
    pub(super) fn tick(&mut self) -> Checked {
        self.core.handle_timeout(self.now);
        let before = self.observe()?;
        self.check_deadlines()?;
        self.check_retired(&before)?;
        let due = self.book.due;
        ensure!(due.is_none_or(|at| at > self.now), "I30", "due again at {due:?}, now");
        self.core.handle_timeout(self.now);
        let before = self.observe()?;
        ensure!(before == self.book, "I29", "the same time told twice changed something");
        Ok(())
    }

    /// What a tick must have dealt with.
    fn check_deadlines(&self) -> Checked {
        for waiter in &self.waiters {
            let queued = self.book.place(waiter.id) == Some(None);
            let due = waiter.request.deadline.is_some_and(|at| at <= self.now);
            ensure!(!(queued && due), "I12", "{:?} still waits", waiter.id);
        }
        for task in &self.running {
            let due = task.deadline.is_some_and(|at| at <= self.now);
            let bounded = !task.given_up;
            ensure!(!(bounded && due), "I19", "{:?} is waited for past its end", task.work);
        }
        Ok(())
    }

    /// Which sessions a tick may close for their age.
    fn check_retired(&self, before: &super::books::Book) -> Checked {
        let lifetime = self.setup.max_lifetime.unwrap_or(Duration::MAX);
        let mut retired = 0;
        let mut idled = 0;
        for &(reason, age) in &self.news.closed {
            match reason {
                CloseReason::Lifetime => {
                    let least = least(&self.setup, lifetime);
                    ensure!(age >= least, "I21", "retired at the age of {age:?}");
                    retired += usize::from(age < lifetime);
                }
                CloseReason::IdleTimeout => {
                    idled += 1;
                    retired += usize::from(age < lifetime);
                }
                _ => {}
            }
        }
        let most = before.stats.idle.div_ceil(10).max(1);
        // Borrowers that wait need room at once.
        let calm = before.queued() == 0;
        ensure!(!calm || retired <= most, "I21", "{retired} retired in one tick");
        let least = self.setup.min_idle.min(self.max_size);
        let left = before.stats.idle - idled;
        ensure!(idled == 0 || left >= least, "I20", "idle timeout left {left} idle");
        Ok(())
    }

    /// Tells the core the time just before it asked to be told: nothing may change.
    pub(super) fn peek(&mut self) -> Checked {
        self.tick()?;
        let almost = match self.core.poll_timeout() {
            Some(due) => due.checked_sub(Duration::from_nanos(1)),
            None => self.now.checked_add(Duration::from_secs(60)),
        };
        let Some(almost) = almost.filter(|at| *at >= self.now) else { return Ok(()) };
        self.now = almost;
        self.core.handle_timeout(self.now);
        let before = self.observe()?;
        ensure!(before == self.book, "I30", "something changed before it was due");
        Ok(())
    }

    pub(super) fn count_running(&self, which: impl Fn(Work) -> bool) -> usize {
        self.running.iter().filter(|task| !task.given_up && which(task.work)).count()
    }
}

impl Work {
    pub(super) fn is_upkeep(self) -> bool {
        matches!(self, Self::Check(Purpose::Keepalive | Purpose::Sweep))
    }
}
