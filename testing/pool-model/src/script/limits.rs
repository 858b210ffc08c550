//! The model of how many leases sessions carry, as far as is known (I35).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use pool_core::core::{Phase, SlotId};

use super::books::Book;
use super::violation::Checked;

#[derive(Debug)]
pub(super) struct LimitModel {
    most: usize,
    learned: usize,
    grows_at: Option<Instant>,
    slots: HashMap<SlotId, usize>,
}

impl LimitModel {
    pub(super) fn new(most: usize) -> Self {
        Self { most, learned: most, grows_at: None, slots: HashMap::new() }
    }

    /// A session came into a slot.
    pub(super) fn born(&mut self, slot: SlotId) {
        self.slots.insert(slot, self.learned);
    }

    pub(super) fn gone(&mut self, slot: SlotId) {
        self.slots.remove(&slot);
    }

    /// A lease was refused while so many others were out.
    pub(super) fn refused(&mut self, slot: SlotId, others: usize, again: Option<Instant>) {
        let Some(limit) = self.slots.get_mut(&slot).filter(|_| others > 0) else { return };
        *limit = others.min(*limit);
        self.learned = *limit;
        self.grows_at = again;
    }

    /// Time has passed; the book is that from before. Whether one more lease is tried.
    pub(super) fn told(&mut self, before: &Book, now: Instant, recovery: Duration) -> bool {
        if self.grows_at.is_none_or(|at| at > now) {
            return false;
        }
        self.learned = (self.learned + 1).min(self.most);
        for limit in self.slots.values_mut() {
            *limit = (*limit + 1).min(self.most);
        }
        let closing = |slot| matches!(before.phase(slot), None | Some(Phase::Closing));
        let short = |(slot, limit): (&SlotId, &usize)| *limit < self.most && !closing(*slot);
        let grown = self.learned == self.most && !self.slots.iter().any(short);
        self.grows_at = if grown { None } else { now.checked_add(recovery) };
        true
    }

    /// A closed pool tries nothing.
    pub(super) fn closed(&mut self) {
        self.grows_at = None;
    }

    /// Whether everything that was learned is forgotten.
    pub(super) fn is_grown(&self) -> bool {
        self.grows_at.is_none()
    }

    pub(super) fn check(&self, book: &Book) -> Checked {
        let (learned, expected) = (book.learned, self.learned);
        ensure!(learned == expected, "I35", "{learned} leases expected instead of {expected}");
        ensure!((1..=self.most).contains(&learned), "I35", "{learned} leases expected");
        for entry in &book.slots {
            let known = self.slots.get(&entry.slot).filter(|_| entry.phase != Phase::Closing);
            let Some(limit) = known else { continue };
            ensure!(entry.limit == *limit, "I35", "{entry:?} should carry {limit}");
            let fits = entry.load() <= entry.limit && (1..=self.most).contains(&entry.limit);
            ensure!(fits, "I31", "{entry:?} carries too much");
        }
        Ok(())
    }
}
