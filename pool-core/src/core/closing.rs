//! How sessions leave: closed at leave, and given up only where a close that runs hangs.

use std::time::Instant;

use super::slot::{Phase, Slot, SlotId, Work};
use super::{Core, Notice, later};
use crate::event::Event;
use crate::kinds::{CloseReason, Operation};

impl<S, E: Clone> Core<S, E> {
    /// Starts to close a session that nobody has. Where a task still works on it, that task's end
    /// comes first.
    pub(super) fn begin_close(&mut self, index: u32, reason: CloseReason, now: Instant) {
        self.lendable.unlink(&mut self.slots, index);
        self.slot_timers.clear(index);
        self.slots.unmark(index);
        self.slots.end_lend_check(index);
        self.slots.enter(index, Phase::Closing);
        self.count_closed(index, Some(reason), now);
        let slot = &mut self.slots[index];
        slot.asked = false;
        if slot.work == Work::None {
            // Its time runs from the moment that somebody starts to close it.
            slot.deadline = None;
            self.queues.closes.push_back((self.slots.id(index), reason));
        } else {
            if slot.interrupted || slot.deadline.is_none() {
                slot.deadline = later(now, self.config.close_timeout);
            }
            self.arm(index);
        }
    }

    /// A task has given back a session that is to be closed.
    pub(super) fn resume_close(&mut self, index: u32) {
        self.slot_timers.clear(index);
        self.slots[index].deadline = None;
        self.queues.closes.push_back((self.slots.id(index), CloseReason::Interrupted));
    }

    /// A session is closed.
    pub fn closed(&mut self, id: SlotId, now: Instant) {
        let Some(index) = self.slots.get(id) else {
            self.hung.remove(id);
            return;
        };
        if self.slots[index].work == Work::Close {
            self.running.closes -= 1;
            self.free(index);
            self.dispatch(now);
        }
    }

    /// The time of a slot that is closing, or of the task that it waits for, is up.
    pub(super) fn closing_due(&mut self, index: u32, now: Instant) {
        let id = self.slots.id(index);
        match self.slots[index].work {
            Work::None => {}
            Work::Close => {
                self.running.closes -= 1;
                self.notices.push_back(Notice::Interrupt(id));
                self.give_up(index, Operation::Close, now);
            }
            Work::Check | Work::Reset if !self.slots[index].interrupted => {
                self.interrupt(index);
                self.slots[index].deadline = later(now, self.config.close_timeout);
                self.arm(index);
            }
            Work::Check | Work::Reset => self.give_up(index, Operation::Check, now),
        }
    }

    /// Interrupts the checks and resets that closing sessions wait for: what they would tell is of
    /// no use any more, and one whose peer is gone would take all the time that closing has.
    pub(super) fn end_upkeep(&mut self, now: Instant) {
        for index in self.slots.indices() {
            let Slot { phase, work, interrupted, .. } = self.slots[index];
            if phase == Phase::Closing && matches!(work, Work::Check | Work::Reset) && !interrupted
            {
                self.closing_due(index, now);
            }
        }
    }

    /// Tells the task that works on a slot to end.
    pub(super) fn interrupt(&mut self, index: u32) {
        let purpose = self.slots[index].purpose;
        match self.slots[index].work {
            Work::Check => self.count_done(purpose),
            Work::Reset => self.running.resets -= 1,
            Work::None | Work::Close => return,
        }
        self.slots[index].interrupted = true;
        self.notices.push_back(Notice::Interrupt(self.slots.id(index)));
    }

    /// Frees the slot of an operation that does not end, whatever it still does.
    pub(super) fn give_up(&mut self, index: u32, operation: Operation, now: Instant) {
        let id = self.slots.id(index);
        self.hung.add(id, operation);
        let session = id.number();
        self.emit(|| Event::Hung { session, operation });
        let left = self.free(index);
        if operation == Operation::Check && self.checks_are_hung() {
            self.give_up_queued_checks(now);
        }
        // A shared session's own handle; what hangs has another one.
        if operation == Operation::Check
            && let Some(session) = left
        {
            self.adopt_late(session, now);
        }
    }

    /// What cannot be checked or cleaned, because too many such calls hang, is closed.
    fn give_up_queued_checks(&mut self, now: Instant) {
        for slot in std::mem::take(&mut self.queues.checks) {
            let Some(index) = self.slots.get(slot) else { continue };
            let Slot { work, asked, phase, .. } = self.slots[index];
            if work == Work::None && (asked || phase == Phase::Checking) {
                self.slots[index].asked = false;
                self.slots.end_lend_check(index);
                self.retire(index, CloseReason::CheckFailed, now);
            }
        }
        for slot in std::mem::take(&mut self.queues.resets) {
            let Some(index) = self.slots.get(slot) else { continue };
            if self.slots[index].work == Work::None && self.slots[index].phase == Phase::Resetting {
                self.begin_close(index, CloseReason::ResetFailed, now);
            }
        }
    }

    /// A session that was given up has come back: it is closed, and counted already.
    pub(super) fn adopt_late(&mut self, session: S, now: Instant) -> u32 {
        // Whoever waits for the end and looks only now has missed that it was told.
        self.drained = false;
        let index = self.slots.open(Phase::Orphan, now, self.epoch, 1.0);
        self.slots[index].session = Some(session);
        self.queues.closes.push_back((self.slots.id(index), CloseReason::Interrupted));
        index
    }

    /// A session that was opened after its connect was given up can only be closed. It counts as
    /// an orphan until that is done.
    pub(super) fn adopt_orphan(&mut self, session: S, now: Instant) {
        self.counters.created += 1;
        let index = self.adopt_late(session, now);
        let session = self.slots.id(index).number();
        self.emit(|| Event::Added { session });
        self.count_closed(index, Some(CloseReason::Interrupted), now);
    }

    pub(super) fn count_closed(&mut self, index: u32, reason: Option<CloseReason>, now: Instant) {
        let Some(reason) = reason else { return };
        self.counters.closed[reason as usize] += 1;
        let age = now.saturating_duration_since(self.slots[index].born);
        let session = self.slots.id(index).number();
        self.emit(|| Event::Closed { session, reason, age });
    }

    /// Gives a slot back. A session left in it is returned.
    pub(super) fn free(&mut self, index: u32) -> Option<S> {
        self.slot_timers.clear(index);
        self.lendable.unlink(&mut self.slots, index);
        self.slots.end_lend_check(index);
        let session = self.slots.vacate(index);
        self.keep_what_fits();
        session
    }

    /// Sessions that were to go because the pool was made smaller may stay, where others went.
    fn keep_what_fits(&mut self) {
        if self.surplus == 0 {
            return;
        }
        let resized = |index: &u32| self.slots[*index].retiring == Some(CloseReason::Resized);
        let marked = self.slots.indices().filter(resized);
        let Some(most_used) = marked.max_by_key(|&index| self.slots[index].leases) else {
            self.surplus = 0;
            return;
        };
        if self.slots.staying() < self.config.max_size && !self.closed {
            self.slots.keep(most_used);
            self.relink(most_used);
            self.surplus -= 1;
        }
    }
}
