//! What must be true after every step.

use pool_core::core::{Phase, Purpose, SlotId};
use pool_core::{Order, Stats};

use super::books::{Book, Facts, Work, least};
use super::breach::Checked;
use super::harness::Harness;

impl Harness {
    pub(super) fn check_rules(&self, before: &Book) -> Checked {
        self.check_books(before)?;
        self.check_truth()?;
        self.check_counters()?;
        self.check_sessions()?;
        self.check_waiters(before)?;
        self.check_limits()?;
        self.check_leave(before)
    }

    /// I1, I2, I24.
    fn check_books(&self, before: &Book) -> Checked {
        let stats = &self.book.stats;
        let (open, most) = (stats.open(), self.max_size);
        ensure!(open <= most || open <= before.stats.open(), "I1", "{open} of {most} open");
        let surplus = self.book.live() > most && stats.idle + stats.reserved > 0;
        ensure!(!surplus, "I1", "sessions are kept although too many are open");
        let count = |phase| self.book.in_phase(phase).count();
        for (phase, counted) in [
            (Phase::Connecting, stats.connecting),
            (Phase::Idle, stats.idle),
            (Phase::Reserved, stats.reserved),
            (Phase::Checking, stats.checking),
            (Phase::Lent, stats.lent),
            (Phase::Resetting, stats.resetting),
            (Phase::Closing, stats.closing),
        ] {
            let found = count(phase);
            ensure!(found == counted, "I2", "{found} {phase:?}, counted as {counted}");
        }
        ensure!(stats.lent == self.held.len(), "I2", "{} lent", stats.lent);
        let connects = self.count_running(|work| work == Work::Connect);
        ensure!(stats.connecting == connects, "I2", "{} connecting", stats.connecting);
        ensure!(stats.waiting == self.book.queue.len(), "I2", "{} waiting", stats.waiting);
        let promised = self.book.queue.iter().filter_map(|entry| entry.1);
        let mut promised: Vec<SlotId> = promised.collect();
        ensure!(promised.len() == stats.reserved, "I2", "{promised:?} promised");
        promised.retain(|slot| self.book.phase(*slot) != Some(Phase::Reserved));
        ensure!(promised.is_empty(), "I2", "{promised:?} are promised and not reserved");
        ensure!(stats.max_size == most && stats.closed == self.closed, "I2", "{stats:?}");
        ensure!(self.core.config().max_size() == most, "I1", "configured otherwise");
        let free = stats.idle + stats.reserved + stats.waiting;
        ensure!(!self.closed || free == 0, "I24", "after close: {stats:?}");
        let drained = self.closed && open == 0;
        ensure!(self.core.is_drained() == drained, "I25", "drained: {}", !drained);
        Ok(())
    }

    /// I3: every session that exists is somewhere.
    fn check_truth(&self) -> Checked {
        let alive = self.truth.alive().unsigned_abs() as usize;
        let with_tasks = self.running.iter().filter(|task| task.session.is_some());
        let outside = self.held.len() + self.looks.len() + with_tasks.count();
        let owned = alive - self.detached.len();
        let stats = &self.book.stats;
        // Sessions that a slot of the core holds, those of running tasks and lookers not.
        let lives = |slot| self.book.phase(slot).is_some_and(|phase| phase != Phase::Orphan);
        let away = |task: &&super::books::Running| task.session.is_some() && lives(task.slot);
        let away = self.running.iter().filter(away).count() + self.looks.len() + stats.lent;
        let inside = (stats.open() - stats.connecting).checked_sub(away);
        let orphans = inside.and_then(|inside| owned.checked_sub(outside + inside));
        let Some(orphans) = orphans else {
            ensure!(false, "I3", "{owned} sessions for {stats:?}");
            return Ok(());
        };
        let homeless = self.running.iter().filter(|task| !lives(task.slot)).count();
        let found = homeless + orphans;
        let apart = stats.hung() + stats.orphans;
        ensure!(found == apart, "I3", "{found} given up for {stats:?}");
        let room = stats.open() - stats.connecting + apart;
        ensure!(owned <= room, "I3", "{owned} alive for {room}");
        Ok(())
    }

