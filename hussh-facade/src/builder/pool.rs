//! What pools can be told besides.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pool_core::{Config, ConfigBuilder, ConfigError, Observer, Order};
use ssh_session::{Options, SshError};

use super::Builder;
use super::fleet::FleetOptions;
use crate::Error;

/// How often a pool's connections are asked for a sign of life, unless somebody says otherwise.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// How much longer than a connection itself its pool waits for it to be opened. What a connection was
/// at when its time was up, it knows and the pool does not: a login that was not answered may have
/// been refused, and is not tried again unasked.
const LONGER: Duration = Duration::from_secs(1);

/// What a pool is made with besides that of its connections, before it is checked.
#[derive(Clone, Default)]
pub(super) struct PoolOptions {
    config: ConfigBuilder,
    observer: Option<Arc<dyn Observer>>,
    /// Of a pool of many hosts.
    pub(super) max_total: Option<usize>,
    /// Of a connection to many hosts.
    pub(super) fleet: FleetOptions,
}

/// A pool, of which a [`Builder`] can be told what only pools can. Nobody else can implement it.
pub trait PoolKind: sealed::Sealed {}

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// What a pool is made with, checked.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) options: Options,
    pub(crate) config: Config,
    pub(crate) observer: Option<Arc<dyn Observer>>,
}

impl<T: PoolKind> Builder<T> {
    /// The most connections open at once: 1 and up, default 10. sshd's `MaxStartups` and the
    /// server's memory bound what is sensible.
    ///
    /// Through a jump host, each has one on the jump host, too. That one says goodbye once the other
    /// has, while the pool may already open the next: for as long, some round trips and 2 s at
    /// most, the jump host has one more. A pool that waited for that would leave its borrowers waiting
    /// wherever the jump host answers no more.
    pub fn max_connections(self, count: usize) -> Self {
        self.config(|config| config.max_size(count))
    }

    /// How many borrowers share a connection at most, each with a channel of its own: 1 and
    /// up, default 1. sshd opens 10 (`MaxSessions`) and frees them late, so that 5 is the
    /// sensible most. A server that opens fewer is found out and not asked again; what it
    /// refused is run elsewhere or waits.
    pub fn channels_per_connection(self, count: usize) -> Self {
        self.config(|config| config.leases_per_session(count))
    }

    /// How many connections are kept ready though nobody uses them: up to `max_connections`,
    /// default 0.
    pub fn min_idle(self, count: usize) -> Self {
        self.config(|config| config.min_idle(count))
    }

