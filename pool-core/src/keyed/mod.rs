//! One pool per key (a host, say), with a limit per key and one over all keys, and one set of
//! workers for all of them.
//!
//! Each key has a core of its own, so all that a pool promises holds per key; what is added is the
//! total. A key that wants a session while the total is reached waits its turn: the session that
//! has been idle for longest under any other key is closed for it, or, where none is idle, the
//! next one that comes back. Keys nobody uses are forgotten.

mod books;
mod hub;
mod sync;
mod tasks;

use std::time::Duration;

use crate::config::{Config, ConfigError};

pub use self::sync::KeyedPool;
pub use self::tasks::AsyncKeyedPool;

/// How a keyed pool behaves.
#[derive(Debug, Clone)]
pub struct KeyedConfig {
    per_key: Config,
    max_total: usize,
    forget_after: Duration,
}

impl KeyedConfig {
    /// `per_key` applies to each key; at most `max_total` sessions are open at once over all keys.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where `max_total` is zero.
    pub fn new(per_key: Config, max_total: usize) -> Result<Self, ConfigError> {
        if max_total == 0 {
            return Err(ConfigError::new("max_total", "1 or more"));
        }
        Ok(Self { per_key, max_total, forget_after: Duration::from_secs(60) })
    }

    /// How long a key without sessions and borrowers is remembered, with the delays after its last
    /// errors; default 60 s.
    #[must_use]
    pub fn forget_after(mut self, time: Duration) -> Self {
        self.forget_after = time;
        self
    }
}

/// The counts of a keyed pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyedStats {
    /// Keys known now.
    pub keys: usize,
    /// Sessions open over all keys, those being opened and closed included.
    pub open: usize,
    /// Keys that wait for a place under the total.
    pub starved: usize,
}
