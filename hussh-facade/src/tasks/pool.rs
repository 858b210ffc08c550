//! Connections on loan, for tasks.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use backend_russh::{RusshBackend, RusshSession};
use pool_core::{AsyncAdapter, AsyncPool, Domain, Guard, LocalChecks, Single};
use ssh_session::{Command, Output, SshError, Target};

use super::AsyncConnection;
use crate::builder::{Made, PoolKind, Sealed, starts};
use crate::forked::{ForkGuard, PerProcess};
use crate::queries::pool_queries;
use crate::retry::Attempts;
use crate::{Builder, Error};

/// A pool of SSH connections to one host as one user. Clones are handles to the same pool; when the
/// last one is dropped, the pool closes.
///
/// Connections are opened when they are needed and at most a few at once. One that died while
/// nobody used it is replaced before it is lent, and the borrower never sees it. A refused login is
/// told to everybody who waits, and not repeated for them. All futures are cancel-safe: dropped, they
/// leave the queue, or end their command and give the connection back.
///
/// Its connections live on the tokio runtime on which they are opened, that of the first borrow.
///
/// ```no_run
/// use hussh::AsyncConnectionPool;
///
/// # async fn run() -> Result<(), hussh::Error> {
/// let pool = AsyncConnectionPool::builder("myserver.example.com", "deploy").agent().build()?;
/// let commands = (0..32).map(|number| {
///     let pool = pool.clone();
///     tokio::spawn(async move { pool.execute(format!("echo {number}")).await })
/// });
/// for command in commands.collect::<Vec<_>>() {
///     println!("{}", command.await.expect("no panic")?.stdout_lossy());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct AsyncConnectionPool {
    pool: Arc<PerProcess<AsyncPool<RusshBackend>>>,
    target: Target,
}

impl AsyncConnectionPool {
    starts!();

    pool_queries!();

    /// Borrows a connection, waiting up to `acquire_timeout` for one. Dropping it gives it back.
    ///
    /// # Errors
    ///
    /// [`Error::Ssh`] if no connection can be opened for a reason that will not go away (wrong
    /// password, changed host key); [`Error::Pool`] if none came free in time or the pool is
    /// closed.
    #[track_caller]
    pub fn get(&self) -> impl Future<Output = Result<PooledAsyncConnection, Error>> + Send + '_ {
        // Here and not in an async block, so that the pool knows who called.
        let acquire = self.pool.here().get();
        async move {
            let lease = acquire.await.map_err(|error| Error::from_pool(&self.target, error))?;
            Ok(PooledAsyncConnection::new(lease))
        }
    }

    /// Borrows a connection that is ready this moment. Never waits.
    #[track_caller]
    pub fn try_get(&self) -> Option<PooledAsyncConnection> {
        self.pool.here().try_get().map(PooledAsyncConnection::new)
    }

    /// Borrows a connection, runs a command on it to its end, and gives it back.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get) and [`AsyncConnection::execute`].
    pub async fn execute(&self, command: impl AsRef<[u8]>) -> Result<Output, Error> {
        self.execute_with(&Command::new(command)).await
    }

    /// Borrows a connection, runs a command with input, environment, a terminal or a deadline, and
    /// gives the connection back. The command's deadline does not count the time of borrowing.
    ///
    /// If the connection dies before the command has been sent, or the server opens no further
    /// channel on it, the command is sent on another one, in what is left of the deadline.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    pub async fn execute_with(&self, command: &Command) -> Result<Output, Error> {
        self.get().await?.run(command, |connection| self.exchange(connection)).await
    }

    /// Gives a connection back that proved to be of no use, and borrows another in its place, before
    /// all who came later.
    async fn exchange(
        &self,
        connection: PooledAsyncConnection,
    ) -> Result<PooledAsyncConnection, Error> {
        let pool = self.pool.here();
        let lease = match connection.into_lease() {
            Some(lease) => pool.exchange(lease).await,
            None => pool.get().await,
        };
        let lease = lease.map_err(|error| Error::from_pool(&self.target, error))?;
        Ok(PooledAsyncConnection::new(lease))
    }

    /// Opens connections until so many are open, `max_connections` at most, and waits for that.
    /// Dropping the future ends the waiting and the warming.
    ///
    /// # Errors
    ///
    /// [`Error::Warm`] if fewer are open in time, or at once if opening one failed for a reason that
    /// will not go away.
    pub async fn warm(&self, connections: usize, timeout: Duration) -> Result<(), Error> {
        let warmed = self.pool.here().warm(connections, timeout).await;
        warmed.map_err(|source| Error::Warm { target: self.target.clone(), source })
    }

    /// Closes the pool and waits up to 5 s until its connections are closed, those lent included.
    /// Whoever waits for one gets an error at once.
    ///
    /// # Errors
    ///
    /// [`Error::Close`] if some were still open then; they are closed when they come back.
    pub async fn close(&self) -> Result<(), Error> {
        let closed = self.pool.here().close().await;
        closed.map(drop).map_err(|source| Error::Close { target: self.target.clone(), source })
    }
}