    /// How long a borrower waits for a connection; `None` waits for ever. Default 30 s.
    pub fn acquire_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.config(|config| config.acquire_timeout(timeout.into()))
    }

    /// How long a connection that was idle may take to answer before it is lent; then another
    /// one is. Above zero, default 5 s.
    pub fn check_timeout(self, timeout: Duration) -> Self {
        self.config(|config| config.check_timeout(timeout))
    }

    /// A connection unused for longer than this is asked for a sign of life before it is lent:
    /// default 1 s. Zero asks every time, [`Duration::MAX`](Duration::MAX) never.
    pub fn check_after_idle(self, time: Duration) -> Self {
        self.config(|config| config.check_after_idle(time))
    }

    /// How many connections are opened at once: 1 and up, default 2. All pools and connections of
    /// the process together open no more to a host than [`max_startups`](Self::max_startups).
    pub fn max_connecting(self, count: usize) -> Self {
        self.config(|config| config.max_connecting(count))
    }

    /// Which idle connection is lent first; default the one used last, so that others can
    /// expire.
    pub fn order(self, order: Order) -> Self {
        self.config(|config| config.order(order))
    }

    /// How many borrowers may wait: one more gets an error at once. `None`, the default, knows
    /// no limit.
    pub fn max_waiters(self, count: impl Into<Option<usize>>) -> Self {
        self.config(|config| config.max_waiters(count.into()))
    }

    /// Whether a pool that has never had a connection tells its borrowers at once that nobody
    /// listens at the port, instead of trying until their time is up. Default yes; turn it off
    /// for a server that is still starting.
    pub fn fail_fast(self, fail_fast: bool) -> Self {
        self.config(|config| config.fail_fast(fail_fast))
    }

    /// A borrower that waited for longer than this is logged as a warning; `None`, the
    /// default, logs none.
    pub fn slow_acquire(self, time: impl Into<Option<Duration>>) -> Self {
        self.config(|config| config.slow_acquire(time.into()))
    }

    /// A connection that is on loan for longer than this is logged as a warning, once, with the
    /// line of code that borrowed it; `None`, the default, watches none. Above zero.
    pub fn leak_after(self, time: impl Into<Option<Duration>>) -> Self {
        self.config(|config| config.leak_after(time.into()))
    }

    /// How long no command has to be refused a channel until a connection is believed to carry
    /// one more again, up to `channels_per_connection`: above zero, default 60 s.
    pub fn limit_recovery(self, time: Duration) -> Self {
        self.config(|config| config.limit_recovery(time))
    }

    /// Who is told what happens in the pool: an [`Observer`](crate::Observer).
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.pool.observer = Some(observer);
        self
    }

    /// Connections that nobody used for this long are closed, down to `min_idle`; `None` keeps
    /// them. Above zero, default 10 min.
    pub fn idle_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.config(|config| config.idle_timeout(timeout.into()))
    }

    /// Connections older than this are replaced once nobody uses them; `None` keeps them.
    /// Above zero, default 30 min.
    pub fn max_lifetime(self, lifetime: impl Into<Option<Duration>>) -> Self {
        self.config(|config| config.max_lifetime(lifetime.into()))
    }

    /// How long a command that was given up may take to be over, before its connection is closed
    /// instead of lent again. Above zero, default 5 s.
    pub fn reset_timeout(self, timeout: Duration) -> Self {
        self.config(|config| config.reset_timeout(timeout))
    }

    /// How long closing a connection may take, and how long closing the pool waits for its
    /// connections. Above zero, default 5 s.
    pub fn close_timeout(self, timeout: Duration) -> Self {
        self.config(|config| config.close_timeout(timeout))
    }

    /// How many connections are closed at once: 1 and up, default 8.
    pub fn max_closing(self, count: usize) -> Self {
        self.config(|config| config.max_closing(count))
    }

    /// How many connections are checked at once, and how many are reset: 1 and up, default 4.
    pub fn max_maintaining(self, count: usize) -> Self {
        self.config(|config| config.max_maintaining(count))
    }

    /// By which share `idle_timeout` and `max_lifetime` are shortened at random, for each connection
    /// at its birth, so that those opened together do not end together: 0 to 0.5, default 0.1.
    pub fn jitter(self, share: f64) -> Self {
        self.config(|config| config.jitter(share))
    }

    /// The delay unit after a failed connect: after `k` failures in a row the next attempt waits
    /// between half and all of `backoff_base * 2^k`. Above zero, default 50 ms.
    pub fn backoff_base(self, delay: Duration) -> Self {
        self.config(|config| config.backoff_base(delay))
    }

    /// The longest delay between connects: at least `backoff_base`, default 5 s.
    pub fn backoff_max(self, delay: Duration) -> Self {
        self.config(|config| config.backoff_max(delay))
    }

    /// The delay unit after an error that will not go away (wrong password, changed host key; also a
    /// login that the server did not answer within `connect_timeout`: it may refuse it yet), which
    /// grows as `backoff_base` does, up to 64 times: above zero, default 1 s. While it runs and no
    /// connection is open, borrowers get that error at once.
    pub fn breaker_delay(self, delay: Duration) -> Self {
        self.config(|config| config.breaker_delay(delay))
    }

    /// Fixes the seed of the pool's random numbers, for tests; `None`, the default, draws it.
    pub fn seed(self, seed: impl Into<Option<u64>>) -> Self {
        self.config(|config| config.seed(seed.into()))
    }

    pub(crate) fn made(self) -> Result<Made, Error> {
        let PoolOptions { config, observer, .. } = self.pool.clone();
        let has_keepalive = self.has_keepalive;
        let mut options = self.options()?;
        if !has_keepalive {
            options.keepalive.interval.get_or_insert(KEEPALIVE);
        }
        let config = config
            .connect_timeout(options.connect_timeout.saturating_add(LONGER))
            // Sessions ask by themselves; the pool looks whether they have given up.
            .watch_interval(options.keepalive.interval)
            .build()
            .map_err(|error| invalid(&error))?;
        Ok(Made { options, config, observer })
    }

    fn config(mut self, set: impl FnOnce(ConfigBuilder) -> ConfigBuilder) -> Self {
        self.pool.config = set(self.pool.config);
        self
    }
}

/// The pool's own words about a setting, with the name it has here.
pub(super) fn invalid(error: &ConfigError) -> SshError {
    let field = match error.field() {
        "max_size" => "max_connections",
        "leases_per_session" => "channels_per_connection",
        other => other,
    };
    let text = error.to_string().replace("max_size", "max_connections");
    let expected = text.rsplit_once(" must be ").map_or("in range", |(_, expected)| expected);
    SshError::invalid(field, format!("must be {expected}"))
}

impl fmt::Debug for PoolOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolOptions").field("config", &self.config).finish_non_exhaustive()
    }
}
