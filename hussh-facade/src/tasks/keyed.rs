//! Connections to many hosts under one total, for tasks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use backend_russh::RusshBackend;
use pool_core::{AsyncAdapter, AsyncKeyedPool, DrainTimeout, Keyed};
use ssh_session::{Command, Endpoint, Output, Target};

use super::PooledAsyncConnection;
use crate::builder::{Hosts, KeyedKind, MadeForHosts, PoolKind, Sealed};
use crate::forked::PerProcess;
use crate::queries::host_pool_queries;
use crate::{Builder, Error};

/// A connection on loan from an [`AsyncKeyedConnectionPool`].
pub type KeyedPooledAsyncConnection =
    PooledAsyncConnection<Keyed<Endpoint, AsyncAdapter<RusshBackend>>>;

/// A pool of SSH connections to each of many hosts, with one limit over all of them; see
/// [`KeyedConnectionPool`](crate::KeyedConnectionPool). All futures are cancel-safe. Its connections
/// live on the tokio runtime on which they are opened.
///
/// ```no_run
/// use hussh::{AsyncKeyedConnectionPool, Target};
///
/// # async fn run() -> Result<(), hussh::Error> {
/// let pool = AsyncKeyedConnectionPool::builder().agent().max_total(50).build()?;
/// let target = Target::new("web1.example.com", 22, "deploy")?;
/// println!("{}", pool.execute(&target, "uptime").await?.stdout_lossy());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct AsyncKeyedConnectionPool {
    pool: Arc<PerProcess<AsyncKeyedPool<Endpoint, RusshBackend>>>,
    hosts: Hosts,
}

impl AsyncKeyedConnectionPool {
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
    /// As [`AsyncConnectionPool::get`](super::AsyncConnectionPool::get).
    #[track_caller]
    pub fn get(
        &self,
        target: &Target,
    ) -> impl Future<Output = Result<KeyedPooledAsyncConnection, Error>> + Send + use<> {
        // Here and not in an async block, so that the pool knows who called.
        let acquire = self.hosts.endpoint(target).map(|endpoint| self.pool.here().get(&endpoint));
        let target = target.clone();
        async move {
            let lease = acquire?.await.map_err(|error| Error::from_pool(&target, error))?;
            Ok(PooledAsyncConnection::new(lease))
        }
    }

    /// A connection that is ready this moment.
    pub(super) fn try_get_at(&self, endpoint: &Endpoint) -> Option<KeyedPooledAsyncConnection> {
        self.pool.here().try_get(endpoint).map(PooledAsyncConnection::new)
    }

    /// A connection to a host with settings of its own, waiting as long as that; for ever where
    /// neither that nor the pool says how long.
    pub(super) async fn get_at(
        &self,
        endpoint: &Endpoint,
        timeout: Option<Duration>,
    ) -> Result<KeyedPooledAsyncConnection, Error> {
        let pool = self.pool.here();
        let lease = match timeout {
            Some(timeout) => pool.get_timeout(endpoint, timeout).await,
            None => pool.get(endpoint).await,
        };
        let target = &endpoint.options().target;
        lease.map(PooledAsyncConnection::new).map_err(|error| Error::from_pool(target, error))
    }

    /// Borrows a connection to a host, runs a command on it to its end, and gives it back.
    ///
    /// # Errors
    ///
    /// As [`AsyncConnectionPool::execute`](super::AsyncConnectionPool::execute).
    pub async fn execute(
        &self,
        target: &Target,
        command: impl AsRef<[u8]>,
    ) -> Result<Output, Error> {
        self.execute_with(target, &Command::new(command)).await
    }

    /// As [`execute`](Self::execute), with input, environment, a terminal or a deadline; see
    /// [`AsyncConnectionPool::execute_with`](super::AsyncConnectionPool::execute_with).
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    pub async fn execute_with(&self, target: &Target, command: &Command) -> Result<Output, Error> {
        let exchange = async |connection: KeyedPooledAsyncConnection| {
            let Some(lease) = connection.into_lease() else { return self.get(target).await };
            let lease = self.pool.here().exchange(lease).await;
            lease.map(PooledAsyncConnection::new).map_err(|error| Error::from_pool(target, error))
        };
        self.get(target).await?.run(command, exchange).await
    }

    /// Closes all pools and waits up to `close_timeout` until their connections are closed, those
    /// lent included. Whoever waits for one gets an error at once.
    ///
    /// # Errors
    ///
    /// [`DrainTimeout`] if some were still open then; they are closed when they come back.
    pub async fn close(&self) -> Result<(), DrainTimeout> {
        self.pool.here().close().await.map(drop)
    }
}

impl fmt::Debug for AsyncKeyedConnectionPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncKeyedConnectionPool")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl PoolKind for AsyncKeyedConnectionPool {}
impl KeyedKind for AsyncKeyedConnectionPool {}
impl Sealed for AsyncKeyedConnectionPool {}

impl Builder<AsyncKeyedConnectionPool> {
    /// Makes the pool. Nothing is opened yet.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`](crate::SshError::InvalidInput) naming the parameter that makes no
    /// sense.
    pub fn build(self) -> Result<AsyncKeyedConnectionPool, Error> {
        let (hosts, made) = self.made_for_hosts()?;
        Ok(AsyncKeyedConnectionPool::of(hosts, made))
    }
}

impl AsyncKeyedConnectionPool {
    pub(super) fn of(hosts: Hosts, made: MadeForHosts) -> Self {
        let make = move || {
            let mut builder =
                AsyncKeyedPool::builder(made.config.clone(), RusshBackend::for_endpoint).shared();
            if let Some(observer) = &made.observer {
                builder = builder.observer(Arc::clone(observer));
            }
            builder.build()
        };
        let pool = PerProcess::new(make(), Arc::new(move || Some(make())));
        Self { pool: Arc::new(pool), hosts }
    }
}
