//! Who gets the places under the total, and who gives one up.

use std::collections::BinaryHeap;
use std::time::Instant;

use super::KeyedCore;
use super::entry::{Entry, KeyId};
use crate::core::{Core, Task};

/// So many keys are asked to give up a session before the next thing happens. One does not where all
/// that it has is promised to borrowers that came before.
const ATTEMPTS: usize = 8;

impl<S, E: Clone> KeyedCore<S, E> {
    /// Sets the most sessions over all keys. What is too many is closed: idle sessions now, those
    /// used first before others, lent ones of the keys that have most with their last lease.
    pub fn resize_total(&mut self, max_total: usize, now: Instant) {
        self.config.max_total = max_total;
        while self.staying > max_total && self.give_up_longest_idle(now) {}
        let spare = |entry: &Entry<S, E>| entry.load.spare;
        let all = self.entries.iter().enumerate().map(|(index, entry)| (spare(entry), index));
        let mut most: BinaryHeap<_> = all.collect();
        while let Some((_, index)) = most.pop().filter(|_| self.staying > max_total) {
            if self.displace(index as u32, 0, now) {
                most.push((spare(&self.entries[index]), index));
            }
        }
        self.make_room(now);
    }

    /// Sees to it that as many places become free as keys starve for.
    pub(super) fn make_room(&mut self, now: Instant) {
        self.turn_ends = None;
        while let Some(&(Some(until), index)) = self.displaced.front()
            && until <= now
        {
            self.displaced.pop_front();
            self.entries[index as usize].displaced -= 1;
        }
        while !self.closed && self.starved.len() > self.coming() {
            if !self.give_up_longest_idle(now) && !self.take_from_largest(now) {
                return;
            }
        }
        if !self.starved.is_empty() {
            self.turn_ends = self.displaced.front().and_then(|(until, _)| *until);
        }
    }

    /// Places that are free, or will be before long.
    pub(super) fn coming(&self) -> usize {
        self.config.max_total.saturating_sub(self.open) + self.closing + self.displaced.len()
    }

    fn give_up_longest_idle(&mut self, now: Instant) -> bool {
        while let Some((index, bound)) = self.spare.first() {
            self.spare.clear(index);
            let entry = &mut self.entries[index as usize];
            let Some(since) = entry.core.as_ref().and_then(Core::spare_since) else { continue };
            if since > bound && self.spare.next().is_some_and(|other| other < since) {
                self.spare.set(index, since);
                continue;
            }
            if self.displace(index, 0, now) {
                return true;
            }
        }
        false
    }

    /// A key that starves and has less than its share gets one from a key that has more.
    fn take_from_largest(&mut self, now: Instant) -> bool {
        let Some(&((_, ticket), starving)) = self.starved.first() else { return false };
        let has = self.entries[starving as usize].load.staying();
        let larger = self.competing.iter().rev().take_while(|(most, ..)| *most >= has + 2);
        let larger: Vec<u32> = larger.take(ATTEMPTS).map(|&(_, _, index)| index).collect();
        if larger.into_iter().any(|index| self.displace(index, ticket, now)) {
            return true;
        }
        if has > 0 {
            return false;
        }
        // It has none, and nobody gives up one of two: whoever has had its own for longest ends
        // its turn.
        let equals: Vec<_> = self.competing.iter().take(ATTEMPTS).copied().collect();
        for (_, since, index) in equals {
            match since.checked_add(self.config.turn) {
                Some(end) if end <= now => {
                    if self.displace(index, ticket, now) {
                        return true;
                    }
                }
                end => {
                    self.turn_ends = end;
                    return false;
                }
            }
        }
        false
    }

    /// Has a key give up one session, now or with its last lease, to a borrower with that ticket.
    pub(super) fn displace(&mut self, index: u32, ticket: u64, now: Instant) -> bool {
        let entry = &mut self.entries[index as usize];
        let Some(core) = entry.core.as_mut() else { return false };
        if !core.give_up_one_to(ticket, now) {
            return false;
        }
        if core.load_on_total().retiring > entry.load.retiring {
            entry.displaced += 1;
            self.displaced.push_back((now.checked_add(self.config.turn), index));
        }
        self.enter(index, now);
        true
    }

    /// Gives a place that is free to whoever has waited longest for one, and then to those for
    /// whom nobody waits.
    pub(super) fn grant(&mut self, now: Instant) -> Option<(KeyId, Task<S>)> {
        while self.open < self.config.max_total {
            let index = match self.starved.first() {
                Some(&(_, index)) => index,
                None => {
                    let index = self.wishing.pop_front()?;
                    self.entries[index as usize].is_wishing = false;
                    index
                }
            };
            // A check that a borrower waits for comes before.
            let task = self.visit(index, now, |core| {
                core.allow_connects(1);
                let task = core.wants_connect(now).then(|| core.poll_task(now)).flatten();
                core.stop_connects();
                task
            });
            if let Some(task) = task.flatten() {
                return Some((self.id(index), task));
            }
        }
        None
    }
}
