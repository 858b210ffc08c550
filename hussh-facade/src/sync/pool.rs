//! Connections on loan, for threads.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pool_core::{Blocking, Domain, Guard, LocalChecks, Pool, Single};
use ssh_session::{Command, Endpoint, Output, Target};

use super::{Connection, Library};
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
/// told to everybody who waits, and not repeated for them.
///
/// ```no_run
/// use hussh::ConnectionPool;
///
/// let pool = ConnectionPool::builder("myserver.example.com", "deploy").agent().build()?;
/// std::thread::scope(|scope| {
///     for _ in 0..32 {
///         scope.spawn(|| pool.execute("uptime"));
///     }
/// });
/// # Ok::<(), hussh::Error>(())
/// ```
pub struct ConnectionPool<L: Library> {
    pool: Arc<PerProcess<Pool<L::Backend>>>,
    target: Target,
}

impl<L: Library> ConnectionPool<L> {
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
    pub fn get(&self) -> Result<PooledConnection<L>, Error> {
        let lease =
            self.pool.here().get().map_err(|error| Error::from_pool(&self.target, error))?;
        Ok(PooledConnection::new(lease))
    }

    /// Borrows a connection that is ready this moment. Never waits.
    #[track_caller]
    pub fn try_get(&self) -> Option<PooledConnection<L>> {
        self.pool.here().try_get().map(PooledConnection::new)
    }

    /// Borrows a connection, runs a command on it to its end, and gives it back.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get) and [`Connection::execute`].
    #[track_caller]
    pub fn execute(&self, command: impl AsRef<[u8]>) -> Result<Output, Error> {
        self.execute_with(&Command::new(command))
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
    #[track_caller]
    pub fn execute_with(&self, command: &Command) -> Result<Output, Error> {
        self.get()?.run(command, |connection| self.exchange(connection))
    }

    /// Gives a connection back that proved to be of no use, and borrows another in its place, before
    /// all who came later.
    fn exchange(&self, connection: PooledConnection<L>) -> Result<PooledConnection<L>, Error> {
        let pool = self.pool.here();
        let lease = match connection.into_lease() {
            Some(lease) => pool.exchange(lease),
            None => pool.get(),
        };
        let lease = lease.map_err(|error| Error::from_pool(&self.target, error))?;
        Ok(PooledConnection::new(lease))
    }

    /// Opens connections until so many are open, `max_connections` at most, and waits for that.
    ///
    /// # Errors
    ///
    /// [`Error::Warm`] if fewer are open in time, or at once if opening one failed for a reason that
    /// will not go away.
    pub fn warm(&self, connections: usize, timeout: Duration) -> Result<(), Error> {
        let warmed = self.pool.here().warm(connections, timeout);
        warmed.map_err(|source| Error::Warm { target: self.target.clone(), source })
    }

    /// Closes the pool and waits up to 5 s until its connections are closed, those lent included.
    /// Whoever waits for one gets an error at once.
    ///
    /// # Errors
    ///
    /// [`Error::Close`] if some were still open then; they are closed when they come back.
    pub fn close(&self) -> Result<(), Error> {
        let closed = self.pool.here().close();
        closed.map(drop).map_err(|source| Error::Close { target: self.target.clone(), source })
    }
}

impl<L: Library> Clone for ConnectionPool<L> {
    fn clone(&self) -> Self {
        Self { pool: Arc::clone(&self.pool), target: self.target.clone() }
    }
}

impl<L: Library> fmt::Debug for ConnectionPool<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionPool")
            .field("target", &self.target)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// A connection on loan, which can do whatever a [`Connection`] can; dropping it gives it back to
/// its pool, `D`.
#[must_use = "dropping it gives the connection back at once"]
pub struct PooledConnection<L: Library, D: Lends<L> = Single<Blocking<<L as Library>::Backend>>> {
    /// Goes first, so that the pool has the session to itself again.
    connection: Connection<L>,
    lease: ForkGuard<Guard<D>>,
}

/// A pool that lends sessions of a library. Nobody else can implement it.
#[doc(hidden)]
pub trait Lends<L: Library>: Domain<Backend: LocalChecks<Session = Arc<L::Session>>> {}

impl<L: Library, D> Lends<L> for D where D: Domain<Backend: LocalChecks<Session = Arc<L::Session>>> {}

impl<L: Library, D: Lends<L>> PooledConnection<L, D> {
    pub(super) fn new(lease: Guard<D>) -> Self {
        let connection = Connection::over(Arc::clone(&*lease));
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
    pub(super) fn run(
        self,
        command: &Command,
        exchange: impl FnMut(Self) -> Result<Self, Error>,
    ) -> Result<Output, Error> {
        self.run_by(command, Connection::execute_with, exchange)
    }

    /// As [`run`](Self::run), in a way of the caller's.
    pub(super) fn run_by(
        mut self,
        command: &Command,
        mut execute: impl FnMut(&Connection<L>, &Command) -> Result<Output, Error>,
        mut exchange: impl FnMut(Self) -> Result<Self, Error>,
    ) -> Result<Output, Error> {
        let mut attempts = Attempts::new(command, Instant::now);
        loop {
            match execute(&self.connection, &attempts.next()) {
                Err(error) if attempts.should_retry(&error) => self = exchange(self)?,
                other => return other,
            }
        }
    }
}

impl<L: Library, D: Lends<L>> Deref for PooledConnection<L, D> {
    type Target = Connection<L>;

    fn deref(&self) -> &Connection<L> {
        &self.connection
    }
}

impl<L: Library, D: Lends<L>> Drop for PooledConnection<L, D> {
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

impl<L: Library, D: Lends<L>> fmt::Debug for PooledConnection<L, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledConnection").field("target", self.target()).finish_non_exhaustive()
    }
}

impl<L: Library> PoolKind for ConnectionPool<L> {}
impl<L: Library> Sealed for ConnectionPool<L> {}

impl<L: Library> Builder<ConnectionPool<L>> {
    /// Makes the pool. Nothing is opened yet, but for `min_idle` connections in the background.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`](crate::SshError::InvalidInput) naming the parameter that makes no sense.
    pub fn build(self) -> Result<ConnectionPool<L>, Error> {
        let Made { options, config, observer } = self.made()?;
        let endpoint = Endpoint::new(options)?;
        let target = endpoint.options().target.clone();
        let make = move || {
            let backend = L::for_endpoint(&endpoint);
            let mut builder = Pool::builder(backend).config(config.clone()).shared();
            if let Some(observer) = &observer {
                builder = builder.observer(Arc::clone(observer));
            }
            builder.build()
        };
        let pool = PerProcess::new(make(), Arc::new(move || Some(make())));
        Ok(ConnectionPool { pool: Arc::new(pool), target })
    }
}
