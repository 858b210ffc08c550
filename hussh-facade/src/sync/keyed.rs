//! Connections to many hosts under one total, for threads.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pool_core::{Blocking, DrainTimeout, Keyed, KeyedPool};
use ssh_session::{Command, Endpoint, Output, Target};

use super::{Library, PooledConnection};
use crate::builder::{Hosts, KeyedKind, MadeForHosts, PoolKind, Sealed};
use crate::forked::PerProcess;
use crate::queries::host_pool_queries;
use crate::{Builder, Error};

/// A connection on loan from a [`KeyedConnectionPool`].
pub type KeyedPooledConnection<L> =
    PooledConnection<L, Keyed<Endpoint, Blocking<<L as Library>::Backend>>>;

/// A pool of SSH connections to each of many hosts, with one limit over all of them. Clones are
/// handles to the same pools; when the last one is dropped, they close.
///
/// What its builder is told (credentials, host keys, limits of a host's pool) goes for every host;
/// whom to talk to is said with each call. All that a [`ConnectionPool`](super::ConnectionPool)
/// promises holds for each host; where all places are taken, those who have waited longest come
/// first, and hosts that nobody waits for give theirs up. A host nobody uses for a minute is
/// forgotten.
///
/// ```no_run
/// use hussh::{KeyedConnectionPool, Target};
///
/// let pool = KeyedConnectionPool::builder().agent().max_connections(2).max_total(50).build()?;
/// for host in ["web1.example.com", "web2.example.com"] {
///     let target = Target::new(host, 22, "deploy")?;
///     println!("{host}: {}", pool.execute(&target, "uptime")?.stdout_lossy());
/// }
/// # Ok::<(), hussh::Error>(())
/// ```
pub struct KeyedConnectionPool<L: Library> {
    pool: Arc<PerProcess<KeyedPool<Endpoint, L::Backend>>>,
    hosts: Hosts,
}

impl<L: Library> KeyedConnectionPool<L> {
    /// Starts with the defaults: 10 connections to a host and 100 in all.
    pub fn builder() -> Builder<Self> {
        Builder::of_hosts()
    }

    host_pool_queries!();

    /// Borrows a connection to a host, waiting up to `acquire_timeout` for one. Dropping it gives
    /// it back.
    ///
    /// # Errors
    ///
    /// As [`ConnectionPool::get`](super::ConnectionPool::get).
    #[track_caller]
    pub fn get(&self, target: &Target) -> Result<KeyedPooledConnection<L>, Error> {
        let lease = self.pool.here().get(&self.hosts.endpoint(target)?);
        lease.map(PooledConnection::new).map_err(|error| Error::from_pool(target, error))
    }

    /// A connection that is ready this moment.
    pub(super) fn try_get_at(&self, endpoint: &Endpoint) -> Option<KeyedPooledConnection<L>> {
        self.pool.here().try_get(endpoint).map(PooledConnection::new)
    }

    /// A connection to a host with settings of its own, waiting as long as that; for ever where
    /// neither that nor the pool says how long.
    pub(super) fn get_at(
        &self,
        endpoint: &Endpoint,
        timeout: Option<Duration>,
    ) -> Result<KeyedPooledConnection<L>, Error> {
        let pool = self.pool.here();
        let lease = match timeout {
            Some(timeout) => pool.get_timeout(endpoint, timeout),
            None => pool.get(endpoint),
        };
        let target = &endpoint.options().target;
        lease.map(PooledConnection::new).map_err(|error| Error::from_pool(target, error))
    }

    /// Borrows a connection to a host, runs a command on it to its end, and gives it back.
    ///
    /// # Errors
    ///
    /// As [`ConnectionPool::execute`](super::ConnectionPool::execute).
    #[track_caller]
    pub fn execute(&self, target: &Target, command: impl AsRef<[u8]>) -> Result<Output, Error> {
        self.execute_with(target, &Command::new(command))
    }

    /// As [`execute`](Self::execute), with input, environment, a terminal or a deadline; see
    /// [`ConnectionPool::execute_with`](super::ConnectionPool::execute_with).
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    #[track_caller]
    pub fn execute_with(&self, target: &Target, command: &Command) -> Result<Output, Error> {
        self.get(target)?.run(command, |connection| match connection.into_lease() {
            Some(lease) => {
                let lease = self.pool.here().exchange(lease);
                lease.map(PooledConnection::new).map_err(|error| Error::from_pool(target, error))
            }
            None => self.get(target),
        })
    }

    /// Closes all pools and waits up to `close_timeout` until their connections are closed, those
    /// lent included. Whoever waits for one gets an error at once.
    ///
    /// # Errors
    ///
    /// [`DrainTimeout`] if some were still open then; they are closed when they come back.
    pub fn close(&self) -> Result<(), DrainTimeout> {
        self.pool.here().close().map(drop)
    }
}

impl<L: Library> Clone for KeyedConnectionPool<L> {
    fn clone(&self) -> Self {
        Self { pool: Arc::clone(&self.pool), hosts: self.hosts.clone() }
    }
}

impl<L: Library> fmt::Debug for KeyedConnectionPool<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedConnectionPool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl<L: Library> PoolKind for KeyedConnectionPool<L> {}
impl<L: Library> KeyedKind for KeyedConnectionPool<L> {}
impl<L: Library> Sealed for KeyedConnectionPool<L> {}

impl<L: Library> Builder<KeyedConnectionPool<L>> {
    /// Makes the pool. Nothing is opened yet.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`](crate::SshError::InvalidInput) naming the parameter that makes no
    /// sense.
    pub fn build(self) -> Result<KeyedConnectionPool<L>, Error> {
        let (hosts, made) = self.made_for_hosts()?;
        Ok(KeyedConnectionPool::of(hosts, made))
    }
}

impl<L: Library> KeyedConnectionPool<L> {
    pub(super) fn of(hosts: Hosts, made: MadeForHosts) -> Self {
        let make = move || {
            let mut builder = KeyedPool::builder(made.config.clone(), L::for_endpoint).shared();
            if let Some(observer) = &made.observer {
                builder = builder.observer(Arc::clone(observer));
            }
            builder.build()
        };
        let pool = PerProcess::new(make(), Arc::new(move || Some(make())));
        Self { pool: Arc::new(pool), hosts }
    }
}
