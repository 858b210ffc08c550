//! The queue of borrowers, in order of arrival.

use std::panic::Location;
use std::time::Instant;

use super::timeline::Timeline;

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
    pub(super) fate: Fate<O>,
    /// Order of arrival.
    pub(super) ticket: u64,
    pub(super) arrived: Instant,
    deadline: Option<Instant>,
    pub(super) site: &'static Location<'static>,
    prev: u32,
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
    free: Vec<u32>,
    head: u32,
    tail: u32,
    queued: usize,
    /// Reserved and not collected yet.
    reserved: usize,
    next_ticket: u64,
    deadlines: Timeline,
}

impl<O> Default for Waiters<O> {
    fn default() -> Self {
        Self {
            waiters: Vec::new(),
            free: Vec::new(),
            head: NONE,
            tail: NONE,
            queued: 0,
            reserved: 0,
            next_ticket: 0,
            deadlines: Timeline::default(),
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
            fate: Fate::Queued,
            ticket,
            arrived: request.arrived,
            deadline: request.deadline,
            site: request.site,
            prev: NONE,
            next: NONE,
        };
        let index = match self.free.pop() {
            Some(index) => {
                let place = &mut self.waiters[index as usize];
                *place = Waiter { generation: place.generation, ..waiter };
                index
            }
            None => {
                self.waiters.push(waiter);
                self.waiters.len() as u32 - 1
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
            self.deadlines.set(index, deadline);
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
        self.deadlines.clear(index);
        self.queued -= 1;
    }

    /// Promises a slot to a queued waiter.
    pub(super) fn reserve(&mut self, index: u32, slot: u32) -> WaiterId {
        self.dequeue(index);
        self.reserved += 1;
        self.waiters[index as usize].fate = Fate::Reserved(slot);
        self.id(index)
    }

    /// Takes the promise back; the waiter queues again at its place.
    pub(super) fn unreserve(&mut self, index: u32) {
        self.reserved -= 1;
        self.enqueue(index);
    }

    /// Ends the wait of a queued waiter.
    pub(super) fn finish(&mut self, index: u32, outcome: O) -> WaiterId {
        self.dequeue(index);
        self.waiters[index as usize].fate = Fate::Done(outcome);
        self.id(index)
    }

    /// Forgets a waiter, and says what its fate was.
    pub(super) fn remove(&mut self, index: u32) -> Fate<O> {
        match self.waiters[index as usize].fate {
            Fate::Queued => self.dequeue(index),
            Fate::Reserved(_) => self.reserved -= 1,
            Fate::Done(_) | Fate::Vacant => {}
        }
        let waiter = &mut self.waiters[index as usize];
        waiter.generation = waiter.generation.wrapping_add(1);
        self.free.push(index);
        std::mem::replace(&mut waiter.fate, Fate::Vacant)
    }

    /// The next waiter whose deadline has come, still queued.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<u32> {
        self.deadlines.pop_due(now)
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

    pub(super) fn front(&self) -> Option<u32> {
        (self.head != NONE).then_some(self.head)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    /// All who have no outcome yet.
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
