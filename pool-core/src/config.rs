//! How a pool behaves: plain data, checked once.

use std::time::Duration;

use thiserror::Error;

/// Which idle session is lent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// The most recently used one: few sessions stay warm, the rest can expire. The default.
    #[default]
    Lifo,
    /// The least recently used one: all sessions are used in turn.
    Fifo,
}

/// Each option once, with what the docs say of it and its default: its field, its getter and its
/// setter follow. What makes no sense is refused by [`ConfigBuilder::build`].
macro_rules! options {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $default:expr;)*) => {
        /// How a pool behaves. A `Config` that exists is valid; make one with [`Config::builder`].
        #[derive(Debug, Clone, PartialEq)]
        pub struct Config {
            $(pub(crate) $name: $type,)*
        }

        impl Default for Config {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        /// Every value, as [`ConfigBuilder`] explains it.
        impl Config {
            $(#[doc = concat!("See [`ConfigBuilder::", stringify!($name), "`].")]
            pub fn $name(&self) -> $type {
                self.$name
            })*
        }

        impl ConfigBuilder {
            $($(#[$doc])*
            pub fn $name(mut self, $name: $type) -> Self {
                self.config.$name = $name;
                self
            })*
        }
    };
}

options! {
    /// The most sessions open at once, those being opened and closed included: 1 and up,
    /// default 10.
    max_size: usize = 10;
    /// How many leases a session carries at once, in pools of shared sessions
    /// ([`PoolBuilder::shared`](crate::PoolBuilder::shared)): 1 to 10,000, default 1. Other
    /// pools lend a session to one borrower at a time, whatever this says. The least loaded
    /// session is lent first, and another is opened only when all carry as many as they can.
    leases_per_session: usize = 1;
    /// How long nobody has to be refused a lease by a session's peer until sessions are
    /// believed to carry one more again, up to `leases_per_session`: above zero, default 60 s.
    limit_recovery: Duration = Duration::from_secs(60);
    /// How many borrowers may wait: one more gets
    /// [`AcquireError::Overloaded`](crate::AcquireError::Overloaded) at once. 1 and up;
    /// `None`, the default, knows no limit. Whoever must not wait has
    /// [`get_timeout`](crate::Pool::get_timeout) with zero.
    max_waiters: Option<usize> = None;
    /// Whether a pool that has never had a session tells its borrowers at once that there is
    /// nobody to connect to ([`ErrorKind::Unreachable`](crate::ErrorKind::Unreachable): the
    /// port is refused, the name unknown), instead of trying until their time is up. Default
    /// yes.
    fail_fast: bool = true;
    /// How many sessions are kept open though nobody uses them: up to `max_size`, default 0.
    min_idle: usize = 0;
    /// Which idle session is lent first; default [`Order::Lifo`].
    order: Order = Order::Lifo;
    /// How many sessions are opened at once: 1 and up, default 2. Until the first one has
    /// succeeded, and after a permanent error, only one is tried.
    max_connecting: usize = 2;
    /// How many sessions of each kind of upkeep (checks, keepalives, resets) are worked on at
    /// once: 1 and up, default 4.
    max_maintaining: usize = 4;
    /// How many sessions are closed at once: 1 and up, default 8.
    max_closing: usize = 8;
    /// How long a borrower waits before it gets an error; `None` waits for ever. Default
    /// 30 s. Zero never waits.
    acquire_timeout: Option<Duration> = Some(Duration::from_secs(30));
    /// How long opening a session may take: above zero, default 10 s.
    connect_timeout: Duration = Duration::from_secs(10);
    /// How long a check or a keepalive may take: above zero, default 5 s.
    check_timeout: Duration = Duration::from_secs(5);
    /// How long a reset may take: above zero, default 5 s.
    reset_timeout: Duration = Duration::from_secs(5);
    /// How long closing one session may take, and how long closing the pool waits for its
    /// sessions: above zero, default 5 s.
    close_timeout: Duration = Duration::from_secs(5);
    /// A session unused and unchecked for longer than this is checked before it is lent;
    /// default 1 s. Zero checks at every borrow, [`Duration::MAX`] never.
    check_after_idle: Duration = Duration::from_secs(1);
    /// Sessions unused for this long are closed, down to `min_idle`; `None` keeps them. Above
    /// zero, default 10 min.
    idle_timeout: Option<Duration> = Some(Duration::from_secs(600));
    /// Sessions older than this are closed once nobody uses them; `None` keeps them. Above
    /// zero, default 30 min.
    max_lifetime: Option<Duration> = Some(Duration::from_secs(1800));
    /// Idle sessions without traffic for this long are sent a keepalive; `None`, the default,
    /// sends none. Above zero.
    keepalive_interval: Option<Duration> = None;
    /// Idle sessions are looked at this often
    /// ([`is_broken`](crate::Backend::is_broken), which sends nothing), so that one whose peer
    /// is gone is replaced before anybody wants it. For sessions that ask their peer for signs
    /// of life by themselves, in place of `keepalive_interval`: a look is no sign of life.
    /// `None`, the default, looks at none. Above zero.
    watch_interval: Option<Duration> = None;
    /// By which share `idle_timeout`, `max_lifetime` and both intervals are shortened
    /// at random, drawn for each session at its birth, so that sessions opened together do
    /// not end together: 0 to 0.5, default 0.1.
    jitter: f64 = 0.1;
    /// The delay unit after a failed connect: after `k` failures in a row the next attempt
    /// waits between half and all of `backoff_base * 2^k`. Above zero, default 50 ms.
    backoff_base: Duration = Duration::from_millis(50);
    /// The longest delay between connects: at least `backoff_base`, default 5 s.
    backoff_max: Duration = Duration::from_secs(5);
    /// The delay unit after a permanent error (wrong password), which grows as `backoff_base`
    /// does, up to 64 times: above zero, default 1 s. While it runs and no session is open,
    /// borrowers get that error at once.
    breaker_delay: Duration = Duration::from_secs(1);
    /// A borrower that waited for longer than this is logged as a warning (`tracing`, target
    /// `pool_core`) when it is served, with its line of code and what it waited for when it
    /// last looked; `None`, the default, logs none.
    slow_acquire: Option<Duration> = None;
    /// A lease that is out for longer than this is logged as a warning, once, with the line
    /// that acquired it, and told as [`Event::HeldLong`](crate::Event::HeldLong); `None`, the
    /// default, watches none. Above zero.
    leak_after: Option<Duration> = None;
    /// Fixes the seed of the pool's random numbers, for tests; `None`, the default, draws it.
    seed: Option<u64> = None;
}

impl Config {
    /// Starts from the defaults.
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder::default()
    }
}

