//! What is done on one host of many.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use ssh_session::sftp::{Bounds, Report};
use ssh_session::{Command, Endpoint, Output, SshError};
use tokio::sync::Semaphore;

use super::run::Operate;
use crate::Error;
use crate::multi::{Copying, Limits, Planned, Progress, left};
use crate::tasks::{AsyncKeyedConnectionPool, AsyncSftp, KeyedPooledAsyncConnection};

/// The connections to many hosts, and what calls over them have in common.
pub(super) struct Fleet {
    pub(super) pool: AsyncKeyedConnectionPool,
    pub(super) endpoints: Arc<[Endpoint]>,
    pub(super) limits: Limits,
    pub(super) progress: Option<Progress>,
    pub(super) connects: Semaphore,
}

/// A host whose turn it is: a connection, and until when.
struct Turn {
    lease: KeyedPooledAsyncConnection,
    deadline: Option<Instant>,
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Fleet {
    async fn turn(&self, endpoint: &Endpoint) -> Result<Turn, Error> {
        let deadline = || self.limits.host_timeout.and_then(|timeout| now().checked_add(timeout));
        if let Some(lease) = self.pool.try_get_at(endpoint) {
            return Ok(Turn { lease, deadline: deadline() });
        }
        let mut until = None;
        let lease = self.connect(endpoint, || *until.insert(deadline())).await?;
        Ok(Turn { lease, deadline: until.flatten() })
    }

    /// Waits for a turn to connect, and then as long as may be.
    async fn connect(
        &self,
        endpoint: &Endpoint,
        deadline: impl FnOnce() -> Option<Instant>,
    ) -> Result<KeyedPooledAsyncConnection, Error> {
        let Ok(_permit) = self.connects.acquire().await else {
            let target = endpoint.options().target.clone();
            return Err(SshError::Closed { target, maybe_started: false }.into());
        };
        let timeout = self.limits.to_connect(deadline(), now());
        self.pool.get_at(endpoint, timeout).await
    }

    async fn execute(&self, planned: &Planned<Command>) -> Result<Output, Error> {
        let Planned { endpoint, job: command } = planned;
        let Turn { lease, deadline } = self.turn(endpoint).await?;
        let command = match (command.time_limit(), left(deadline, now())) {
            (Some(own), Some(left)) => command.clone().timeout(own.min(left)),
            (one, other) => command.clone().timeout(one.or(other)),
        };
        let exchange = async |lease: KeyedPooledAsyncConnection| {
            drop(lease.into_lease());
            self.connect(endpoint, || deadline).await
        };
        lease.run(&command, exchange).await
    }

    /// A host's files, until its time is up.
    async fn files<'c>(&self, turn: &'c Turn) -> Result<AsyncSftp<'c>, Error> {
        let Turn { lease, deadline } = turn;
        let bounds = Bounds { deadline: left(*deadline, now()), ..Bounds::default() };
        let sftp = AsyncSftp::new(lease, bounds).await?;
        Ok(sftp.timeout(left(*deadline, now())))
    }
}

#[derive(Clone, Copy)]
pub(super) struct Execute;

impl Operate<Command, Output> for Execute {
    async fn on(&self, fleet: &Fleet, planned: &Planned<Command>) -> Result<Output, Error> {
        fleet.execute(planned).await
    }
}

#[derive(Clone, Copy)]
pub(super) struct Read;

impl Operate<PathBuf, Vec<u8>> for Read {
    async fn on(&self, fleet: &Fleet, planned: &Planned<PathBuf>) -> Result<Vec<u8>, Error> {
        let turn = fleet.turn(&planned.endpoint).await?;
        fleet.files(&turn).await?.read(&planned.job).await
    }
}

#[derive(Clone, Copy)]
pub(super) struct Write;

impl Operate<(PathBuf, Arc<[u8]>), ()> for Write {
    async fn on(
        &self,
        fleet: &Fleet,
        planned: &Planned<(PathBuf, Arc<[u8]>)>,
    ) -> Result<(), Error> {
        let (remote, content) = &planned.job;
        let turn = fleet.turn(&planned.endpoint).await?;
        fleet.files(&turn).await?.write(remote, content).await
    }
}

#[derive(Clone, Copy)]
pub(super) struct Upload;

impl Operate<Copying, Report> for Upload {
    async fn on(&self, fleet: &Fleet, planned: &Planned<Copying>) -> Result<Report, Error> {
        let Copying { local, remote, transfer } = &planned.job;
        let turn = fleet.turn(&planned.endpoint).await?;
        fleet.files(&turn).await?.upload(local, remote, transfer).await
    }
}

#[derive(Clone, Copy)]
pub(super) struct Download;

impl Operate<Copying, Report> for Download {
    async fn on(&self, fleet: &Fleet, planned: &Planned<Copying>) -> Result<Report, Error> {
        let Copying { local, remote, transfer } = &planned.job;
        let turn = fleet.turn(&planned.endpoint).await?;
        let sftp = fleet.files(&turn).await?;
        let (folders, target) = (local.clone(), planned.target().clone());
        let made = tokio::task::spawn_blocking(move || Copying::make_folders(&folders, &target));
        made.await.unwrap_or_else(|_| Err(crate::multi::panicked()))?;
        sftp.download(remote, local, transfer).await
    }
}
