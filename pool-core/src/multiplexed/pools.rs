//! Pools of shares.

use std::sync::Arc;

use super::books::Books;
use super::{Multiplexed, Share};
use crate::backend::Backend;
use crate::config::{Config, ConfigError};
use crate::sync::{Pool, PoolBuilder};
use crate::tasks::{AsyncBackend, AsyncPool, AsyncPoolBuilder};

impl<B, S> Multiplexed<B, S>
where
    S: Send + Sync + 'static,
{
    /// A pool of shares for threads: up to `config.max_size()` sessions underneath, each carrying
    /// up to `leases_per_session` shares until the peer refuses one. The configuration's other
    /// values (`min_idle`, timeouts) apply to shares; `max_lifetime` applies to sessions, too.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where `leases_per_session` is zero or the product is out of range.
    pub fn pool(
        inner: B,
        leases_per_session: usize,
        config: &Config,
    ) -> Result<Pool<Self>, ConfigError>
    where
        B: Backend<Session = Arc<S>>,
    {
        Self::pool_with(inner, leases_per_session, config, |builder| builder)
    }

    /// As [`pool`](Self::pool), with an observer or a clock set on the builder.
    ///
    /// # Errors
    ///
    /// As [`pool`](Self::pool).
    pub fn pool_with(
        inner: B,
        leases_per_session: usize,
        config: &Config,
        build: impl FnOnce(PoolBuilder<Self>) -> PoolBuilder<Self>,
    ) -> Result<Pool<Self>, ConfigError>
    where
        B: Backend<Session = Arc<S>>,
    {
        let (decorated, config) = Self::new(inner, leases_per_session, config)?;
        let books = Arc::clone(&decorated.books);
        let pool = build(Pool::builder(decorated).config(config)).build();
        let handle = pool.downgrade();
        let resize = Box::new(move |shares| {
            if let Some(pool) = handle.upgrade() {
                pool.resize(shares);
            }
        });
        books.belong_to(pool.clock(), resize);
        Ok(pool)
    }

    /// A pool of shares for tasks; as [`pool`](Self::pool) otherwise. The runtime and the observer
    /// are those of the builder that `build` gets the backend for.
    ///
    /// # Errors
    ///
    /// As [`pool`](Self::pool).
    pub fn async_pool(
        inner: B,
        leases_per_session: usize,
        config: &Config,
        build: impl FnOnce(Self) -> AsyncPoolBuilder<Self>,
    ) -> Result<AsyncPool<Self>, ConfigError>
    where
        B: AsyncBackend<Session = Arc<S>>,
    {
        let (decorated, config) = Self::new(inner, leases_per_session, config)?;
        let books = Arc::clone(&decorated.books);
        let pool = build(decorated).config(config).build();
        let handle = pool.downgrade();
        let resize = Box::new(move |shares| {
            if let Some(pool) = handle.upgrade() {
                pool.resize(shares);
            }
        });
        books.belong_to(pool.clock(), resize);
        Ok(pool)
    }

    fn new(inner: B, leases: usize, config: &Config) -> Result<(Self, Config), ConfigError> {
        let max_sessions = config.max_size();
        if leases == 0 {
            return Err(ConfigError::new("leases_per_session", "1 or more"));
        }
        let shares = config.clone().with_max_size(max_sessions.saturating_mul(leases))?;
        let books = Arc::new(Books::new(max_sessions, leases, config.max_lifetime));
        Ok((Self { inner, books }, shares))
    }
}

impl<S> Share<S> {
    /// Whether two shares are of the same session.
    pub fn same_session(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.member, &other.member)
    }
}
