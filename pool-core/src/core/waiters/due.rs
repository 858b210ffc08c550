//! Whose wait ends first.
//!
//! A queue mostly has deadlines in the order of arrival, for all have the same patience. Then the
//! first in the queue is the first whose time is up, and to keep a heap of deadlines would cost
//! more than all else that a wait costs. So whoever comes last, with the last deadline of all so
//! far, is *in order*: it is found by walking the queue from `first_due`. Only the others, who have
//! less patience than somebody before them or came back to their old place, go into the heap.
//!
//! Whoever was promised a slot and has not collected it is in neither, and all of them are looked
//! at when `reserved_due`, which is never too late, has come: they are few, and mostly collect at
//! once.

use std::time::Instant;

use super::{Fate, NONE, Waiter, Waiters};

impl<O> Waiters<O> {
    /// A waiter entered the queue, at its end or elsewhere.
    pub(super) fn watch_deadline(&mut self, index: u32, deadline: Instant, at_end: bool) {
        let listed = self.first_due != NONE;
        let in_order = at_end && !(listed && self.last_due > Some(deadline));
        self.waiters[index as usize].in_order = in_order;
        match in_order {
            true => {
                self.last_due = Some(deadline);
                self.first_due = if listed { self.first_due } else { index };
            }
            false => self.deadlines.set(index, deadline),
        }
    }

    /// A waiter left the queue, where `next` came after it.
    pub(super) fn unwatch_deadline(&mut self, index: u32, next: u32) {
        match self.waiters[index as usize].in_order {
            true if self.first_due == index => {
                self.first_due = next;
                while self.listed_due().is_some_and(|waiter| !waiter.in_order) {
                    self.first_due = self.waiters[self.first_due as usize].next;
                }
            }
            true => {}
            false => self.deadlines.clear(index),
        }
    }

    /// The next waiter whose deadline has come, still queued; it is to be [finished](Self::finish).
    pub(in crate::core) fn pop_due(&mut self, now: Instant) -> Option<u32> {
        match (self.listed_due().and_then(|waiter| waiter.deadline), self.deadlines.next()) {
            (Some(at), other) if other.is_none_or(|other| at <= other) => {
                (at <= now).then_some(self.first_due)
            }
            _ => self.deadlines.pop_due(now),
        }
    }

    /// The next waiter that did not collect in time what it was promised, with the slot; it is to
    /// be [finished](Self::finish).
    pub(in crate::core) fn uncollected(&mut self, now: Instant) -> Option<(u32, u32)> {
        if self.reserved_due.is_none_or(|at| at > now) {
            return None;
        }
        let mut next = None;
        for index in 0..self.waiters.len() as u32 {
            let Waiter { fate: Fate::Reserved(slot), deadline: Some(at), .. } = self[index] else {
                continue;
            };
            if at <= now {
                return Some((index, slot));
            }
            next = Some(next.map_or(at, |next: Instant| next.min(at)));
        }
        self.reserved_due = next;
        None
    }

    #[inline]
    pub(in crate::core) fn next_deadline(&self) -> Option<Instant> {
        let listed = self.listed_due().and_then(|waiter| waiter.deadline);
        [listed, self.deadlines.next(), self.reserved_due].into_iter().flatten().min()
    }

    #[inline]
    fn listed_due(&self) -> Option<&Waiter<O>> {
        self.waiters.get(self.first_due as usize)
    }
}
