//! What must be true after every step: the books (I1 to I5, I24, I25).

use pool_core::core::{Operation, Phase, Purpose, SlotId};

use super::books::{Book, Entry};
use super::facts::{Facts, Running, Work, least};
use super::harness::Harness;
use super::violation::Checked;

/// No script has more at once.
const MOST_SLOTS: usize = 8;

impl Harness {
    pub(super) fn check_rules(&self, before: &Book) -> Checked {
        self.check_books(before)?;
        self.check_counts()?;
        self.check_truth()?;
        self.check_counters()?;
        self.limits.check(&self.book)?;
        self.check_sharing(before)?;
        self.check_waiters(before)?;
        self.check_limits()?;
        self.check_leave(before)
    }

    /// I1, I24, I25.
    fn check_books(&self, before: &Book) -> Checked {
        let stats = &self.book.stats;
        let (open, most) = (stats.open(), self.max_size);
        ensure!(open <= most || open <= before.stats.open(), "I1", "{open} of {most} open");
        // Those that go with their last lease are on their way; one that is looked at, checked or
        // reset goes when it comes back.
        let staying = self.book.staying();
        let free =
            |entry: &&Entry| matches!(entry.phase, Phase::Idle | Phase::Reserved | Phase::Lent);
        let kept = self.book.slots.iter().filter(|entry| entry.stays()).filter(free).count();
        ensure!(staying <= most || kept == 0, "I1", "{kept} kept, {staying} of {most} stay");
        ensure!(stats.max_size == most && stats.closed == self.closed, "I2", "{stats:?}");
        ensure!(self.core.config().max_size() == most, "I1", "configured otherwise");
        let free = stats.idle + stats.reserved + stats.waiting;
        ensure!(!self.closed || free == 0, "I24", "after close: {stats:?}");
        let drained = self.closed && open + stats.orphans == 0;
        ensure!(self.core.is_drained() == drained, "I25", "drained: {}", !drained);
        Ok(())
    }

    /// I2.
    fn check_counts(&self) -> Checked {
        let stats = &self.book.stats;
        let count = |phase| self.book.in_phase(phase).count();
        for (name, found, counted) in [
            ("connecting", count(Phase::Connecting), stats.connecting),
            ("idle", count(Phase::Idle), stats.idle),
            ("checking", count(Phase::Checking), stats.checking),
            ("resetting", count(Phase::Resetting), stats.resetting),
            ("closing", count(Phase::Closing), stats.closing),
            ("orphans", count(Phase::Orphan), stats.orphans),
            ("in use", count(Phase::Lent) + count(Phase::Reserved), stats.in_use),
            ("lent", self.held.len(), stats.lent),
            ("waiting", self.book.queue.len(), stats.waiting),
            ("running connects", self.count_running(|w| w == Work::Connect), stats.connecting),
            ("hung connects", self.hung(Operation::Connect), stats.hung_connects),
            ("hung checks", self.hung(Operation::Check), stats.hung_checks),
            ("hung closes", self.hung(Operation::Close), stats.hung_closes),
        ] {
            ensure!(found == counted, "I2", "{found} {name}, counted as {counted}");
        }
        let promised = self.book.queue.iter().filter_map(|entry| entry.1);
        let promised: Vec<SlotId> = promised.collect();
        ensure!(promised.len() == stats.reserved, "I2", "{promised:?} promised");
        for entry in &self.book.slots {
            let leases = self.held.iter().filter(|held| held.slot == entry.slot).count();
            let reserved = promised.iter().filter(|slot| **slot == entry.slot).count();
            let right = (entry.leases, entry.reserved) == (leases, reserved);
            ensure!(right, "I2", "{leases} leases, {reserved} promises of {entry:?}");
            let phase = match (leases, reserved) {
                (0, 0) => !matches!(entry.phase, Phase::Lent | Phase::Reserved),
                (0, _) => entry.phase == Phase::Reserved,
                _ => entry.phase == Phase::Lent,
            };
            ensure!(phase, "I2", "{leases} leases, {reserved} promises of {entry:?}");
        }
        Ok(())
    }