impl fmt::Debug for AsyncConnectionPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncConnectionPool")
            .field("target", &self.target)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// A connection on loan, which can do whatever an [`AsyncConnection`] can; dropping it gives it
/// back to its pool, `D`.
#[must_use = "dropping it gives the connection back at once"]
pub struct PooledAsyncConnection<D: Lends = Single<AsyncAdapter<RusshBackend>>> {
    /// Goes first, so that the pool has the session to itself again.
    connection: AsyncConnection,
    lease: ForkGuard<Guard<D>>,
}

/// A pool that lends russh's sessions. Nobody else can implement it.
#[doc(hidden)]
pub trait Lends: Domain<Backend: LocalChecks<Session = Arc<RusshSession>>> {}

impl<D> Lends for D where D: Domain<Backend: LocalChecks<Session = Arc<RusshSession>>> {}

impl<D: Lends> PooledAsyncConnection<D> {
    pub(super) fn new(lease: Guard<D>) -> Self {
        let connection = AsyncConnection::over(Arc::clone(&*lease));
        Self { connection, lease: ForkGuard::new(lease) }
    }

    /// Says that this connection is not to be lent again.
    pub fn mark_broken(&mut self) {
        Guard::mark_broken(&mut self.lease);
    }

    pub(super) fn into_lease(mut self) -> Option<Guard<D>> {
        let lease = self.lease.take()?;
        if self.connection.is_overfull() {
            Guard::refused(&lease);
        }
        Some(lease)
    }

    /// Runs a command, on another connection where it cannot have started on this one.
    pub(super) async fn run<F>(
        mut self,
        command: &Command,
        mut exchange: impl FnMut(Self) -> F,
    ) -> Result<Output, Error>
    where
        F: Future<Output = Result<Self, Error>>,
    {
        let mut attempts = Attempts::new(command, || tokio::time::Instant::now().into_std());
        loop {
            match self.connection.execute_with(&attempts.next()).await {
                Err(error) if attempts.should_retry(&error) => self = exchange(self).await?,
                other => return other,
            }
        }
    }
}

impl<D: Lends> Deref for PooledAsyncConnection<D> {
    type Target = AsyncConnection;

    fn deref(&self) -> &AsyncConnection {
        &self.connection
    }
}

impl<D: Lends> Drop for PooledAsyncConnection<D> {
    /// A refused channel tells the pool how many commands a connection carries, and so do those that
    /// still wait for one.
    fn drop(&mut self) {
        if self.connection.is_overfull()
            && let Some(lease) = self.lease.get()
        {
            Guard::refused(lease);
        }
    }
}

impl<D: Lends> fmt::Debug for PooledAsyncConnection<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledAsyncConnection")
            .field("target", self.target())
            .finish_non_exhaustive()
    }
}

impl PoolKind for AsyncConnectionPool {}
impl Sealed for AsyncConnectionPool {}

impl Builder<AsyncConnectionPool> {
    /// Makes the pool. Nothing is opened yet, but for `min_idle` connections in the background if
    /// this is called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] naming the parameter that makes no sense.
    pub fn build(self) -> Result<AsyncConnectionPool, Error> {
        let Made { options, config, observer } = self.made()?;
        let target = options.target.clone();
        let make = move || {
            let backend = RusshBackend::new(options.clone())?;
            let mut builder = AsyncPool::builder(backend).config(config.clone()).shared();
            if let Some(observer) = &observer {
                builder = builder.observer(Arc::clone(observer));
            }
            Ok::<_, SshError>(builder.build())
        };
        let pool = PerProcess::new(make()?, Arc::new(move || make().ok()));
        Ok(AsyncConnectionPool { pool: Arc::new(pool), target })
    }
}
