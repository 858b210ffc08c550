//! The queue of borrowers, in order of arrival.
//!
//! A slab of waiters, linked twice: those that wait for a session are one list from `head` to
//! `tail`, ordered by ticket, the place in the order of arrival; free places are another, through
//! `next` alone. Who was promised a slot leaves the list and keeps its ticket, so that it comes
//! back to its old place where the promise is taken back. Who has an outcome is in no list, until
//! it asks for it or goes.

mod due;
#[cfg(test)]
mod tests;

use std::panic::Location;
use std::time::Instant;

use super::deadlines::Deadlines;

/// Names one waiting borrower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WaiterId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl WaiterId {
    /// A small number that no other borrower waiting now has.
    pub fn index(self) -> usize {
        self.index as usize
    }
}

/// What became of a waiter.
#[derive(Debug)]
pub(super) enum Fate<O> {
    Vacant,
    Queued,
    /// The slot of this index was promised.
    Reserved(u32),
    Done(O),
}

const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Waiter<O> {
    generation: u32,
    /// Its deadline is not before that of any other waiter listed so when it came.
    in_order: bool,
    pub(super) fate: Fate<O>,
    /// Order of arrival.
    pub(super) ticket: u64,
    pub(super) arrived: Instant,
    deadline: Option<Instant>,
    pub(super) site: &'static Location<'static>,
    prev: u32,
    /// The next in the queue, or in the list of free places.
    next: u32,
}

/// How a borrower asks: when it came, how long it waits, from which line of code.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// When it asked first.
    pub arrived: Instant,
    /// When it gives up; `None` is never.
    pub deadline: Option<Instant>,
    /// The caller.
    pub site: &'static Location<'static>,
    /// Its place in the order of arrival; `None` for a newcomer.
    pub ticket: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Waiters<O> {
    waiters: Vec<Waiter<O>>,
    free: u32,
    head: u32,
    tail: u32,
    queued: usize,
    /// Reserved and not collected yet.
    reserved: usize,
    /// Those that have an outcome and have not asked for it.
    told: usize,
    next_ticket: u64,
    /// The first in the queue of those whose deadlines are in the order of arrival, as they are
    /// where all have the same patience; and their last deadline.
    first_due: u32,
    last_due: Option<Instant>,
    /// The deadlines of the others.
    deadlines: Deadlines,
    /// No deadline of a promised waiter is earlier.
    reserved_due: Option<Instant>,
}

impl<O> Default for Waiters<O> {
    fn default() -> Self {
        Self {
            waiters: Vec::new(),
            free: NONE,
            head: NONE,
            tail: NONE,
            queued: 0,
            reserved: 0,
            told: 0,
            next_ticket: 0,
            first_due: NONE,
            last_due: None,
            deadlines: Deadlines::default(),
            reserved_due: None,
        }
    }
}

impl<O> Waiters<O> {
    /// Hands out the next place in the order of arrival.
    pub(super) fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    pub(super) fn push(&mut self, request: Request, ticket: u64) -> WaiterId {
        let waiter = Waiter {
            generation: 0,
            in_order: false,
            fate: Fate::Queued,
            ticket,
            arrived: request.arrived,
            deadline: request.deadline,
            site: request.site,
            prev: NONE,
            next: NONE,
        };
        let index = match self.free {
            NONE => {
                self.waiters.push(waiter);
                self.waiters.len() as u32 - 1
            }
            index => {
                let place = &mut self.waiters[index as usize];
                self.free = place.next;
                *place = Waiter { generation: place.generation, ..waiter };
                index
            }
        };
        self.enqueue(index);
        WaiterId { index, generation: self.waiters[index as usize].generation }
    }

    /// Puts a waiter into the queue at its place in the order of arrival.
    pub(super) fn enqueue(&mut self, index: u32) {
        let ticket = self.waiters[index as usize].ticket;
        let (mut before, mut after) = (self.tail, NONE);
        // Newcomers go to the end, those who return to the front: look from the nearer side.
        if self.head != NONE && self.waiters[self.head as usize].ticket > ticket {
            (before, after) = (NONE, self.head);
        }
        while before != NONE && self.waiters[before as usize].ticket > ticket {
            (before, after) = (self.waiters[before as usize].prev, before);
        }
        let waiter = &mut self.waiters[index as usize];
        waiter.fate = Fate::Queued;
        (waiter.prev, waiter.next) = (before, after);
        if let Some(deadline) = waiter.deadline {
            self.watch_deadline(index, deadline, after == NONE);
        }
        match before {
            NONE => self.head = index,
            _ => self.waiters[before as usize].next = index,
        }
        match after {
            NONE => self.tail = index,
            _ => self.waiters[after as usize].prev = index,
        }
        self.queued += 1;
    }

