//! Connections on loan.

use std::fmt;
use std::ops::Deref;
use std::time::{Duration, Instant};

use backend_ssh2::{Ssh2Backend, Ssh2Session};
use pool_core::{Config, ConfigError, Guard, Pool, Pooled, Stats};
use ssh_session::{Command, Kind, Output, Session as _, SshError, Target};

use crate::Error;
use crate::settings::{Settings, shared_setters};

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
#[derive(Clone)]
pub struct ConnectionPool {
    pool: Pool<Ssh2Backend>,
    target: Target,
}

impl ConnectionPool {
    /// Starts with a host's name or address and the user to log in as.
    pub fn builder(host: impl Into<String>, username: impl Into<String>) -> ConnectionPoolBuilder {
        let mut settings = Settings::new(host.into(), username.into());
        settings.keepalive_interval = Some(Duration::from_secs(30));
        ConnectionPoolBuilder { settings, config: Config::builder() }
    }

    /// Borrows a connection, waiting up to `acquire_timeout` for one. Dropping it gives it back.
    ///
    /// # Errors
    ///
    /// [`Error::Ssh`] if no connection can be opened for a reason that will not go away (wrong
    /// password, changed host key); [`Error::Pool`] if none came free in time or the pool is
    /// closed.
    #[track_caller]
    pub fn get(&self) -> Result<PooledConnection, Error> {
        let lease = self.pool.get().map_err(|error| Error::from_pool(&self.target, error))?;
        Ok(PooledConnection { lease })
    }

    /// Borrows a connection that is ready this moment. Never waits.
    #[track_caller]
    pub fn try_get(&self) -> Option<PooledConnection> {
        self.pool.try_get().map(|lease| PooledConnection { lease })
    }

    /// Borrows a connection, runs a command on it to its end, and gives it back.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get) and [`PooledConnection::execute`].
    #[track_caller]
    pub fn execute(&self, command: impl AsRef<[u8]>) -> Result<Output, Error> {
        self.execute_with(&Command::new(command))
    }

    /// Borrows a connection, runs a command with input, environment or a deadline, and gives the
    /// connection back. The command's deadline does not count the time of borrowing.
    ///
    /// If the connection dies before the command has been sent, it is sent on another one, once,
    /// in what is left of the deadline.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    #[track_caller]
    pub fn execute_with(&self, command: &Command) -> Result<Output, Error> {
        let lease = self.get()?;
        let start = Instant::now();
        let result = lease.execute_with(command);
        drop(lease);
        match result {
            // The connection died between the check and the command, which has not been sent.
            Err(error) if error.is_retryable() && error.kind() == Some(Kind::ConnectionLost) => {
                let left = command.time_limit().map(|limit| limit.saturating_sub(start.elapsed()));
                self.get()?.execute_with(&command.clone().timeout(left))
            }
            other => other,
        }
    }

    /// How many connections are open, lent, being opened, and so on, all of one moment.
    pub fn stats(&self) -> Stats {
        self.pool.stats()
    }

    /// Whom it talks to.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Closes the pool and waits up to 5 s until its connections are closed, those lent included.
    /// Whoever waits for one gets an error at once.
    ///
    /// # Errors
    ///
    /// [`Error::Close`] if some were still open then; they are closed when they come back.
    pub fn close(&self) -> Result<(), Error> {
        self.pool.close().map_err(|source| Error::Close { target: self.target.clone(), source })
    }
}

impl fmt::Debug for ConnectionPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionPool")
            .field("target", &self.target)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// A connection on loan; dropping it gives it back to its pool.
#[derive(Debug)]
#[must_use = "dropping it gives the connection back at once"]
pub struct PooledConnection {
    lease: Pooled<Ssh2Backend>,
}

impl PooledConnection {
    /// Runs a command to its end and collects what it wrote, without a deadline.
    ///
    /// # Errors
    ///
    /// Whenever there is no exit status to report. A command that ran and failed is an
    /// [`Output`] whose [`success`](Output::success) is false.
    pub fn execute(&self, command: impl AsRef<[u8]>) -> Result<Output, Error> {
        self.execute_with(&Command::new(command))
    }

    /// Runs a command with input, environment or a deadline.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute); and when the command's deadline passes, with the output so
    /// far in the error.
    pub fn execute_with(&self, command: &Command) -> Result<Output, Error> {
        Ok(self.lease.exec(command)?)
    }

    /// Says that this connection is not to be lent again.
    pub fn mark_broken(&mut self) {
        Guard::mark_broken(&mut self.lease);
    }
}

impl Deref for PooledConnection {
    type Target = Ssh2Session;

    fn deref(&self) -> &Ssh2Session {
        &self.lease
    }
}

/// Makes a [`ConnectionPool`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct ConnectionPoolBuilder {
    settings: Settings,
    config: pool_core::ConfigBuilder,
}

impl ConnectionPoolBuilder {
    shared_setters!("30 s");

    /// The most connections open at once: 1 and up, default 10. sshd's `MaxStartups` and the
    /// server's memory bound what is sensible.
    pub fn max_connections(mut self, count: usize) -> Self {
        self.config = self.config.max_size(count);
        self
    }

    /// How many connections are kept open though nobody uses them: up to `max_connections`,
    /// default 0.
    pub fn min_idle(mut self, count: usize) -> Self {
        self.config = self.config.min_idle(count);
        self
    }

    /// How long a borrower waits for a connection; `None` waits for ever. Default 30 s.
    pub fn acquire_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.config = self.config.acquire_timeout(timeout.into());
        self
    }

    /// Connections that nobody used for this long are closed, down to `min_idle`; `None` keeps
    /// them. Above zero, default 10 min.
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.config = self.config.idle_timeout(timeout.into());
        self
    }

    /// Connections older than this are replaced once nobody uses them; `None` keeps them. Above
    /// zero, default 30 min.
    pub fn max_lifetime(mut self, lifetime: impl Into<Option<Duration>>) -> Self {
        self.config = self.config.max_lifetime(lifetime.into());
        self
    }

    /// Makes the pool. Nothing is opened yet, but for `min_idle` connections in the background.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] naming the parameter that makes no sense.
    pub fn build(self) -> Result<ConnectionPool, Error> {
        let config = self
            .config
            .connect_timeout(self.settings.connect_timeout)
            .keepalive_interval(self.settings.keepalive_interval)
            .build()
            .map_err(|error| invalid(&error))?;
        let options = self.settings.options()?;
        let target = options.target.clone();
        let pool = Pool::new(Ssh2Backend::new(options)?, config);
        Ok(ConnectionPool { pool, target })
    }
}

/// The pool's own words about a parameter, with the name it has here.
fn invalid(error: &ConfigError) -> SshError {
    let field = match error.field() {
        "max_size" => "max_connections",
        other => other,
    };
    let text = error.to_string().replace("max_size", "max_connections");
    let expected = text.rsplit_once(" must be ").map_or("in range", |(_, expected)| expected);
    SshError::invalid(field, format!("must be {expected}"))
}
