//! What becomes of a session when a lease of it ends.

use std::time::Instant;

use super::leases::LeaseId;
use super::slot::{Phase, Work};
use super::{Core, later};
use crate::event::Event;
use crate::kinds::CloseReason;

/// In which state a session comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returned {
    /// Can be lent again.
    Clean,
    /// Can be lent again; what the borrower left is removed when the last lease has ended.
    NeedsReset,
    /// Must be closed.
    Broken(CloseReason),
    /// Is good, but its peer refused this borrower: it carries one lease fewer.
    Refused,
}

impl<S, E: Clone> Core<S, E> {
    /// A session just lent turned out to be broken. Its borrower asks again with its old
    /// [`ticket`](super::Lease::ticket), and so keeps its place.
    pub fn unusable(
        &mut self,
        lease: LeaseId,
        session: Option<S>,
        reason: CloseReason,
        now: Instant,
    ) -> Option<S> {
        if let Some(record) = self.leases.get(lease) {
            let slot = record.slot;
            // Its borrower asks again, and is counted then.
            self.counters.acquires -= 1;
            self.counters.served -= 1;
            self.counters.replaced += 1;
            self.note_born_broken(slot, now);
        }
        self.end_lease(lease, session, Returned::Broken(reason), false, now)
    }

    /// A borrower's lease ends. Where sessions are shared, its handle is dropped before, and
    /// `None` is given; a session that the core has no place for comes back, to be dropped.
    #[inline]
    pub fn release(
        &mut self,
        lease: LeaseId,
        session: Option<S>,
        state: Returned,
        now: Instant,
    ) -> Option<S> {
        self.end_lease(lease, session, state, true, now)
    }

    #[inline]
    fn end_lease(
        &mut self,
        lease: LeaseId,
        session: Option<S>,
        state: Returned,
        told: bool,
        now: Instant,
    ) -> Option<S> {
        let Some(record) = self.leases.end(lease) else {
            return self.adopt_stray(session, now);
        };
        let index = record.slot;
        if told && self.observed {
            let session = self.slots.id(index).number();
            let held = now.saturating_duration_since(record.since);
            self.emit(|| Event::Released { session, held });
        }
        self.slots.leases -= 1;
        let slot = &mut self.slots[index];
        slot.leases -= 1;
        let mut unneeded = session;
        if self.share.is_none() {
            slot.session = unneeded.take();
        }
        match state {
            Returned::Clean | Returned::NeedsReset => {
                // Its place in the order is another one now, be its load the same in the end.
                self.lendable.unlink(&mut self.slots, index);
                let slot = &mut self.slots[index];
                (slot.since, slot.verified) = (now, now);
                (slot.suspect, slot.used) = (false, true);
                self.freshest = self.freshest.max(Some(now));
                slot.dirty |= state == Returned::NeedsReset;
                if !slot.proven {
                    slot.proven = true;
                    self.gate.note_good_session();
                }
                if !self.hand_on(index, now) {
                    self.load_changed(index, now);
                }
            }
            Returned::Broken(reason) => self.end_of_session(index, reason, now),
            Returned::Refused => self.learn_refusal(index, now),
        }
        self.dispatch(now);
        unneeded
    }

    /// What has just come back goes to whoever waits longest: where somebody waits, all else that
    /// could be lent has to be checked first.
    #[inline]
    fn hand_on(&mut self, index: u32, now: Instant) -> bool {
        let Some(waiter) = self.waiters.front() else { return false };
        let slot = &self.slots[index];
        let stays = !slot.asked && slot.retiring.is_none() && !(slot.dirty && slot.load() == 0);
        let lendable = slot.load() < slot.limit && self.must_retire(index, now).is_none();
        if !stays || !lendable || self.is_stale(index, now) {
            return false;
        }
        self.promise(index, waiter);
        true
    }

    /// Leases or promises of a slot have become fewer.
    #[inline]
    pub(super) fn load_changed(&mut self, index: u32, now: Instant) {
        let slot = &self.slots[index];
        if slot.load() == 0 {
            return self.vacated(index, now);
        }
        if slot.leases == 0 && slot.phase == Phase::Lent {
            self.slots.enter(index, Phase::Reserved);
            // What was lent beyond its end goes now, though it is promised.
            if let Some(reason) = self.must_retire(index, now) {
                return self.retire(index, reason, now);
            }
            self.arm(index);
        }
        self.relink(index);
    }

