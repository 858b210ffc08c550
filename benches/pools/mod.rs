//! Our pool and its peers over the same session: a number that costs nothing to open.

pub mod ours;
pub mod peers;

use std::sync::atomic::{AtomicU64, Ordering};

/// Sessions opened by whichever backend is under test.
#[derive(Debug, Default)]
pub struct Opened(AtomicU64);

impl Opened {
    /// Another session.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
