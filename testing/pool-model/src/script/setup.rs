//! The configuration of a script's core, as plain data.

use std::time::Duration;

use pool_core::{Config, Order};

/// The configuration of a script's core. Times are of different size, so that each can run out
/// alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setup {
    /// See [`ConfigBuilder`](pool_core::ConfigBuilder), here and below.
    pub max_size: usize,
    /// Sessions are shared; else each has one owner, whatever `leases_per_session` says.
    pub shared: bool,
    #[allow(missing_docs)]
    pub leases_per_session: usize,
    #[allow(missing_docs)]
    pub limit_recovery: Duration,
    #[allow(missing_docs)]
    pub max_waiters: Option<usize>,
    #[allow(missing_docs)]
    pub fail_fast: bool,
    #[allow(missing_docs)]
    pub leak_after: Option<Duration>,
    #[allow(missing_docs)]
    pub max_closing: usize,
    #[allow(missing_docs)]
    pub min_idle: usize,
    #[allow(missing_docs)]
    pub order: Order,
    #[allow(missing_docs)]
    pub max_connecting: usize,
    #[allow(missing_docs)]
    pub max_maintaining: usize,
    #[allow(missing_docs)]
    pub check_after_idle: Duration,
    #[allow(missing_docs)]
    pub idle_timeout: Option<Duration>,
    #[allow(missing_docs)]
    pub max_lifetime: Option<Duration>,
    #[allow(missing_docs)]
    pub keepalive_interval: Option<Duration>,
    #[allow(missing_docs)]
    pub watch_interval: Option<Duration>,
    #[allow(missing_docs)]
    pub jitter: f64,
    #[allow(missing_docs)]
    pub backoff_base: Duration,
    #[allow(missing_docs)]
    pub backoff_max: Duration,
    #[allow(missing_docs)]
    pub breaker_delay: Duration,
    #[allow(missing_docs)]
    pub connect_timeout: Duration,
    #[allow(missing_docs)]
    pub check_timeout: Duration,
    #[allow(missing_docs)]
    pub reset_timeout: Duration,
    #[allow(missing_docs)]
    pub close_timeout: Duration,
    #[allow(missing_docs)]
    pub seed: u64,
    /// The core is that of one key of a keyed pool: it opens nothing without leave.
    pub keyed: bool,
}

/// How many bytes [`Setup::from_bytes`] reads.
pub const SETUP_BYTES: usize = 8;

impl Default for Setup {
    fn default() -> Self {
        Self {
            max_size: 4,
            shared: false,
            leases_per_session: 1,
            limit_recovery: millis(120),
            max_waiters: None,
            fail_fast: true,
            leak_after: None,
            max_closing: 3,
            min_idle: 0,
            order: Order::Lifo,
            max_connecting: 2,
            max_maintaining: 2,
            check_after_idle: millis(20),
            idle_timeout: Some(millis(400)),
            max_lifetime: Some(millis(1_000)),
            keepalive_interval: Some(millis(150)),
            watch_interval: None,
            jitter: 0.1,
            backoff_base: millis(10),
            backoff_max: millis(200),
            breaker_delay: millis(70),
            connect_timeout: millis(100),
            check_timeout: millis(40),
            reset_timeout: millis(30),
            close_timeout: millis(50),
            seed: 7,
            keyed: false,
        }
    }
}

impl Setup {
    /// Reads a setup from bytes; any will do.
    pub fn from_bytes(bytes: [u8; SETUP_BYTES]) -> Self {
        let [size, limits, check, ends, keep, seed, share, waits] = bytes.map(usize::from);
        // Half of the cores have exclusive sessions; all is as with one lease then.
        let shared = share % 2 == 1;
        let max_size = 1 + size % if shared { 4 } else { 6 };
        let pick = |choices: [Option<u32>; 4], n: usize| choices[n % 4].map(millis);
        Self {
            max_size,
            shared,
            leases_per_session: if shared { [3, 2, 5, 1][share / 2 % 4] } else { 1 },
            limit_recovery: [millis(120), millis(35), millis(900)][share / 8 % 3],
            max_waiters: [None, None, Some(2), Some(5)][waits % 4],
            fail_fast: waits / 4 % 4 != 0,
            leak_after: pick([None, Some(25), Some(250), None], waits / 16),
            max_closing: [3, 1, 8, 2][share / 32 % 4],
            min_idle: (size / 6 % 4).min(max_size),
            order: if size / 24 % 2 == 0 { Order::Lifo } else { Order::Fifo },
            max_connecting: 1 + limits % 3,
            max_maintaining: 1 + limits / 3 % 3,
            check_after_idle: [millis(20), Duration::ZERO, millis(200), Duration::MAX][check % 4],
            idle_timeout: match ends % 5 {
                4 => Some(Duration::MAX),
                n => pick([None, Some(60), Some(400), Some(800)], n),
            },
            max_lifetime: match ends / 5 % 5 {
                4 => Some(Duration::MAX),
                n => pick([None, Some(200), Some(1_000), Some(3_000)], n),
            },
            keepalive_interval: pick([None, Some(15), Some(90), Some(150)], keep),
            watch_interval: pick([None, Some(60), None, Some(15)], keep / 32),
            jitter: [0.1, 0.0, 0.5, 0.01][keep / 4 % 4],
            seed: seed as u64,
            keyed: keep / 16 % 2 == 1,
            ..Self::default()
        }
    }

    /// The most leases of one session.
    pub(super) fn leases(&self) -> usize {
        if self.shared { self.leases_per_session } else { 1 }
    }

    pub(super) fn config(&self) -> Config {
        let built = Config::builder()
            .max_size(self.max_size)
            .leases_per_session(self.leases_per_session)
            .limit_recovery(self.limit_recovery)
            .max_waiters(self.max_waiters)
            .fail_fast(self.fail_fast)
            .leak_after(self.leak_after)
            .max_closing(self.max_closing)
            .min_idle(self.min_idle)
            .order(self.order)
            .max_connecting(self.max_connecting)
            .max_maintaining(self.max_maintaining)
            .check_after_idle(self.check_after_idle)
            .idle_timeout(self.idle_timeout)
            .max_lifetime(self.max_lifetime)
            .keepalive_interval(self.keepalive_interval)
            .watch_interval(self.watch_interval)
            .jitter(self.jitter)
            .backoff_base(self.backoff_base)
            .backoff_max(self.backoff_max)
            .breaker_delay(self.breaker_delay)
            .connect_timeout(self.connect_timeout)
            .check_timeout(self.check_timeout)
            .reset_timeout(self.reset_timeout)
            .close_timeout(self.close_timeout)
            .seed(Some(self.seed))
            .build();
        match built {
            Ok(config) => config,
            Err(error) => panic!("a script's setup is valid: {error}"),
        }
    }
}

const fn millis(n: u32) -> Duration {
    Duration::from_millis(n as u64)
}