    /// Puts a session that nobody has now where it belongs: idle, into a reset, or out of the pool.
    #[inline]
    pub(super) fn vacated(&mut self, index: u32, now: Instant) {
        let slot = &self.slots[index];
        let marked = slot.overdue || slot.retiring.is_some();
        let reason = if marked { self.slots.unmark(index) } else { None };
        if let Some(reason) = reason.or_else(|| self.must_retire(index, now)) {
            return self.begin_close(index, reason, now);
        }
        let slot = &mut self.slots[index];
        if slot.asked {
            // Its check goes on.
            slot.asked = false;
            self.slots.enter(index, Phase::Checking);
            return;
        }
        if std::mem::take(&mut slot.dirty) {
            // Too many such calls hang already: what cannot be cleaned is closed.
            if self.checks_are_hung() {
                return self.begin_close(index, CloseReason::ResetFailed, now);
            }
            self.slots[index].deadline = None;
            self.lendable.unlink(&mut self.slots, index);
            self.slots.enter(index, Phase::Resetting);
            self.queues.resets.push_back(self.slots.id(index));
            return;
        }
        // A lent session keeps its timer, which is never later than what is due now, unless it was
        // set for its promise, or for the tick in which it could have left.
        let armed = slot.phase == Phase::Lent && !slot.leaving && self.is_armed(index);
        let slot = &mut self.slots[index];
        slot.leaving = false;
        slot.deadline = None;
        self.freshest = self.freshest.max(Some(slot.verified));
        self.slots.enter(index, Phase::Idle);
        self.lendable.link(&mut self.slots, index);
        if !armed {
            self.arm(index);
        }
    }

    /// A borrower keeps its session for good: the pool forgets it and may open another. Of a
    /// shared session only the lease ends.
    pub fn detach(&mut self, lease: LeaseId, now: Instant) {
        if self.share.is_some() {
            self.mark_broken(lease, CloseReason::Detached, now);
            drop(self.release(lease, None, Returned::Broken(CloseReason::Detached), now));
            return;
        }
        let Some(record) = self.leases.end(lease) else { return };
        let index = record.slot;
        self.counters.detached += 1;
        let session = self.slots.id(index).number();
        self.emit(|| Event::Detached { session });
        self.slots.leases -= 1;
        self.free(index);
        self.dispatch(now);
    }

    /// A session with leases out is not to be lent any more.
    pub fn mark_broken(&mut self, lease: LeaseId, reason: CloseReason, now: Instant) {
        let Some(record) = self.leases.get(lease) else { return };
        let slot = record.slot;
        self.retire(slot, reason, now);
        self.dispatch(now);
    }

    /// Lets a session take no further lease, and closes it with its last one.
    pub(super) fn retire(&mut self, index: u32, reason: CloseReason, now: Instant) {
        match self.slots[index].phase {
            Phase::Reserved | Phase::Lent => {
                self.slots.mark_retiring(index, reason);
                // A check that nobody has started yet would tell nothing.
                self.slots.end_lend_check(index);
                let slot = &mut self.slots[index];
                slot.asked &= slot.work != Work::None;
                self.take_back_promises(index);
                self.relink(index);
                if self.slots[index].leases == 0 {
                    self.vacated(index, now);
                }
            }
            // Somebody looks at it; it is closed when it comes back.
            Phase::Checking if self.slots[index].purpose == super::Purpose::Inspect => {}
            Phase::Idle | Phase::Checking | Phase::Resetting => {
                self.begin_close(index, reason, now);
            }
            Phase::Vacant | Phase::Connecting | Phase::Closing | Phase::Orphan => {}
        }
    }

    /// A lease has ended with the session broken: the others end by themselves, no more are added.
    fn end_of_session(&mut self, index: u32, reason: CloseReason, now: Instant) {
        if self.slots[index].load() > 0 {
            self.retire(index, reason, now);
            return;
        }
        let reason = self.slots.unmark(index).unwrap_or(reason);
        self.begin_close(index, reason, now);
    }

    /// Breaks the promises of a slot: its borrowers queue again, at their places.
    pub(super) fn take_back_promises(&mut self, index: u32) {
        while self.slots[index].reserved > 0 {
            let Some(waiter) = self.waiters.last_reserved(index) else { return };
            self.waiters.unreserve(waiter);
            self.slots[index].reserved -= 1;
            self.slots.reserved -= 1;
        }
    }

    /// A session that comes back from nowhere can only be closed.
    fn adopt_stray(&mut self, session: Option<S>, now: Instant) -> Option<S> {
        if self.share.is_some() {
            return session;
        }
        if let Some(session) = session {
            self.adopt_orphan(session, now);
        }
        None
    }

    /// The time after which a lease is reported, if there is one.
    pub(super) fn report_long_leases(&mut self, now: Instant) {
        while let Some(record) = self.leases.pop_overdue(now) {
            let session = self.slots.id(record.slot).number();
            let held = now.saturating_duration_since(record.since);
            let event = Event::HeldLong { session, held, site: record.site };
            self.notices.push_back(super::Notice::Event(event));
        }
    }

    /// When an idle session of this pool expires at the latest.
    pub(super) fn give_birth(&mut self, index: u32, session: S, now: Instant) {
        let learned = self.limits.learned;
        let lifetime = self.config.max_lifetime;
        let slot = &mut self.slots[index];
        slot.session = Some(session);
        slot.limit = learned;
        (slot.born, slot.since, slot.verified, slot.watched) = (now, now, now, now);
        slot.expires_at = lifetime.and_then(|limit| later(now, slot.shortened(limit)));
        self.vacated(index, now);
    }
}