/// Builds a [`Config`]. Values out of range are refused by [`build`](Self::build).
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct ConfigBuilder {
    config: Config,
}

impl ConfigBuilder {
    /// Checks every value; the error names the first field that is out of range.
    pub fn build(self) -> Result<Config, ConfigError> {
        let c = self.config;
        let refuse = |field, expected| Err(ConfigError::new(field, expected));
        if c.max_size == 0 || c.max_size > MAX_SIZE {
            return refuse("max_size", "1 to 1,000,000");
        }
        if c.leases_per_session == 0 || c.leases_per_session > MAX_LEASES {
            return refuse("leases_per_session", "1 to 10,000");
        }
        if c.max_closing == 0 {
            return refuse("max_closing", "1 or more");
        }
        if c.min_idle > c.max_size {
            return refuse("min_idle", "at most max_size");
        }
        if c.max_waiters == Some(0) {
            return refuse("max_waiters", "1 or more");
        }
        if c.max_connecting == 0 {
            return refuse("max_connecting", "1 or more");
        }
        if c.max_maintaining == 0 {
            return refuse("max_maintaining", "1 or more");
        }
        if !(0.0..=0.5).contains(&c.jitter) {
            return refuse("jitter", "0 to 0.5");
        }
        for (field, value) in [
            ("connect_timeout", Some(c.connect_timeout)),
            ("check_timeout", Some(c.check_timeout)),
            ("reset_timeout", Some(c.reset_timeout)),
            ("close_timeout", Some(c.close_timeout)),
            ("idle_timeout", c.idle_timeout),
            ("max_lifetime", c.max_lifetime),
            ("keepalive_interval", c.keepalive_interval),
            ("watch_interval", c.watch_interval),
            ("backoff_base", Some(c.backoff_base)),
            ("breaker_delay", Some(c.breaker_delay)),
            ("limit_recovery", Some(c.limit_recovery)),
            ("leak_after", c.leak_after),
        ] {
            if value.is_some_and(|d| d.is_zero()) {
                return refuse(field, "more than zero");
            }
        }
        if c.backoff_max < c.backoff_base {
            return refuse("backoff_max", "at least backoff_base");
        }
        Ok(c)
    }
}

const MAX_SIZE: usize = 1_000_000;
const MAX_LEASES: usize = 10_000;

/// A value that makes no sense, and what would.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{field}` of the pool's configuration must be {expected}")]
pub struct ConfigError {
    field: &'static str,
    expected: &'static str,
}

impl ConfigError {
    pub(crate) fn new(field: &'static str, expected: &'static str) -> Self {
        Self { field, expected }
    }

    /// The name of the field that was refused.
    pub fn field(&self) -> &'static str {
        self.field
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused_by_name() {
        let zero = Duration::ZERO;
        let cases = [
            (Config::builder().max_size(0), "max_size"),
            (Config::builder().max_size(usize::MAX), "max_size"),
            (Config::builder().leases_per_session(0), "leases_per_session"),
            (Config::builder().leases_per_session(10_001), "leases_per_session"),
            (Config::builder().max_closing(0), "max_closing"),
            (Config::builder().max_waiters(Some(0)), "max_waiters"),
            (Config::builder().limit_recovery(zero), "limit_recovery"),
            (Config::builder().leak_after(Some(zero)), "leak_after"),
            (Config::builder().max_size(2).min_idle(3), "min_idle"),
            (Config::builder().max_connecting(0), "max_connecting"),
            (Config::builder().max_maintaining(0), "max_maintaining"),
            (Config::builder().jitter(0.6), "jitter"),
            (Config::builder().jitter(f64::NAN), "jitter"),
            (Config::builder().connect_timeout(zero), "connect_timeout"),
            (Config::builder().check_timeout(zero), "check_timeout"),
            (Config::builder().reset_timeout(zero), "reset_timeout"),
            (Config::builder().close_timeout(zero), "close_timeout"),
            (Config::builder().idle_timeout(Some(zero)), "idle_timeout"),
            (Config::builder().max_lifetime(Some(zero)), "max_lifetime"),
            (Config::builder().keepalive_interval(Some(zero)), "keepalive_interval"),
            (Config::builder().watch_interval(Some(zero)), "watch_interval"),
            (Config::builder().backoff_base(zero), "backoff_base"),
            (Config::builder().breaker_delay(zero), "breaker_delay"),
            (Config::builder().backoff_max(Duration::from_nanos(1)), "backoff_max"),
        ];
        for (builder, field) in cases {
            let error = builder.build().expect_err(field);
            assert_eq!(error.field(), field);
            assert!(error.to_string().contains(field), "{error}");
        }
    }

    #[test]
    fn defaults_are_valid() {
        assert_eq!(Config::builder().build(), Ok(Config::default()));
    }
}
