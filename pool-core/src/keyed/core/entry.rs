//! One key: its core, and what of it stands in the counts and queues of the pool.

use std::time::{Duration, Instant};

use super::super::KeyedConfig;
use crate::core::{Core, LoadOnTotal};

/// Names one key for as long as it is known. Never reused with the same generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId {
    pub(in crate::keyed) index: u32,
    pub(super) generation: u32,
}

#[derive(Debug)]
pub(super) struct Entry<S, E> {
    pub(super) generation: u32,
    pub(super) core: Option<Core<S, E>>,
    /// As counted in the books.
    pub(super) load: LoadOnTotal,
    /// Sessions that were lent when they were given up, and are counted on to come back.
    pub(super) displaced: usize,
    /// Nobody has used it yet.
    pub(super) is_new: bool,
    /// In the queue of that name, which is not searched when it has no more to do.
    pub(super) is_ready: bool,
    pub(super) is_wishing: bool,
    pub(super) starved: Option<Hunger>,
    pub(super) competing: Option<(usize, Instant)>,
    /// Since when it has had sessions that can be lent.
    pub(super) tenure: Option<Instant>,
    /// Since when nothing is open and nobody waits.
    pub(super) quiet_since: Option<Instant>,
}

/// Whether a key has a session, and the ticket of whoever has waited longest.
pub(super) type Hunger = (bool, u64);

/// How long a key is kept, at the least, before anybody has used it.
const BEFORE_FIRST_USE: Duration = Duration::from_secs(1);

impl<S, E> Entry<S, E> {
    /// When it is forgotten, if nothing happens. Who made it must have the time to use it.
    pub(super) fn forgotten_at(&self, config: &KeyedConfig) -> Option<Instant> {
        let patience = config.forget_after;
        let patience = if self.is_new { patience.max(BEFORE_FIRST_USE) } else { patience };
        self.quiet_since?.checked_add(patience)
    }

    pub(super) fn vacant() -> Self {
        Self {
            generation: 0,
            core: None,
            load: LoadOnTotal::default(),
            displaced: 0,
            is_new: true,
            is_ready: false,
            is_wishing: false,
            starved: None,
            competing: None,
            tenure: None,
            quiet_since: None,
        }
    }
}
