//! How many leases a session carries: learned from refusals, and unlearned with time.

use std::time::Instant;

use super::slot::Phase;
use super::{Core, later};
use crate::event::Event;
use crate::kinds::CloseReason;

#[derive(Debug)]
pub(super) struct Limits {
    /// What a new session starts with.
    pub(super) learned: u32,
    /// When it is tried whether sessions carry one more.
    pub(super) grows_at: Option<Instant>,
}

impl Limits {
    pub(super) fn new(leases_per_session: usize) -> Self {
        let learned = u32::try_from(leases_per_session).unwrap_or(u32::MAX);
        Self { learned, grows_at: None }
    }
}

impl<S, E: Clone> Core<S, E> {
    /// How many leases a new session is expected to carry.
    pub fn lease_limit(&self) -> usize {
        self.limits.learned as usize
    }

    /// The leases of a slot, those promised, and the most it carries, for tests of the books.
    pub fn load(&self, slot: super::SlotId) -> Option<(usize, usize, usize)> {
        let slot = &self.slots[self.slots.get(slot)?];
        Some((slot.leases as usize, slot.reserved as usize, slot.limit as usize))
    }

    /// Why a slot takes no further lease and closes with its last one, if so: for tests of the
    /// books.
    pub fn retiring(&self, slot: super::SlotId) -> Option<CloseReason> {
        self.slots[self.slots.get(slot)?].retiring
    }

    /// A peer refused a lease that has just ended; so many others are out.
    pub(super) fn learn_refusal(&mut self, index: u32, now: Instant) {
        let others = self.slots[index].leases;
        self.counters.refusals += 1;
        if others == 0 {
            // It does not even carry one.
            self.note_born_broken(index, now);
            self.take_back_promises(index);
            let reason = self.slots.unmark(index).unwrap_or(CloseReason::Refused);
            return self.begin_close(index, reason, now);
        }
        let limit = others.min(self.slots[index].limit);
        self.slots[index].limit = limit;
        // Its check serves fewer than it was begun for.
        self.slots.recount_lend_check(index);
        self.take_back_promises(index);
        self.relink(index);
        self.limits.learned = limit;
        if !self.closed {
            self.limits.grows_at = later(now, self.config.limit_recovery);
        }
        self.emit(|| Event::LimitLearned { leases: limit as usize });
        self.load_changed(index, now);
    }

    /// Nobody was refused for a while: every session may carry one more than is known.
    pub(super) fn recover_limits(&mut self, now: Instant) {
        if self.limits.grows_at.is_none_or(|at| at > now) {
            return;
        }
        let most = Limits::new(self.config.leases_per_session).learned;
        self.limits.learned = (self.limits.learned + 1).min(most);
        let mut all_know = self.limits.learned == most;
        for index in self.slots.indices() {
            let slot = &mut self.slots[index];
            // Of those that are being opened or closed nobody is lent anything.
            let lent = !matches!(
                slot.phase,
                Phase::Vacant | Phase::Connecting | Phase::Closing | Phase::Orphan
            );
            if lent && slot.limit < most {
                slot.limit += 1;
                all_know &= slot.limit == most;
                self.relink(index);
            }
        }
        self.limits.grows_at = if all_know { None } else { later(now, self.config.limit_recovery) };
        let leases = self.limits.learned as usize;
        self.emit(|| Event::LimitLearned { leases });
    }
}
