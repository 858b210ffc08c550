//! The configuration of a script's keyed pool, as plain data.

use std::time::Duration;

use pool_core::{Config, KeyedConfig};

/// The configuration of a script's keyed pool. Times are of different size, so that each can run
/// out alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KeyedSetup {
    /// How many keys the script knows.
    pub keys: usize,
    /// The most sessions over all keys.
    pub total: usize,
    /// The most sessions of one key, and how many leases each carries.
    pub max_size: usize,
    #[allow(missing_docs)]
    pub leases: usize,
    /// See [`ConfigBuilder`](pool_core::ConfigBuilder), here and below.
    pub min_idle: usize,
    #[allow(missing_docs)]
    pub max_connecting: usize,
    #[allow(missing_docs)]
    pub check_after_idle: Duration,
    #[allow(missing_docs)]
    pub idle_timeout: Option<Duration>,
    #[allow(missing_docs)]
    pub max_lifetime: Option<Duration>,
    #[allow(missing_docs)]
    pub keepalive_interval: Option<Duration>,
    /// See [`KeyedConfig`].
    pub forget_after: Duration,
    /// See [`KeyedConfig`].
    pub turn: Duration,
    /// At its end the pool is closed; else all keys are forgotten.
    pub closes: bool,
    #[allow(missing_docs)]
    pub seed: u64,
}

/// How many bytes [`KeyedSetup::from_bytes`] reads.
pub const KEYED_SETUP_BYTES: usize = 8;

const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

impl Default for KeyedSetup {
    fn default() -> Self {
        Self {
            keys: 4,
            total: 3,
            max_size: 3,
            leases: 1,
            min_idle: 0,
            max_connecting: 2,
            check_after_idle: millis(20),
            idle_timeout: Some(millis(400)),
            max_lifetime: Some(millis(1_000)),
            keepalive_interval: Some(millis(150)),
            forget_after: millis(500),
            turn: millis(250),
            closes: true,
            seed: 7,
        }
    }
}

impl KeyedSetup {
    /// Reads a setup from bytes; any will do.
    pub fn from_bytes(bytes: [u8; KEYED_SETUP_BYTES]) -> Self {
        let [keys, total, size, limits, check, ends, forget, seed] = bytes.map(usize::from);
        let max_size = 1 + size % 4;
        let pick = |choices: [Option<u64>; 4], n: usize| choices[n % 4].map(millis);
        Self {
            keys: [1, 2, 3, 4, 6, 9, 16, 40][keys % 8],
            total: 1 + total % 6,
            max_size,
            leases: [1, 1, 2, 5][size / 4 % 4],
            min_idle: [0, 0, 1, 2][size / 16 % 4].min(max_size),
            max_connecting: 1 + limits % 3,
            check_after_idle: [millis(20), Duration::ZERO, millis(200), Duration::MAX][check % 4],
            idle_timeout: pick([None, Some(60), Some(400), Some(800)], ends),
            max_lifetime: pick([None, Some(200), Some(1_000), Some(3_000)], ends / 4),
            keepalive_interval: pick([None, Some(15), Some(90), Some(150)], ends / 16),
            forget_after: [Duration::ZERO, millis(1), millis(500), Duration::MAX][forget % 4],
            turn: [Duration::ZERO, millis(30), millis(250), Duration::MAX][forget / 4 % 4],
            closes: forget / 16 % 2 == 0,
            seed: seed as u64,
        }
    }

    /// Sessions are shared.
    pub(super) fn is_shared(&self) -> bool {
        self.leases > 1
    }

    pub(super) fn per_key(&self) -> Config {
        let built = Config::builder()
            .max_size(self.max_size)
            .leases_per_session(self.leases)
            .limit_recovery(millis(300))
            .min_idle(self.min_idle)
            .max_connecting(self.max_connecting)
            .max_maintaining(2)
            .check_after_idle(self.check_after_idle)
            .idle_timeout(self.idle_timeout)
            .max_lifetime(self.max_lifetime)
            .keepalive_interval(self.keepalive_interval)
            .backoff_base(millis(10))
            .backoff_max(millis(200))
            .breaker_delay(millis(70))
            .connect_timeout(millis(100))
            .check_timeout(millis(40))
            .reset_timeout(millis(30))
            .close_timeout(millis(50))
            .seed(Some(self.seed))
            .build();
        match built {
            Ok(config) => config,
            Err(error) => panic!("a script's setup is valid: {error}"),
        }
    }

    pub(super) fn config(&self) -> KeyedConfig {
        match KeyedConfig::new(self.per_key(), self.total) {
            Ok(config) => config.forget_after(self.forget_after).turn(self.turn),
            Err(error) => panic!("a script's setup is valid: {error}"),
        }
    }
}
