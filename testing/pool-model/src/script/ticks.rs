//! What happens when the core is told the time.

use std::time::Duration;

use pool_core::CloseReason;
use pool_core::core::Phase;

use super::books::Book;
use super::facts::{Work, least};
use super::harness::Harness;
use super::violation::Checked;

impl Harness {
    /// Tells the core the time, twice.
    pub(super) fn tick(&mut self) -> Checked {
        let tries = self.limits.told(&self.book, self.now, self.setup.limit_recovery);
        self.core.handle_timeout(self.now);
        let before = self.observe()?;
        ensure!(tries == self.news.learned.is_some(), "I35", "one more is tried: {tries}");
        self.check_deadlines()?;
        self.check_retired(&before)?;
        self.check_held_long()?;
        let due = self.book.due;
        ensure!(due.is_none_or(|at| at > self.now), "I30", "due again at {due:?}, now");
        self.core.handle_timeout(self.now);
        let before = self.observe()?;
        ensure!(before == self.book, "I29", "the same time told twice changed something");
        Ok(())
    }

    /// What a tick must have dealt with: I12, I19, I39, I42.
    fn check_deadlines(&self) -> Checked {
        for waiter in &self.waiters {
            let place = self.book.place(waiter.id);
            let due = waiter.request.deadline.is_some_and(|at| at <= self.now);
            ensure!(!(place == Some(None) && due), "I12", "{:?} still waits", waiter.id);
            let kept = place.is_some_and(|slot| slot.is_some());
            ensure!(!(kept && due), "I42", "{:?} keeps a promise it did not collect", waiter.id);
        }
        for task in &self.running {
            let due = task.deadline.is_some_and(|at| at <= self.now);
            let told = task.given_up || task.interrupted.is_some();
            ensure!(told || !due, "I19", "{:?} is waited for past its end", task.work);
            // A slot that waits for the end of a task is given up in the end.
            let (Some(told), Some(since)) = (task.interrupted, task.holds_up) else { continue };
            let end = told.max(since).checked_add(self.setup.close_timeout);
            let late = end.is_some_and(|end| end <= self.now) && !self.went_back;
            let here = self.book.entry(task.slot).is_some();
            ensure!(!(late && here), "I39", "{:?} holds its slot for ever", task.work);
        }
        Ok(())
    }

    /// Which sessions a tick may close for their age.
    fn check_retired(&self, before: &Book) -> Checked {
        let lifetime = self.setup.max_lifetime.unwrap_or(Duration::MAX);
        let (mut retired, mut idled, mut others) = (0, 0, 0);
        for &(_, reason, age) in &self.news.closed {
            match reason {
                CloseReason::Lifetime => {
                    let least = least(&self.setup, lifetime);
                    ensure!(age >= least, "I21", "retired at the age of {age:?}");
                    retired += usize::from(age < lifetime);
                    others += 1;
                }
                CloseReason::IdleTimeout => {
                    idled += 1;
                    retired += usize::from(age < lifetime);
                }
                _ => others += 1,
            }
        }
        // Those whose borrowers did not come for them may be too old by then.
        let kept = |id, slot| self.book.place(id) == Some(slot);
        let freed = before.queue.iter().filter(|&&(id, slot)| slot.is_some() && !kept(id, slot));
        let freed = freed.count();
        let most = before.stats.idle.div_ceil(10).max(1) + freed;
        // Borrowers that wait need room at once, and so do those that lost what they were promised.
        let moved = |id, slot| self.book.place(id).is_some_and(|now| now != slot);
        let calm = before.queued() == 0 && !before.queue.iter().any(|&(id, slot)| moved(id, slot));
        ensure!(!calm || retired <= most, "I21", "{retired} retired in one tick");
        let least = self.setup.min_idle.min(self.max_size);
        let left = (before.stats.idle + freed).saturating_sub(idled);
        ensure!(
            idled == 0 || left >= least,
            "I20",
            "idle timeout left {left} idle, {others} others"
        );
        Ok(())
    }

    /// A lease that is out for long is told, once.
    fn check_held_long(&mut self) -> Checked {
        let Some(limit) = self.setup.leak_after else { return Ok(()) };
        let mut told = std::mem::take(&mut self.news.held_long);
        for held in &mut self.held {
            let out = self.now.saturating_duration_since(held.since);
            if held.reported || out < limit {
                continue;
            }
            let report = (held.slot.number(), out);
            let place = told.iter().position(|entry| *entry == report);
            ensure!(place.is_some(), "I12", "{:?} is out for {out:?}, untold", held.id);
            held.reported = true;
            told.swap_remove(place.unwrap_or_default());
        }
        ensure!(told.is_empty() || self.went_back, "I12", "told of leases not out: {told:?}");
        Ok(())
    }

    /// After a tick and with every task started, no keepalive and no look is overdue.
    pub(super) fn check_keepalives(&self) -> Checked {
        let (keepalive, watch) = (self.setup.keepalive_interval, self.setup.watch_interval);
        let full = self.count_running(Work::is_upkeep) >= self.setup.max_maintaining;
        let hung = self.hung(pool_core::core::Operation::Check) >= self.most_hung();
        if full || hung || self.went_back {
            return Ok(());
        }
        let over = |limit: Option<Duration>, age: Duration| {
            limit.is_some_and(|limit| age >= least(&self.setup, limit))
        };
        for slot in self.book.in_phase(Phase::Idle) {
            let Some(facts) = self.facts_of(slot) else { continue };
            // It is to be closed, or was until a moment ago, and waits for the next tick that may.
            let unused = self.now.saturating_duration_since(facts.since);
            let aged = over(self.setup.max_lifetime, facts.age(self.now));
            if aged || over(self.setup.idle_timeout, unused) {
                continue;
            }
            let silent = facts.silent(self.now);
            let late = keepalive.is_some_and(|interval| silent >= interval);
            ensure!(!late, "I22", "{slot:?} is silent for {silent:?}");
            let unseen = facts.unseen(self.now);
            let late = watch.is_some_and(|interval| unseen >= interval);
            ensure!(!late, "I22", "{slot:?} is unseen for {unseen:?}");
        }
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
        ensure!(before == self.book, "I30", "changed early: {before:?} {:?}", self.book);
        Ok(())
    }
}
