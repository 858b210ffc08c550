//! Operations that were given up at their deadlines and have not come back.
//!
//! On threads nothing can end a call that hangs, so it is written off: its slot is free, and what
//! it brings later is closed. How many of each kind may hang is bounded, each on its own, so that
//! closes that hang stop no connects.

use super::slot::SlotId;
use crate::kinds::Operation;

#[derive(Debug, Default)]
pub(super) struct Hung {
    /// Few, so a list is as good as anything.
    operations: Vec<(SlotId, Operation)>,
}

impl Hung {
    pub(super) fn add(&mut self, slot: SlotId, operation: Operation) {
        self.operations.push((slot, operation));
    }

    /// An operation has come back after all.
    pub(super) fn remove(&mut self, slot: SlotId) -> Option<Operation> {
        let place = self.operations.iter().position(|(hung, _)| *hung == slot)?;
        Some(self.operations.swap_remove(place).1)
    }

    pub(super) fn count(&self, operation: Operation) -> usize {
        self.operations.iter().filter(|(_, hung)| *hung == operation).count()
    }

    pub(super) fn len(&self) -> usize {
        self.operations.len()
    }
}
