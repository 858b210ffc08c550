//! One call for many hosts, on threads.

mod permits;
mod run;
mod work;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use pool_core::DrainTimeout;
use ssh_session::sftp::{Report, Transfer};
use ssh_session::{Command, Output, Target};

use self::permits::Permits;
pub use self::run::MultiRun;
use self::work::Fleet;
use super::{KeyedConnectionPool, Library};
use crate::builder::{FleetKind, KeyedKind, MadeFleet, PoolKind, Sealed};
use crate::multi::{LocalPath, Plan};
use crate::{Builder, Error};

/// Connections to many hosts, for one call over all of them: a pool for each host
/// ([`KeyedConnectionPool`]), and threads that work on some hosts at a time. Clones are handles to
/// the same; when the last one is dropped, and no call is under way, the connections are closed.
///
/// A call says at once whether it can be made, and then runs on threads of its own, at most
/// [`hosts_at_once`](Builder::hosts_at_once) of them; connections are opened where there is none
/// yet, and kept for the next call. What happens on one host is told as that host's result and
/// changes nothing for the others. A command that may have started on a host is never run there
/// again.
///
/// ```no_run
/// use std::time::Duration;
///
/// use hussh::MultiConnection;
///
/// let fleet = MultiConnection::builder()
///     .username("deploy")
///     .agent()
///     .hosts(["web1", "web2", "admin@db:2222"])
///     .host_timeout(Duration::from_secs(60))
///     .build()?;
/// for host in fleet.execute("uptime")? {
///     match host.result {
///         Ok(output) => println!("{}: {}", host.host, output.stdout_lossy()),
///         Err(error) => eprintln!("{error}"),
///     }
/// }
/// let results = fleet.execute_each(|target| Some(format!("echo {}", target.host())))?.wait();
/// assert_eq!(results.failed().count(), 0);
/// # Ok::<(), hussh::Error>(())
/// ```
pub struct MultiConnection<L: Library> {
    fleet: Arc<Fleet<L>>,
}

impl<L: Library> MultiConnection<L> {
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
    /// Where the command makes no sense on any host. All else is the result of a host.
    pub fn execute(&self, command: impl AsRef<[u8]>) -> Result<MultiRun<Output>, Error> {
        self.execute_with(&Command::new(command))
    }

    /// As [`execute`](Self::execute), with input, environment or a deadline; see
    /// [`ConnectionPool::execute_with`](super::ConnectionPool::execute_with).
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    pub fn execute_with(&self, command: &Command) -> Result<MultiRun<Output>, Error> {
        let plan = Plan::of_command(&self.fleet.endpoints, command)?;
        Ok(run::start(&self.fleet, plan, Fleet::execute))
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
    ) -> Result<MultiRun<Output>, Error> {
        let plan = Plan::of_commands(&self.fleet.endpoints, command)?;
        Ok(run::start(&self.fleet, plan, Fleet::execute))
    }

    /// Reads a file of all hosts, over SFTP.
    ///
    /// # Errors
    ///
    /// None today; what goes wrong is the result of a host.
    pub fn read(&self, remote: impl AsRef<Path>) -> Result<MultiRun<Vec<u8>>, Error> {
        let plan = Plan::new(&self.fleet.endpoints, |_| Some(remote.as_ref().to_owned()));
        Ok(run::start(&self.fleet, plan, |fleet, wanted, planned| {
            fleet.with_files(wanted, &planned.endpoint, |sftp| sftp.read(&planned.job))
        }))
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
    ) -> Result<MultiRun<()>, Error> {
        let content: Arc<[u8]> = content.as_ref().into();
        let job = |_: &Target| Some((remote.as_ref().to_owned(), Arc::clone(&content)));
        let plan = Plan::new(&self.fleet.endpoints, job);
        Ok(run::start(&self.fleet, plan, |fleet, wanted, planned| {
            let (remote, content) = &planned.job;
            fleet.with_files(wanted, &planned.endpoint, |sftp| sftp.write(remote, content))
        }))
    }

    /// Uploads a file or a directory to all hosts; see [`Sftp::upload`](super::Sftp::upload). The
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
    ) -> Result<MultiRun<Report>, Error> {
        let plan = Plan::of_paths(&self.fleet.endpoints, &local.into(), false)?;
        Ok(run::start(&self.fleet, plan.copying(remote.as_ref(), transfer), Fleet::upload))
    }

    /// Downloads a file or a directory of all hosts, to a local path of its own for each, such as
    /// `logs/{host}`, whose folders are made; see [`Sftp::download`](super::Sftp::download).
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
    ) -> Result<MultiRun<Report>, Error> {
        let plan = Plan::of_paths(&self.fleet.endpoints, &local.into(), true)?;
        Ok(run::start(&self.fleet, plan.copying(remote.as_ref(), transfer), Fleet::download))
    }

    /// Closes all connections and waits up to `close_timeout` until they are, those in use included.
    /// Calls made later fail on every host.
    ///
    /// # Errors
    ///
    /// [`DrainTimeout`] if some were still open then; they are closed when they come back.
    pub fn close(&self) -> Result<(), DrainTimeout> {
        self.fleet.pool.close()
    }
}

impl<L: Library> Clone for MultiConnection<L> {
    fn clone(&self) -> Self {
        Self { fleet: Arc::clone(&self.fleet) }
    }
}

impl<L: Library> fmt::Debug for MultiConnection<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultiConnection")
            .field("hosts", &self.fleet.endpoints.len())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl<L: Library> PoolKind for MultiConnection<L> {}
impl<L: Library> KeyedKind for MultiConnection<L> {}
impl<L: Library> FleetKind for MultiConnection<L> {}
impl<L: Library> Sealed for MultiConnection<L> {}

impl<L: Library> Builder<MultiConnection<L>> {
    /// Takes the hosts. Nothing is opened yet.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`](crate::SshError::InvalidInput) naming the parameter, or the host,
    /// that makes no sense.
    pub fn build(self) -> Result<MultiConnection<L>, Error> {
        let MadeFleet { hosts, made, endpoints, limits, progress } = self.made_fleet()?;
        let pool = KeyedConnectionPool::of(hosts, made);
        let connects = Permits::new(limits.connects);
        let fleet = Fleet { pool, endpoints, limits, progress, connects };
        Ok(MultiConnection { fleet: Arc::new(fleet) })
    }
}
