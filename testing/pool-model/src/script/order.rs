//! What must be true of those who wait, and of what they get (I10, I11, I13, I16 to I18, I23, I31,
//! I36).

use std::time::Instant;

use pool_core::Order;
use pool_core::core::{Operation, Phase, SlotId};

use super::books::{Book, Entry};
use super::harness::Harness;
use super::violation::Checked;

impl Harness {
    /// I10, I11, I13, I31.
    pub(super) fn check_waiters(&self, before: &Book) -> Checked {
        for waiter in &self.waiters {
            let (was, is) = (before.place(waiter.id), self.book.place(waiter.id));
            let moved = was.is_none_or(|slot| slot.is_none()) && is.is_some_and(|s| s.is_some());
            let ended = was.is_some() && is.is_none();
            let told = !(moved || ended) || self.news.woken.contains(&waiter.id);
            ensure!(told, "I11", "{:?} was not woken", waiter.id);
            if moved {
                // Who lost a promise in this step takes none from others.
                let older = self.waiters.iter().find(|other| {
                    let waited = !matches!(before.place(other.id), Some(Some(_)));
                    let waits = self.book.place(other.id) == Some(None);
                    other.arrival < waiter.arrival && waited && waits
                });
                ensure!(older.is_none(), "I10", "{:?} overtook {older:?}", waiter.id);
                let promised = is.flatten().and_then(|slot| self.facts_of(slot));
                let each_time = self.setup.check_after_idle.is_zero();
                let unasked = promised.is_some_and(|facts| each_time && facts.touched);
                ensure!(!unasked, "I9", "{:?} was promised what was not asked", waiter.id);
            }
        }
        for id in &self.news.woken {
            let changed = before.place(*id) != self.book.place(*id);
            ensure!(changed, "I11", "{id:?} was woken for nothing");
        }
        let known = |id| self.waiters.iter().any(|waiter| waiter.id == id);
        ensure!(self.news.woken.iter().all(|id| known(*id)), "I13", "woke somebody unknown");
        ensure!(self.book.queue.iter().all(|entry| known(entry.0)), "I13", "an unknown waiter");
        self.check_order(before, None)?;
        let queued = self.book.queued();
        if queued == 0 {
            return Ok(());
        }
        let checks: usize = self.book.lend_checks().map(|entry| entry.room().max(1)).sum();
        for entry in self.book.slots.iter().filter(|entry| entry.has_room()) {
            let line = if entry.leases > 0 { "I31" } else { "I11" };
            ensure!(!self.is_ready(entry), line, "{entry:?} is ready, {queued} wait");
            let enough = checks >= queued || !self.may_be_lent(entry);
            ensure!(enough, line, "{entry:?} has room, {queued} wait, checks for {checks}");
        }
        let stats = &self.book.stats;
        let moving = stats.open() > 0 || self.core.has_task(self.now) || self.max_size == 0;
        let hung = self.hung(Operation::Connect) >= self.most_hung();
        let held_back = !self.gate.is_over(self.now) || hung || self.core.is_starved();
        ensure!(moving || held_back, "I11", "{queued} wait and nothing happens");
        Ok(())
    }

    /// I23, I36: what was promised in this step, or lent to a newcomer, comes before what has room
    /// now.
    pub(super) fn check_order(
        &self,
        before: &Book,
        lent: Option<(SlotId, Option<Instant>)>,
    ) -> Checked {
        let since = |slot: SlotId| self.facts_of(slot).map(|facts| facts.since);
        let grown = self.book.slots.iter().filter(|entry| {
            before.entry(entry.slot).is_some_and(|was| was.reserved < entry.reserved)
        });
        let grown = grown.map(|entry| (entry.slot, since(entry.slot)));
        for (chosen, used) in grown.chain(lent) {
            let load = self.book.load(chosen);
            let others = self.book.slots.iter().filter(|entry| entry.slot != chosen);
            for left in others.filter(|entry| self.is_ready(entry)) {
                let fewer = left.load() + 1 < load;
                ensure!(!fewer, "I36", "{chosen:?} got its {load}. lease before {left:?}");
                let (Some(a), Some(b)) = (used, since(left.slot)) else { continue };
                let right = match self.setup.order {
                    Order::Lifo => a >= b,
                    Order::Fifo => a <= b,
                };
                let tie = left.load() + 1 == load;
                ensure!(right || !tie, "I23", "{chosen:?} was chosen before {left:?}");
            }
        }
        Ok(())
    }

    /// I16, I17, I18, I24: why a connect was started.
    pub(super) fn check_connect(&self, before: &Book) -> Checked {
        ensure!(!self.closed, "I24", "connect after close");
        let open = before.stats.open();
        ensure!(open < self.max_size, "I1", "connect at {open}");
        ensure!(self.gate.may_connect(), "I18", "connect before the delay is over");
        let stats = &self.book.stats;
        let connecting = stats.connecting;
        let queued = self.book.queued();
        // Each session serves as many as sessions are known to carry.
        let coming = (connecting - 1 + stats.resetting) * self.book.learned;
        let demand = queued > coming;
        let aging = self.book.in_phase(Phase::Idle).filter(|slot| self.may_age(*slot)).count();
        let spare = stats.idle - aging + stats.checking + stats.resetting;
        let kept = connecting + spare <= self.setup.min_idle;
        let overdue = |entry: &&Entry| {
            let aged = self.facts_of(entry.slot).is_some_and(|facts| {
                let age = facts.age(self.latest);
                self.setup
                    .max_lifetime
                    .is_some_and(|limit| age >= super::facts::least(&self.setup, limit))
            });
            aged && entry.stays() && entry.leases > 0
        };
        let overdue = self.book.slots.iter().filter(overdue).count();
        let warm = before.staying() < self.warm;
        let vain = self.vain && connecting == 1;
        let wanted = demand || kept || connecting <= overdue || warm || vain;
        ensure!(wanted, "I16", "{connecting} connecting for {queued} who wait");
        // Somebody asks for it, be it one who does not wait for the answer.
        let asked_for = queued > 0 || warm || vain;
        let unproven = self.gate.permanent && (connecting > 1 || !asked_for);
        ensure!(!unproven, "I18", "{connecting} connecting after a permanent error");
        Ok(())
    }

    /// Whether a session has room and can be lent as it is, now and at all times that the core was
    /// told.
    pub(super) fn is_ready(&self, entry: &Entry) -> bool {
        let at = self.latest.max(self.now);
        let fresh = self
            .facts_of(entry.slot)
            .is_some_and(|facts| facts.is_fresh(&self.setup, entry.leases, at));
        entry.has_room() && fresh && self.may_be_lent(entry)
    }

    /// Whether nothing but a check is needed before a session with room is lent, as far as is
    /// certain.
    fn may_be_lent(&self, entry: &Entry) -> bool {
        let fits = self.book.staying() <= self.max_size;
        let known =
            self.facts_of(entry.slot).is_some_and(|facts| facts.dead.is_none() && !facts.evicted);
        known && (fits || entry.leases > 0)
    }
}
