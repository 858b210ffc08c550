//! What is done on one host of many.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ssh_session::sftp::{Bounds, Report};
use ssh_session::{Collected, Command, Endpoint, Output, Process as _, Session as _, SshError};

use super::permits::Permits;
use super::run::Wanted;
use crate::Error;
use crate::multi::{Copying, Limits, Planned, Progress, left};
use crate::sync::{
    Connection, KeyedConnectionPool, KeyedPooledConnection, Library, PooledConnection, Sftp,
};

/// How long a command may run on after its call was dropped.
const PATIENCE: Duration = Duration::from_millis(100);

/// The connections to many hosts, and what calls over them have in common.
pub(super) struct Fleet<L: Library> {
    pub(super) pool: KeyedConnectionPool<L>,
    pub(super) endpoints: Arc<[Endpoint]>,
    pub(super) limits: Limits,
    pub(super) progress: Option<Progress>,
    pub(super) connects: Permits,
}

/// A host whose turn it is: a connection, and until when.
struct Turn<L: Library> {
    lease: KeyedPooledConnection<L>,
    deadline: Option<Instant>,
}

impl<L: Library> Fleet<L> {
    fn turn(&self, wanted: &Wanted<L>, endpoint: &Endpoint) -> Result<Turn<L>, Error> {
        let deadline =
            || self.limits.host_timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        if let Some(lease) = self.pool.try_get_at(endpoint) {
            return Ok(Turn { lease, deadline: deadline() });
        }
        let mut until = None;
        let lease = self.connect(wanted, endpoint, || *until.insert(deadline()))?;
        Ok(Turn { lease, deadline: until.flatten() })
    }

    /// Waits for a turn to connect, and then as long as may be.
    fn connect(
        &self,
        wanted: &Wanted<L>,
        endpoint: &Endpoint,
        deadline: impl FnOnce() -> Option<Instant>,
    ) -> Result<KeyedPooledConnection<L>, Error> {
        let Some(_permit) = self.connects.take(|| wanted.is_wanted()) else {
            let target = endpoint.options().target.clone();
            return Err(SshError::Closed { target, maybe_started: false }.into());
        };
        let timeout = self.limits.to_connect(deadline(), Instant::now());
        self.pool.get_at(endpoint, timeout)
    }

    /// Runs a host's command.
    pub(super) fn execute(
        &self,
        wanted: &Wanted<L>,
        planned: &Planned<Command>,
    ) -> Result<Output, Error> {
        let Planned { endpoint, job: command } = planned;
        let Turn { lease, deadline } = self.turn(wanted, endpoint)?;
        let limit = command.output_limit(endpoint.options().max_output);
        let command = match (command.time_limit(), left(deadline, Instant::now())) {
            (Some(own), Some(left)) => command.clone().timeout(own.min(left)),
            (one, other) => command.clone().timeout(one.or(other)),
        };
        let exchange = |lease: KeyedPooledConnection<L>| {
            drop(lease.into_lease());
            self.connect(wanted, endpoint, || deadline)
        };
        let execute = |connection: &Connection<L>, command: &Command| {
            connection.learn(collect::<L>(connection.session(), command, limit, wanted))
        };
        PooledConnection::run_by(lease, &command, execute, exchange)
    }

    /// Does something with a host's files.
    pub(super) fn with_files<R>(
        &self,
        wanted: &Wanted<L>,
        endpoint: &Endpoint,
        work: impl FnOnce(&Sftp<'_, L>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let Turn { lease, deadline } = self.turn(wanted, endpoint)?;
        let bounds = Bounds { deadline: left(deadline, Instant::now()), ..Bounds::default() };
        wanted.on(&lease.shared_session(), || {
            let sftp = Sftp::new(&lease, bounds)?;
            work(&sftp.timeout(left(deadline, Instant::now())))
        })
    }

    pub(super) fn upload(
        &self,
        wanted: &Wanted<L>,
        planned: &Planned<Copying>,
    ) -> Result<Report, Error> {
        let Copying { local, remote, transfer } = &planned.job;
        self.with_files(wanted, &planned.endpoint, |sftp| sftp.upload(local, remote, transfer))
    }

    pub(super) fn download(
        &self,
        wanted: &Wanted<L>,
        planned: &Planned<Copying>,
    ) -> Result<Report, Error> {
        let Copying { local, remote, transfer } = &planned.job;
        self.with_files(wanted, &planned.endpoint, |sftp| {
            Copying::make_folders(local, planned.target())?;
            sftp.download(remote, local, transfer)
        })
    }
}

/// Runs a command to its end, as long as it is wanted.
fn collect<L: Library>(
    session: &L::Session,
    command: &Command,
    limit: Option<usize>,
    wanted: &Wanted<L>,
) -> Result<Output, SshError> {
    if !wanted.is_wanted() {
        let target = session.target().clone();
        return Err(SshError::Closed { target, maybe_started: false });
    }
    let until = command.time_limit().and_then(|limit| Instant::now().checked_add(limit));
    let process = session.spawn(command)?;
    let mut collected = Collected::new(session.target(), limit);
    while wanted.is_wanted() {
        let patient = left(until, Instant::now()).is_some_and(|left| left <= PATIENCE);
        let read = if patient { process.read() } else { process.read_within(PATIENCE) };
        let taken = match read {
            Ok(Some(chunk)) => collected.push(&chunk),
            Ok(None) => return collected.finish(process.wait()),
            // The command's own time is not up: see above.
            Err(SshError::Timeout { .. }) if !patient => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = taken {
            return collected.finish(Err(error));
        }
    }
    let target = session.target().clone();
    Err(SshError::Closed { target, maybe_started: true })
}
