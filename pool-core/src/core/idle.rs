//! The sessions that can be lent, by how many leases each carries, ordered by last use.
//!
//! One list for each load from 0 (idle) to one below the most leases a session may carry: the
//! least loaded session is lent first, and among equals the one used last, or first. A session
//! that is asked for a keepalive stays in its list, so that it keeps its place in the order; lists
//! are read past it.

use std::time::Instant;

use super::slot::{Links, NONE, Phase};
use super::slots::Slots;

#[derive(Debug, Clone, Copy)]
struct List {
    /// Used last.
    head: u32,
    tail: u32,
}

#[derive(Debug)]
pub(super) struct Lendable {
    by_load: Vec<List>,
    /// No list below this one has anybody in it.
    lowest: usize,
}

impl Lendable {
    pub(super) fn new(leases_per_session: usize) -> Self {
        let empty = List { head: NONE, tail: NONE };
        Self { by_load: vec![empty; leases_per_session.max(1)], lowest: 0 }
    }

    /// Puts a slot where its load belongs; slots of one load are in the order of their last use,
    /// the newest first.
    #[inline]
    pub(super) fn link<S>(&mut self, slots: &mut Slots<S>, index: u32) {
        let slot = &slots[index];
        let (load, since) = (slot.load(), slot.since);
        if slot.links.list == load {
            return;
        }
        if slot.links.list != NONE {
            self.unlink(slots, index);
        }
        let list = &mut self.by_load[load as usize];
        let (mut newer, mut older) = (NONE, list.head);
        // What was just used goes to the head.
        while older != NONE && slots[older].since > since {
            (newer, older) = (older, slots[older].links.next);
        }
        slots[index].links = Links { list: load, prev: newer, next: older };
        match newer {
            NONE => list.head = index,
            _ => slots[newer].links.next = index,
        }
        match older {
            NONE => list.tail = index,
            _ => slots[older].links.prev = index,
        }
        self.lowest = self.lowest.min(load as usize);
    }

    #[inline]
    pub(super) fn unlink<S>(&mut self, slots: &mut Slots<S>, index: u32) {
        let Links { list, prev, next } = slots[index].links;
        if list == NONE {
            return;
        }
        slots[index].links = Links::default();
        let list = &mut self.by_load[list as usize];
        match prev {
            NONE => list.head = next,
            _ => slots[prev].links.next = next,
        }
        match next {
            NONE => list.tail = prev,
            _ => slots[next].links.prev = prev,
        }
    }

    /// The session to lend next: the least loaded one, the one used last where `newest`.
    #[inline]
    pub(super) fn first<S>(&mut self, slots: &Slots<S>, newest: bool) -> Option<u32> {
        let List { head, tail } = *self.by_load.get(self.lowest)?;
        let first = if newest { head } else { tail };
        if first != NONE && slots[first].phase != Phase::Checking {
            return Some(first);
        }
        self.search(slots, newest)
    }

    fn search<S>(&mut self, slots: &Slots<S>, newest: bool) -> Option<u32> {
        for load in self.lowest..self.by_load.len() {
            if let Some(index) = self.in_list(slots, load, newest).next() {
                return Some(index);
            }
            if load == self.lowest && self.by_load[load].head == NONE {
                self.lowest = load + 1;
            }
        }
        None
    }

    /// All sessions that can be lent, in the order in which they would be.
    pub(super) fn all<'a, S>(
        &'a self,
        slots: &'a Slots<S>,
        newest: bool,
    ) -> impl Iterator<Item = u32> + 'a {
        (0..self.by_load.len()).flat_map(move |load| self.in_list(slots, load, newest))
    }

    /// The idle session used last, or first where `newest` is false.
    #[inline]
    pub(super) fn first_idle<S>(&self, slots: &Slots<S>, newest: bool) -> Option<u32> {
        self.in_list(slots, 0, newest).next()
    }

    /// Whether a session can be lent, checks and ages aside.
    #[inline]
    pub(super) fn is_empty<S>(&mut self, slots: &Slots<S>) -> bool {
        self.first(slots, true).is_none()
    }

    #[inline]
    fn in_list<'a, S>(
        &self,
        slots: &'a Slots<S>,
        load: usize,
        newest: bool,
    ) -> impl Iterator<Item = u32> + use<'a, S> {
        let List { head, tail } = self.by_load[load];
        let mut index = if newest { head } else { tail };
        std::iter::from_fn(move || {
            while index != NONE {
                let (found, slot) = (index, &slots[index]);
                index = if newest { slot.links.next } else { slot.links.prev };
                if slot.phase != Phase::Checking {
                    return Some(found);
                }
            }
            None
        })
    }

    /// When the idle session that was used first was used.
    pub(super) fn idle_since<S>(&self, slots: &Slots<S>) -> Option<Instant> {
        self.first_idle(slots, false).map(|index| slots[index].since)
    }
}
