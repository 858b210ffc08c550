//! What can be seen of a core between two steps.

use std::time::Instant;

use pool_core::core::{Core, Phase, Purpose, SlotId, WaiterId};
use pool_core::{CloseReason, Stats};

use super::handle::Handle;
use crate::FakeError;

/// All that can be seen of a core.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Book {
    pub(super) stats: Stats,
    pub(super) slots: Vec<Entry>,
    pub(super) queue: Vec<(WaiterId, Option<SlotId>)>,
    pub(super) due: Option<Instant>,
    /// How many leases a new session is expected to carry.
    pub(super) learned: usize,
}

/// A slot that is taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Entry {
    pub(super) slot: SlotId,
    pub(super) phase: Phase,
    /// Why it is asked for a sign of life, if it is.
    pub(super) purpose: Option<Purpose>,
    pub(super) leases: usize,
    pub(super) reserved: usize,
    pub(super) limit: usize,
    /// Why it takes no further lease and closes with its last one.
    pub(super) retiring: Option<CloseReason>,
}

impl Entry {
    pub(super) fn load(&self) -> usize {
        self.leases + self.reserved
    }

    /// Leases that could be added.
    pub(super) fn room(&self) -> usize {
        self.limit.saturating_sub(self.load())
    }

    /// Whether one lease more may be added, as far as can be seen from outside.
    pub(super) fn has_room(&self) -> bool {
        let free = matches!(self.phase, Phase::Idle | Phase::Reserved | Phase::Lent);
        free && self.room() > 0 && self.retiring.is_none() && self.purpose.is_none()
    }

    /// Whether its session is one that borrowers may still get.
    pub(super) fn stays(&self) -> bool {
        let open = !matches!(self.phase, Phase::Closing | Phase::Orphan);
        open && self.retiring.is_none()
    }
}

impl Book {
    pub(super) fn read(core: &Core<Handle, FakeError>) -> Self {
        let taken = core.phases().filter(|&(_, phase)| phase != Phase::Vacant);
        let entry = |(slot, phase)| {
            let (leases, reserved, limit) = core.load(slot).unwrap_or_default();
            let (purpose, retiring) = (core.purpose(slot), core.retiring(slot));
            Entry { slot, phase, purpose, leases, reserved, limit, retiring }
        };
        Self {
            stats: core.stats(),
            slots: taken.map(entry).collect(),
            queue: core.queue().collect(),
            due: core.poll_timeout(),
            learned: core.lease_limit(),
        }
    }

    pub(super) fn entry(&self, slot: SlotId) -> Option<&Entry> {
        self.slots.iter().find(|entry| entry.slot == slot)
    }

    pub(super) fn phase(&self, slot: SlotId) -> Option<Phase> {
        self.entry(slot).map(|entry| entry.phase)
    }

    pub(super) fn load(&self, slot: SlotId) -> usize {
        self.entry(slot).map_or(0, Entry::load)
    }

    pub(super) fn in_phase(&self, phase: Phase) -> impl Iterator<Item = SlotId> + '_ {
        self.slots.iter().filter(move |entry| entry.phase == phase).map(|entry| entry.slot)
    }

    pub(super) fn queued(&self) -> usize {
        self.queue.iter().filter(|entry| entry.1.is_none()).count()
    }

    /// The place of a waiter without an outcome.
    pub(super) fn place(&self, id: WaiterId) -> Option<Option<SlotId>> {
        self.queue.iter().find(|entry| entry.0 == id).map(|entry| entry.1)
    }

    /// Checks under way for borrowers, of sessions that can still be lent.
    pub(super) fn lend_checks(&self) -> impl Iterator<Item = &Entry> + '_ {
        let lend = |entry: &&Entry| entry.purpose == Some(Purpose::Lend) && entry.stays();
        self.slots.iter().filter(lend)
    }

    /// Slots that hold a session, be it with the core or with a task, and those being connected.
    pub(super) fn live(&self) -> usize {
        self.stats.open() - self.stats.closing
    }

    /// Those of them that take leases.
    pub(super) fn staying(&self) -> usize {
        self.slots.iter().filter(|entry| entry.stays()).count()
    }

    /// The slots but for those of sessions that came too late.
    pub(super) fn slots_of_the_pool(&self) -> Vec<Entry> {
        let ours = |entry: &&Entry| entry.phase != Phase::Orphan;
        self.slots.iter().filter(ours).copied().collect()
    }
}