    fn dequeue(&mut self, index: u32) {
        let (prev, next) = (self.waiters[index as usize].prev, self.waiters[index as usize].next);
        match prev {
            NONE => self.head = next,
            _ => self.waiters[prev as usize].next = next,
        }
        match next {
            NONE => self.tail = prev,
            _ => self.waiters[next as usize].prev = prev,
        }
        self.unwatch_deadline(index, next);
        self.queued -= 1;
    }

    /// Promises a slot to a queued waiter.
    pub(super) fn reserve(&mut self, index: u32, slot: u32) -> WaiterId {
        self.dequeue(index);
        self.reserved += 1;
        let waiter = &mut self.waiters[index as usize];
        waiter.fate = Fate::Reserved(slot);
        if let Some(at) = waiter.deadline
            && self.reserved_due.is_none_or(|due| at < due)
        {
            self.reserved_due = Some(at);
        }
        self.id(index)
    }

    /// Takes the promise back; the waiter queues again at its place.
    pub(super) fn unreserve(&mut self, index: u32) {
        self.forget_promise();
        self.enqueue(index);
    }

    fn forget_promise(&mut self) {
        self.reserved -= 1;
        if self.reserved == 0 {
            self.reserved_due = None;
        }
    }

    /// Ends the wait of a waiter, queued or promised a slot.
    pub(super) fn finish(&mut self, index: u32, outcome: O) -> WaiterId {
        match self.waiters[index as usize].fate {
            Fate::Reserved(_) => self.forget_promise(),
            _ => self.dequeue(index),
        }
        self.waiters[index as usize].fate = Fate::Done(outcome);
        self.told += 1;
        self.id(index)
    }

    /// Forgets a waiter, and says what its fate was.
    pub(super) fn remove(&mut self, index: u32) -> Fate<O> {
        match self.waiters[index as usize].fate {
            Fate::Queued => self.dequeue(index),
            Fate::Reserved(_) => self.forget_promise(),
            Fate::Done(_) => self.told -= 1,
            Fate::Vacant => {}
        }
        let waiter = &mut self.waiters[index as usize];
        waiter.generation = waiter.generation.wrapping_add(1);
        waiter.next = self.free;
        self.free = index;
        std::mem::replace(&mut waiter.fate, Fate::Vacant)
    }

    /// The waiter that came last of those that were promised a slot.
    pub(super) fn last_reserved(&self, slot: u32) -> Option<u32> {
        let reserved = (0..self.waiters.len() as u32)
            .filter(|&index| matches!(self[index].fate, Fate::Reserved(of) if of == slot));
        reserved.max_by_key(|&index| self[index].ticket)
    }

    /// Whether somebody promised that slot came before that place in the order of arrival.
    pub(super) fn is_promised_before(&self, slot: u32, ticket: u64) -> bool {
        self.waiters.iter().any(|waiter| {
            matches!(waiter.fate, Fate::Reserved(of) if of == slot) && waiter.ticket < ticket
        })
    }

    pub(super) fn get(&self, id: WaiterId) -> Option<u32> {
        let waiter = self.waiters.get(id.index as usize)?;
        let alive = waiter.generation == id.generation && !matches!(waiter.fate, Fate::Vacant);
        alive.then_some(id.index)
    }

    pub(super) fn id(&self, index: u32) -> WaiterId {
        WaiterId { index, generation: self.waiters[index as usize].generation }
    }

    /// Everybody without an outcome, with the slot that was promised.
    pub(super) fn undecided(&self) -> impl Iterator<Item = (WaiterId, Option<u32>)> + '_ {
        (0..self.waiters.len() as u32).filter_map(|index| match self[index].fate {
            Fate::Queued => Some((self.id(index), None)),
            Fate::Reserved(slot) => Some((self.id(index), Some(slot))),
            Fate::Done(_) | Fate::Vacant => None,
        })
    }

    #[inline]
    pub(super) fn front(&self) -> Option<u32> {
        (self.head != NONE).then_some(self.head)
    }

    /// The place in the order of arrival of whoever is first in the queue.
    pub(super) fn front_ticket(&self) -> Option<u64> {
        self.front().map(|index| self[index].ticket)
    }

    /// Tickets go on from there, where several queues share one order.
    pub(super) fn set_last_ticket(&mut self, ticket: u64) {
        self.next_ticket = ticket;
    }

    pub(super) fn last_ticket(&self) -> u64 {
        self.next_ticket
    }

    #[inline]
    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    /// All who are known, those with an outcome that they have not asked for included.
    pub(super) fn known(&self) -> usize {
        self.waiting() + self.told
    }

    /// All who have no outcome yet.
    #[inline]
    pub(super) fn waiting(&self) -> usize {
        self.queued + self.reserved
    }
}

impl<O> std::ops::Index<u32> for Waiters<O> {
    type Output = Waiter<O>;

    fn index(&self, index: u32) -> &Waiter<O> {
        &self.waiters[index as usize]
    }
}