    /// I3: every handle that exists is somewhere.
    fn check_truth(&self) -> Checked {
        let with_tasks = self.running.iter().filter(|task| task.session.is_some());
        let outside = self.held.len() + self.looks.len() + with_tasks.count();
        let owned = self.handles.alive() - self.detached.len();
        let stats = &self.book.stats;
        // Slots of the core whose handle is with somebody else; a shared session's is so only
        // while somebody looks at it, or closes it.
        let lives = |slot| self.book.phase(slot).is_some_and(|phase| phase != Phase::Orphan);
        let takes = |task: &&Running| !self.setup.shared || task.work == Work::Close;
        let away = |task: &&Running| task.session.is_some() && lives(task.slot) && takes(task);
        let lent = if self.setup.shared { 0 } else { stats.lent };
        let away = self.running.iter().filter(away).count() + self.looks.len() + lent;
        let inside = (stats.open() - stats.connecting).checked_sub(away);
        let orphans = inside.and_then(|inside| owned.checked_sub(outside + inside));
        let Some(orphans) = orphans else {
            ensure!(false, "I3", "{owned} handles, {away} away, for {stats:?}");
            return Ok(());
        };
        let homeless = self.running.iter().filter(|task| !lives(task.slot)).count();
        let found = homeless + orphans;
        let apart = stats.hung() + stats.orphans;
        ensure!(found == apart, "I3", "{found} given up for {stats:?}");
        let alive = self.truth.alive().unsigned_abs() as usize;
        let room = stats.open() - stats.connecting + apart + self.detached.len();
        ensure!(alive <= room, "I3", "{alive} alive for {room}");
        Ok(())
    }

    /// I5, closed sessions counted from the start of their closing.
    fn check_counters(&self) -> Checked {
        let stats = &self.book.stats;
        let t = &stats.counters;
        let kept = self.book.live() - stats.connecting;
        let gone = t.closed_total() + t.detached;
        ensure!(t.created == gone + kept as u64, "I5", "{} created: {t:?}", t.created);
        let refused = t.timed_out + t.failed + t.refused_closed + t.overloaded;
        let asked = t.served + t.cancelled + refused + stats.waiting as u64;
        ensure!(t.acquires == asked, "I5", "{} acquires, {asked} accounted", t.acquires);
        let ours = &self.tally;
        let same = ours.acquires == t.acquires
            && ours.served == t.served
            && ours.replaced == t.replaced
            && ours.cancelled == t.cancelled
            && ours.overloaded == t.overloaded
            && ours.refusals == t.refusals
            && ours.created == t.created
            && ours.detached == t.detached
            && ours.connects == t.connects
            && ours.checks == t.checks
            && ours.keepalives == t.keepalives
            && ours.check_failures == t.check_failures;
        ensure!(same, "I5", "{ours:?} is not {t:?}");
        // Of outcomes not collected yet nobody knows the kind.
        let uncollected = self.waiters.len() - stats.waiting;
        let known = ours.timed_out + ours.failed + ours.refused_closed + ours.unknown;
        let ended = known + uncollected as u64;
        let told = t.timed_out + t.failed + t.refused_closed;
        ensure!(ended == told, "I13", "{ended} outcomes, {told} told");
        Ok(())
    }

    /// I16, I19, I22: how much may run at once.
    fn check_limits(&self) -> Checked {
        let stats = &self.book.stats;
        let most = self.setup.max_connecting;
        ensure!(stats.connecting <= most, "I16", "{} connecting", stats.connecting);
        // Each kind that hangs is bounded by itself; those under way when the bound is reached
        // come on top, and checks that were told to end and still hold their slots.
        let (checks, closes) = (3 * self.setup.max_maintaining, self.setup.max_closing);
        for (operation, most) in [
            (Operation::Connect, most),
            (Operation::Check, checks + MOST_SLOTS),
            (Operation::Close, closes),
        ] {
            let hung = self.hung(operation);
            ensure!(hung < self.most_hung() + most, "I39", "{hung} {operation:?} hang");
        }
        let most = self.setup.max_maintaining;
        for (name, running, most) in [
            ("keepalives", self.count_running(Work::is_upkeep), most),
            ("checks", self.count_running(|w| w == Work::Check(Purpose::Lend)), most),
            ("resets", self.count_running(|w| w == Work::Reset), most),
            ("closes", self.count_running(|w| w == Work::Close), self.setup.max_closing),
        ] {
            ensure!(running <= most, "I22", "{running} {name} at once");
        }
        Ok(())
    }

    /// Whether the core may count it as close to its end.
    pub(super) fn may_age(&self, slot: SlotId) -> bool {
        let Some(lifetime) = self.setup.max_lifetime else { return false };
        let age = self.facts_of(slot).map(|facts| facts.age(self.latest));
        age.is_some_and(|age| age >= least(&self.setup, lifetime).mul_f64(0.899))
    }

    pub(super) fn facts_of(&self, slot: SlotId) -> Option<&Facts> {
        self.home.get(&slot).and_then(|id| self.facts.get(id))
    }
}
