//! One pool per key (a host, say), with a limit per key and one over all keys, and one set of
//! workers for all of them.
//!
//! Each key has a core of its own, so all that a pool promises holds per key; what is added is the
//! total, and who gets its places: see [`core`]. Keys nobody uses are forgotten.

pub mod core;

mod audit;
mod domain;
mod owner;
mod sync;
mod tasks;

use std::time::Duration;

use crate::config::{Config, ConfigError};
use crate::event::Event;

pub use self::domain::{ByKey, Keyed};
pub use self::sync::{KeyedPool, KeyedPoolBuilder, KeyedPooled};
pub use self::tasks::{AsyncKeyedPool, AsyncKeyedPoolBuilder, AsyncKeyedPooled, KeyedAcquire};

/// How a keyed pool behaves.
#[derive(Debug, Clone)]
pub struct KeyedConfig {
    per_key: Config,
    max_total: usize,
    forget_after: Duration,
    turn: Duration,
}

impl KeyedConfig {
    /// `per_key` applies to each key; at most `max_total` sessions are open at once over all keys,
    /// those being opened and closed included. `min_idle` is what a key gets where nobody waits
    /// for the place.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where `max_total` is zero.
    pub fn new(per_key: Config, max_total: usize) -> Result<Self, ConfigError> {
        if max_total == 0 {
            return Err(ConfigError::new("max_total", "1 or more"));
        }
        let forget_after = Duration::from_secs(60);
        Ok(Self { per_key, max_total, forget_after, turn: Duration::from_millis(250) })
    }

    /// How long a key without sessions, borrowers and unfinished work is remembered, with the
    /// delays after its last errors; default 60 s.
    #[must_use]
    pub fn forget_after(mut self, time: Duration) -> Self {
        self.forget_after = time;
        self
    }

    /// How long a key keeps its last session, while its borrowers want it, before one of its
    /// places is given to a key that has none; default 250 ms. Shorter is fairer, longer opens
    /// fewer sessions: both only where more keys have work than `max_total` has places. At least
    /// 1 ms, whatever is said here.
    #[must_use]
    pub fn turn(mut self, time: Duration) -> Self {
        self.turn = time.max(Duration::from_millis(1));
        self
    }

    /// What applies to each key.
    pub fn per_key(&self) -> &Config {
        &self.per_key
    }

    /// The most sessions over all keys.
    pub fn max_total(&self) -> usize {
        self.max_total
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
    /// Keys whose borrowers wait for a place under the total.
    pub starved: usize,
}

/// Is told what happens in a keyed pool, and with which key; see [`Observer`](crate::Observer).
pub trait KeyedObserver<K>: Send + Sync + 'static {
    /// Something happened.
    fn on_event(&self, key: &K, event: &Event);
}