    /// I5, closed sessions counted from the start of their closing.
    fn check_counters(&self) -> Checked {
        let stats = &self.book.stats;
        let c = &stats.counters;
        let kept = self.book.live() - stats.connecting;
        let gone = c.closed_total() + c.detached;
        ensure!(c.created == gone + kept as u64, "I5", "{} created: {c:?}", c.created);
        let ended = c.served + c.timed_out + c.cancelled + c.failed + c.refused_closed;
        let asked = ended + stats.waiting as u64;
        ensure!(c.acquires == asked, "I5", "{} acquires, {asked} accounted", c.acquires);
        let (ours, t) = (&self.tally, c);
        let same = ours.acquires == t.acquires
            && ours.served == t.served
            && ours.replaced == t.replaced
            && ours.cancelled == t.cancelled
            && ours.created == t.created
            && ours.detached == t.detached
            && ours.connects == t.connects
            && ours.checks == t.checks
            && ours.keepalives == t.keepalives;
        ensure!(same, "I5", "{ours:?} is not {t:?}");
        // Of outcomes not collected yet nobody knows the kind.
        let uncollected = self.waiters.len() - stats.waiting;
        let known = ours.timed_out + ours.failed + ours.refused_closed + ours.unknown;
        let ended = known + uncollected as u64;
        let told = t.timed_out + t.failed + t.refused_closed;
        ensure!(ended == told, "I13", "{ended} outcomes, {told} told");
        Ok(())
    }

    /// I7, I8: what is dead is nowhere but closing.
    fn check_sessions(&self) -> Checked {
        for &(slot, phase, _) in &self.book.slots {
            let Some(facts) = self.facts_of(slot) else { continue };
            if let Some(why) = facts.dead {
                ensure!(phase == Phase::Closing, "I7", "{slot:?} is {phase:?} although {why}");
            }
            let free = matches!(phase, Phase::Idle | Phase::Reserved);
            ensure!(!(free && facts.evicted), "I7", "{slot:?} is {phase:?} although evicted");
        }
        Ok(())
    }

    /// I10, I11, I13.
    fn check_waiters(&self, before: &Book) -> Checked {
        for waiter in &self.waiters {
            let (was, is) = (before.place(waiter.id), self.book.place(waiter.id));
            let moved = was.is_none_or(|slot| slot.is_none()) && is.is_some_and(|s| s.is_some());
            let ended = was.is_some() && is.is_none();
            let told = !(moved || ended) || self.news.woken.contains(&waiter.id);
            ensure!(told, "I11", "{:?} was not woken", waiter.id);
            if moved {
                let older = self.waiters.iter().find(|other| {
                    other.arrival < waiter.arrival && self.book.place(other.id) == Some(None)
                });
                ensure!(older.is_none(), "I10", "{:?} overtook {older:?}", waiter.id);
            }
        }
        let known = |id| self.waiters.iter().any(|waiter| waiter.id == id);
        ensure!(self.news.woken.iter().all(|id| known(*id)), "I13", "woke somebody unknown");
        ensure!(self.book.queue.iter().all(|entry| known(entry.0)), "I13", "an unknown waiter");
        self.check_order(before, None)?;
        let queued = self.book.queued();
        if queued == 0 {
            return Ok(());
        }
        for slot in self.book.in_phase(Phase::Idle) {
            let fresh = self.is_fresh(slot);
            ensure!(!fresh, "I11", "{slot:?} is idle and ready, {queued} wait");
            let checks = self.book.lend_checks();
            ensure!(checks >= queued, "I11", "{slot:?} is idle, {queued} wait, {checks} checks");
        }
        let stats = &self.book.stats;
        let moving = stats.open() > 0 || self.core.has_task(self.now) || self.max_size == 0;
        let held_back =
            !self.gate.is_over(self.now) || stats.hung_connects >= self.most_abandoned();
        let held_back = held_back || self.core.is_starved();
        ensure!(moving || held_back, "I11", "{queued} wait and nothing happens");
        Ok(())
    }

