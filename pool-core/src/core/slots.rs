//! The sessions of a pool: a slab of slots, each in exactly one phase.

use std::time::Instant;

use super::grow::grow;
use super::slot::{PHASES, Phase, Slot, SlotId};
use crate::kinds::{CloseReason, Purpose};

#[derive(Debug)]
pub(super) struct Slots<S> {
    slots: Vec<Slot<S>>,
    free: Vec<u32>,
    counts: [usize; PHASES],
    /// Leases out, over all slots.
    pub(super) leases: usize,
    /// Leases promised, over all slots.
    pub(super) reserved: usize,
    /// Sessions with leases out that take no further one.
    pub(super) retiring: usize,
    /// Sessions past their lifetime that are still lent.
    pub(super) overdue: usize,
    /// Borrowers that the checks under way for them may serve, and those that probably will.
    lend_capacity: usize,
    promised: usize,
    aging_idle: usize,
}

impl<S> Default for Slots<S> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            counts: [0; PHASES],
            leases: 0,
            reserved: 0,
            retiring: 0,
            overdue: 0,
            lend_capacity: 0,
            promised: 0,
            aging_idle: 0,
        }
    }
}

impl<S> Slots<S> {
    /// Makes room for one more slot, and never for more than there may be.
    pub(super) fn reserve(&mut self, most: usize) {
        if self.free.is_empty() {
            grow(&mut self.slots, most);
        }
    }

    /// Takes a free slot, or a new one.
    pub(super) fn open(&mut self, phase: Phase, now: Instant, epoch: u32, portion: f32) -> u32 {
        let (index, generation) = match self.free.pop() {
            Some(index) => (index, self[index].generation),
            None => {
                self.slots.push(Slot::vacant(now));
                self.counts[Phase::Vacant as usize] += 1;
                (self.slots.len() as u32 - 1, 0)
            }
        };
        self[index] = Slot { generation, epoch, portion, ..Slot::vacant(now) };
        self.enter(index, phase);
        index
    }

    /// Frees a slot and outdates its id. What was left in it comes back.
    pub(super) fn vacate(&mut self, index: u32) -> Option<S> {
        self.unmark(index);
        self.enter(index, Phase::Vacant);
        let slot = &mut self[index];
        slot.generation = slot.generation.wrapping_add(1);
        let session = slot.session.take();
        self.free.push(index);
        session
    }

    /// Moves a slot to another phase: the only place where counts of sessions change.
    #[inline]
    pub(super) fn enter(&mut self, index: u32, phase: Phase) {
        let slot = &mut self.slots[index as usize];
        self.counts[slot.phase as usize] -= 1;
        self.counts[phase as usize] += 1;
        if slot.aging {
            self.aging_idle -= usize::from(slot.phase == Phase::Idle);
            self.aging_idle += usize::from(phase == Phase::Idle);
        }
        slot.phase = phase;
    }

    /// A check for borrowers begins: those that it may serve are counted as supplied.
    pub(super) fn begin_lend_check(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let room = slot.limit.saturating_sub(slot.load()).max(1);
        // A keepalive serves whoever comes meanwhile, but nobody has to wait for it where another
        // session can be checked.
        slot.may_serve = if slot.purpose == Purpose::Lend { room } else { 0 };
        slot.promised = if slot.suspect { 0 } else { room };
        self.lend_capacity += slot.may_serve as usize;
        self.promised += slot.promised as usize;
    }

    /// The slot of a check for borrowers carries fewer leases than it did.
    pub(super) fn recount_lend_check(&mut self, index: u32) {
        let slot = &self.slots[index as usize];
        if slot.may_serve + slot.promised > 0 {
            self.end_lend_check(index);
            self.begin_lend_check(index);
        }
    }

    pub(super) fn end_lend_check(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        self.lend_capacity -= slot.may_serve as usize;
        self.promised -= slot.promised as usize;
        (slot.may_serve, slot.promised) = (0, 0);
    }

    /// Marks an idle session as close to its end.
    pub(super) fn enter_age(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if !slot.aging {
            slot.aging = true;
            self.aging_idle += 1;
        }
    }

    /// A session with leases out takes no further one.
    pub(super) fn mark_retiring(&mut self, index: u32, reason: CloseReason) {
        let slot = &mut self.slots[index as usize];
        if slot.retiring.replace(reason).is_none() {
            self.retiring += 1;
            // It wants no successor any more: it has one, or goes for another reason.
            self.overdue -= usize::from(slot.overdue);
        }
    }

    /// It may be lent again after all.
    pub(super) fn keep(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if slot.retiring.take().is_some() {
            self.retiring -= 1;
            self.overdue += usize::from(slot.overdue);
        }
    }

    /// A session that is past its lifetime is lent once more, and a successor of it wanted.
    pub(super) fn mark_overdue(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let overdue = std::mem::replace(&mut slot.overdue, true);
        self.overdue += usize::from(!overdue && slot.retiring.is_none());
    }

    /// Forgets what was decided for as long as leases are out.
    pub(super) fn unmark(&mut self, index: u32) -> Option<CloseReason> {
        let slot = &mut self.slots[index as usize];
        let reason = slot.retiring.take();
        let overdue = std::mem::take(&mut slot.overdue);
        self.overdue -= usize::from(overdue && reason.is_none());
        self.retiring -= usize::from(reason.is_some());
        reason
    }

    pub(super) fn is_aging(&self, index: u32) -> bool {
        self.slots[index as usize].aging
    }

    /// Borrowers that checks under way may serve.
    pub(super) fn lend_capacity(&self) -> usize {
        self.lend_capacity
    }

    /// Those of them that will probably be served.
    pub(super) fn promised(&self) -> usize {
        self.promised
    }

    pub(super) fn aging_idle(&self) -> usize {
        self.aging_idle
    }

    #[inline]
    pub(super) fn get(&self, id: SlotId) -> Option<u32> {
        let slot = self.slots.get(id.index as usize)?;
        (slot.generation == id.generation && slot.phase != Phase::Vacant).then_some(id.index)
    }

    #[inline]
    pub(super) fn id(&self, index: u32) -> SlotId {
        SlotId { index, generation: self[index].generation }
    }

    #[inline]
    pub(super) fn count(&self, phase: Phase) -> usize {
        self.counts[phase as usize]
    }

    /// Everything that counts against the limit.
    #[inline]
    pub(super) fn in_use(&self) -> usize {
        let apart = self.counts[Phase::Vacant as usize] + self.counts[Phase::Orphan as usize];
        self.slots.len() - apart
    }

    /// What counts against the limit and is not on its way out.
    pub(super) fn staying(&self) -> usize {
        self.in_use() - self.count(Phase::Closing) - self.retiring
    }

    pub(super) fn indices(&self) -> impl Iterator<Item = u32> + use<S> {
        0..self.slots.len() as u32
    }

    pub(super) fn in_phase(&self, phase: Phase) -> impl Iterator<Item = u32> + '_ {
        self.indices().filter(move |&index| self[index].phase == phase)
    }
}

impl<S> std::ops::Index<u32> for Slots<S> {
    type Output = Slot<S>;

    #[inline]
    fn index(&self, index: u32) -> &Slot<S> {
        &self.slots[index as usize]
    }
}

impl<S> std::ops::IndexMut<u32> for Slots<S> {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut Slot<S> {
        &mut self.slots[index as usize]
    }
}
