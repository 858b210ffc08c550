//! What the model learns from the books and the notices of a step: which slots came and went, which
//! tasks the core no longer waits for.

use std::time::Duration;

use pool_core::core::{Operation, Phase, Purpose, SlotId};
use pool_core::{CloseReason, ErrorKind};

use super::books::Book;
use super::facts::Work;
use super::gate::GateModel;
use super::harness::Harness;
use super::violation::Checked;

impl Harness {
    /// Who was told to end, and whether a check that took too long counts as a failed connect.
    pub(super) fn notice_interrupts(&mut self, before: &Book) {
        for slot in std::mem::take(&mut self.news.interrupted) {
            let now = self.now;
            let task = self.running.iter_mut().find(|task| {
                task.slot == slot && task.interrupted.is_none() && !(task.work == Work::Close)
            });
            if let Some(task) = task {
                task.interrupted = Some(now);
                let check = matches!(task.work, Work::Check(_));
                let look = task.work == Work::Check(Purpose::Watch);
                let id = task.session.as_ref().map(|session| session.id);
                // One that was to be closed by then has not failed.
                let other = |end: &&(u64, CloseReason, Duration)| {
                    let failed = match end.1 {
                        CloseReason::CheckFailed | CloseReason::KeepaliveFailed => true,
                        reason => look && reason == CloseReason::Broken,
                    };
                    end.0 == slot.number() && !failed
                };
                let closing = before.phase(slot) == Some(Phase::Closing)
                    || self.news.closed.iter().any(|end| other(&end));
                if let Some(id) = id.filter(|_| check && !closing) {
                    self.tally.check_failures += 1;
                    self.look_failed(id);
                }
            }
            self.news.interrupted.push(slot);
        }
    }

    pub(super) fn notice_slots(&mut self, before: &Book) -> Checked {
        let born = self.book.slots.iter().filter(|entry| before.entry(entry.slot).is_none());
        for entry in born {
            ensure!(self.seen.insert(entry.slot), "I4", "lives again: {entry:?}");
            let number = entry.slot.number();
            ensure!(self.numbers.insert(number), "I4", "another {number}: {entry:?}");
        }
        let gone = before.slots.iter().filter(|entry| self.book.entry(entry.slot).is_none());
        let gone: Vec<_> = gone.copied().collect();
        for entry in gone {
            let slot = entry.slot;
            // What nobody has started to close is not given up.
            let worked_on = self.running.iter().any(|task| task.slot == slot);
            let ended = self.ended == Some(slot);
            let taken = entry.phase == Phase::Lent;
            ensure!(worked_on || ended || taken, "I39", "{entry:?} is given up unstarted");
            self.home.remove(&slot);
            self.limits.gone(slot);
            self.gone_slot = Some(slot);
        }
        for (slot, id) in &self.home {
            if self.book.phase(*slot) == Some(Phase::Resetting) {
                self.facts.entry(*id).and_modify(|facts| facts.dirty = false);
            }
            // A successor came, or its last lease ended.
            let over = self.book.entry(*slot).is_none_or(|entry| entry.leases == 0);
            if over {
                self.facts.entry(*id).and_modify(|facts| facts.overdue = false);
            }
        }
        Ok(())
    }

    pub(super) fn notice_given_up(&mut self, before: &Book) -> Checked {
        let mut failed = 0;
        for task in &mut self.running {
            let slot = task.slot;
            let entry = self.book.entry(slot);
            let waits = entry.is_some_and(|entry| entry.phase == Phase::Closing);
            if task.work != Work::Close && waits && task.holds_up.is_none() {
                task.holds_up = Some(self.now);
            }
            if task.is_wanted(entry) || task.given_up {
                continue;
            }
            task.given_up = true;
            let told = self.news.interrupted.contains(&slot);
            match &task.session {
                Some(session) => {
                    ensure!(told || task.work != Work::Close, "I39", "{slot:?} was not told");
                    if let Some(facts) = self.facts.get_mut(&session.id) {
                        facts.dead = Some("its operation was given up");
                    }
                }
                None => {
                    ensure!(told, "I40", "the connect of {slot:?} was not told to end");
                    failed += usize::from(before.phase(slot).is_some() && !self.closed);
                }
            }
        }
        let told = self.news.progress || self.warm == 0;
        ensure!(failed == 0 || told, "I20", "nobody was told of {failed} failures");
        for _ in 0..failed {
            self.connect_failed(ErrorKind::Transient);
        }
        Ok(())
    }

    /// A connect failed, or as good as.
    pub(super) fn connect_failed(&mut self, kind: ErrorKind) {
        let first = self.book.stats.counters.created == 0;
        self.hopeless += u64::from(kind == ErrorKind::Permanent);
        self.hopeless += u64::from(kind == ErrorKind::Unreachable && first);
        self.gate.failed(&self.setup, kind, first, self.now);
    }

    /// The first look at a session failed: opening it has failed after all (I41).
    pub(super) fn look_failed(&mut self, id: u64) {
        let Some(facts) = self.facts.get_mut(&id) else { return };
        if !facts.proven && GateModel::is_infant(&self.setup, facts.age(self.now)) {
            facts.proven = true;
            self.connect_failed(ErrorKind::Transient);
        }
    }

    /// A session was used, or answered.
    pub(super) fn look_was_good(&mut self, id: u64) {
        let Some(facts) = self.facts.get_mut(&id) else { return };
        if !std::mem::replace(&mut facts.proven, true) {
            self.gate.proved_good();
        }
    }

    /// How many operations hang, of those that are bounded together.
    pub(super) fn hung(&self, operation: Operation) -> usize {
        let hangs = self.running.iter().filter(|task| self.book.entry(task.slot).is_none());
        let of_kind = |work: Work| match operation {
            Operation::Connect => work == Work::Connect,
            Operation::Check => work.is_check(),
            _ => work == Work::Close,
        };
        hangs.filter(|task| of_kind(task.work)).count()
    }

    /// How many of each kind may hang before no more are started.
    pub(super) fn most_hung(&self) -> usize {
        2 * self.setup.max_connecting + self.setup.max_maintaining
    }

    pub(super) fn count_running(&self, which: impl Fn(Work) -> bool) -> usize {
        self.running.iter().filter(|task| !task.given_up && which(task.work)).count()
    }

    /// Whether a task that runs works on this slot.
    pub(super) fn is_worked_on(&self, slot: SlotId) -> bool {
        self.running.iter().any(|task| task.slot == slot)
    }
}