    /// I23: what was promised in this step, or lent to a newcomer, comes before what is idle.
    pub(super) fn check_order(&self, before: &Book, lent: Option<SlotId>) -> Checked {
        let promised = self.book.in_phase(Phase::Reserved);
        let promised = promised.filter(|slot| before.phase(*slot) != Some(Phase::Reserved));
        for chosen in promised.chain(lent) {
            for left in self.book.in_phase(Phase::Idle).filter(|slot| self.is_fresh(*slot)) {
                let (Some(a), Some(b)) = (self.facts_of(chosen), self.facts_of(left)) else {
                    continue;
                };
                let right = match self.setup.order {
                    Order::Lifo => a.used >= b.used,
                    Order::Fifo => a.used <= b.used,
                };
                ensure!(right, "I23", "{chosen:?} was chosen before {left:?}");
            }
        }
        Ok(())
    }

    /// I16, I19, I22: how much may run at once.
    fn check_limits(&self) -> Checked {
        let stats = &self.book.stats;
        let most = self.setup.max_connecting;
        ensure!(stats.connecting <= most, "I16", "{} connecting", stats.connecting);
        let late = self.running.iter().filter(|t| t.work == Work::Connect && t.given_up).count();
        let bound = self.most_abandoned() + most;
        ensure!(late < bound, "I19", "{late} connects abandoned and running");
        let most = self.setup.max_maintaining;
        for (name, running) in [
            ("keepalives", self.count_running(Work::is_upkeep)),
            ("checks", self.count_running(|work| work == Work::Check(Purpose::Lend))),
            ("resets", self.count_running(|work| work == Work::Reset)),
            ("closes", self.count_running(|work| work == Work::Close)),
        ] {
            ensure!(running <= most, "I22", "{running} {name} at once");
        }
        Ok(())
    }

    /// I16, I17, I18, I24: why a connect was started.
    pub(super) fn check_connect(&self, before: &Stats) -> Checked {
        ensure!(!self.closed, "I24", "connect after close");
        ensure!(before.open() < self.max_size, "I1", "connect at {}", before.open());
        ensure!(self.gate.may_connect(), "I18", "connect before the delay is over");
        let stats = &self.book.stats;
        let queued = self.book.queued();
        let aging = self.book.in_phase(Phase::Idle).filter(|slot| self.may_age(*slot)).count();
        let spare = stats.idle - aging + stats.checking + stats.resetting;
        let warm = self.setup.min_idle.saturating_sub(spare);
        let wanted = queued.saturating_sub(stats.resetting).max(warm);
        let connecting = stats.connecting;
        ensure!(connecting <= wanted, "I16", "{connecting} connecting for {wanted}");
        let unproven = self.gate.permanent && (connecting > 1 || connecting > queued);
        ensure!(!unproven, "I18", "{connecting} connecting after a permanent error");
        Ok(())
    }

    /// Whether the core may count it as close to its end.
    fn may_age(&self, slot: SlotId) -> bool {
        let Some(lifetime) = self.setup.max_lifetime else { return false };
        let age = self.facts_of(slot).map(|facts| facts.age(self.latest));
        age.is_some_and(|age| age >= least(&self.setup, lifetime).mul_f64(0.899))
    }

    /// Whether an idle session can be lent as it is, now and at all times that the core was told.
    pub(super) fn is_fresh(&self, slot: SlotId) -> bool {
        let at = self.latest.max(self.now);
        self.facts_of(slot).is_some_and(|facts| facts.is_fresh(&self.setup, at))
    }

    pub(super) fn facts_of(&self, slot: SlotId) -> Option<&Facts> {
        self.home.get(&slot).and_then(|id| self.facts.get(id))
    }

    pub(super) fn most_abandoned(&self) -> usize {
        2 * self.setup.max_connecting + self.setup.max_maintaining
    }
}
