//! One call for many hosts, for tasks.

mod run;
mod work;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use pool_core::DrainTimeout;
use ssh_session::sftp::{Report, Transfer};
use ssh_session::{Command, Output, Target};
use tokio::sync::Semaphore;

pub use self::run::AsyncMultiRun;
use self::work::{Download, Execute, Fleet, Read, Upload, Write};
use super::AsyncKeyedConnectionPool;
use crate::builder::{FleetKind, KeyedKind, MadeFleet, PoolKind, Sealed};
use crate::multi::{LocalPath, Plan};
use crate::{Builder, Error};

/// Connections to many hosts, for one call over all of them, as
/// [`MultiConnection`](crate::MultiConnection): a pool for each host, and tasks that work on some
/// hosts at a time, at most [`hosts_at_once`](Builder::hosts_at_once) of a call.
///
/// A call is to be made within a tokio runtime, and runs on it by itself, whether or not its results
/// are fetched meanwhile.
///
/// ```no_run
/// use hussh::AsyncMultiConnection;
///
/// # async fn run() -> Result<(), hussh::Error> {
/// let fleet = AsyncMultiConnection::builder()
///     .username("deploy")
///     .agent()
///     .hosts(["web1", "web2", "admin@db:2222"])
///     .build()?;
/// let mut run = fleet.execute("uptime")?;
/// while let Some(host) = run.next().await {
///     match host.result {
///         Ok(output) => println!("{}: {}", host.host, output.stdout_lossy()),
///         Err(error) => eprintln!("{error}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct AsyncMultiConnection {
    fleet: Arc<Fleet>,
}

impl AsyncMultiConnection {
    /// Starts with the defaults, and no hosts yet.
    pub fn builder() -> Builder<Self> {
        Builder::of_hosts()
    }

    /// The hosts, in the order in which they were given.
    pub fn hosts(&self) -> impl ExactSizeIterator<Item = &Target> {
        self.fleet.endpoints.iter().map(|endpoint| &endpoint.options().target)
    }

    /// How many hosts are known to the pools, connections open, and hosts short of a place.
    pub fn stats(&self) -> pool_core::KeyedStats {
        self.fleet.pool.stats()
    }

    /// Runs a command on all hosts.
    ///
    /// # Errors
    ///
    /// Where the command makes no sense on any host, or there is no tokio runtime. All else is the result of a host.
    pub fn execute(&self, command: impl AsRef<[u8]>) -> Result<AsyncMultiRun<Output>, Error> {
        self.execute_with(&Command::new(command))
    }

    /// As [`execute`](Self::execute), with input, environment or a deadline; see
    /// [`AsyncConnectionPool::execute_with`](super::AsyncConnectionPool::execute_with).
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    pub fn execute_with(&self, command: &Command) -> Result<AsyncMultiRun<Output>, Error> {
        let plan = Plan::of_command(&self.fleet.endpoints, command)?;
        run::start(&self.fleet, plan, Execute)
    }

    /// Runs a command on each host for which there is one: a string, or a [`Command`]. The others
    /// are left out. The function is called for all before anything is run.
    ///
    /// # Errors
    ///
    /// Where a command makes no sense. All else is the result of a host.
    pub fn execute_each<C: Into<Command>>(
        &self,
        command: impl FnMut(&Target) -> Option<C>,
    ) -> Result<AsyncMultiRun<Output>, Error> {
        let plan = Plan::of_commands(&self.fleet.endpoints, command)?;
        run::start(&self.fleet, plan, Execute)
    }

    /// Reads a file of all hosts, over SFTP.
    ///
    /// # Errors
    ///
    /// Where there is no tokio runtime. All else is the result of a host.
    pub fn read(&self, remote: impl AsRef<Path>) -> Result<AsyncMultiRun<Vec<u8>>, Error> {
        let plan = Plan::new(&self.fleet.endpoints, |_| Some(remote.as_ref().to_owned()));
        run::start(&self.fleet, plan, Read)
    }

    /// Makes these the content of a file on all hosts, over SFTP.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn write(
        &self,
        remote: impl AsRef<Path>,
        content: impl AsRef<[u8]>,
    ) -> Result<AsyncMultiRun<()>, Error> {
        let content: Arc<[u8]> = content.as_ref().into();
        let job = |_: &Target| Some((remote.as_ref().to_owned(), Arc::clone(&content)));
        let plan = Plan::new(&self.fleet.endpoints, job);
        run::start(&self.fleet, plan, Write)
    }

    /// Uploads a file or a directory to all hosts; see [`AsyncSftp::upload`](super::AsyncSftp::upload). The
    /// local path may be another one for each host.
    ///
    /// # Errors
    ///
    /// Where the pattern of the local path is none. All else is the result of a host.
    pub fn upload(
        &self,
        local: impl Into<LocalPath>,
        remote: impl AsRef<Path>,
        transfer: &Transfer,
    ) -> Result<AsyncMultiRun<Report>, Error> {
        let plan = Plan::of_paths(&self.fleet.endpoints, &local.into(), false)?;
        run::start(&self.fleet, plan.copying(remote.as_ref(), transfer), Upload)
    }

    /// Downloads a file or a directory of all hosts, to a local path of its own for each, such as
    /// `logs/{host}`, whose folders are made; see [`AsyncSftp::download`](super::AsyncSftp::download).
    ///
    /// # Errors
    ///
    /// Where the pattern of the local path is none, or two hosts have the same. All else is the
    /// result of a host.
    pub fn download(
        &self,
        remote: impl AsRef<Path>,
        local: impl Into<LocalPath>,
        transfer: &Transfer,
    ) -> Result<AsyncMultiRun<Report>, Error> {
        let plan = Plan::of_paths(&self.fleet.endpoints, &local.into(), true)?;
        run::start(&self.fleet, plan.copying(remote.as_ref(), transfer), Download)
    }

    /// Closes all connections and waits up to `close_timeout` until they are, those in use included.
    /// Calls made later fail on every host.
    ///
    /// # Errors
    ///
    /// [`DrainTimeout`] if some were still open then; they are closed when they come back.
    pub async fn close(&self) -> Result<(), DrainTimeout> {
        self.fleet.pool.close().await
    }
}

impl fmt::Debug for AsyncMultiConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncMultiConnection")
            .field("hosts", &self.fleet.endpoints.len())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl PoolKind for AsyncMultiConnection {}
impl KeyedKind for AsyncMultiConnection {}
impl FleetKind for AsyncMultiConnection {}
impl Sealed for AsyncMultiConnection {}

impl Builder<AsyncMultiConnection> {
    /// Takes the hosts. Nothing is opened yet.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`](crate::SshError::InvalidInput) naming the parameter, or the host,
    /// that makes no sense.
    pub fn build(self) -> Result<AsyncMultiConnection, Error> {
        let MadeFleet { hosts, made, endpoints, limits, progress } = self.made_fleet()?;
        let pool = AsyncKeyedConnectionPool::of(hosts, made);
        let connects = Semaphore::new(limits.connects.min(Semaphore::MAX_PERMITS));
        let fleet = Fleet { pool, endpoints, limits, progress, connects };
        Ok(AsyncMultiConnection { fleet: Arc::new(fleet) })
    }
}
