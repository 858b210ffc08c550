//! How a keyed pool behaves: what applies to each key, and the total.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, ConfigError};

/// How a keyed pool behaves.
#[derive(Debug, Clone)]
pub struct KeyedConfig {
    pub(super) per_key: Arc<Config>,
    pub(super) max_total: usize,
    pub(super) forget_after: Duration,
    pub(super) turn: Duration,
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
        let per_key = Arc::new(per_key);
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
