//! Every kind of session, as the conformance suite sees it.
//!
//! The suite itself is `test_servers::conformance`, which knows no backend; here both sides meet. The
//! grid is run by this crate's test, a test for each cell, and printed by
//! `cargo xtask conformance`. Beside it stand the grid of logins (`cargo xtask auth`), the table of
//! host keys, what is agreed on with servers and what bad ones cost (`cargo xtask wire`), and what
//! all backends must not show or allow.
#![forbid(unsafe_code)]

mod pooled;
mod server_bytes;
pub mod suite;
mod tap;

use std::sync::Arc;
use std::time::Duration;

use crate::suite::{Blocking, Report, ServerKind, Subject, run, runtime};
use backend_russh::RusshSession;
use backend_russh::blocking::BlockingSession;
use backend_ssh2::Ssh2Session;
pub use pooled::{Pooled, Waited};
pub use server_bytes::server_bytes;
use ssh_session::scp::{Direction, Job, in_tasks};
use ssh_session::sftp::{Bounds, Client, Report as Transferred};
use ssh_session::tunnel::{Forwarding, LocalForward};
use ssh_session::{AsyncSession as _, Command, Options, SshError};
pub use tap::{Agreed, Tap};

/// Sync sessions over libssh2.
#[derive(Clone, Copy, Debug)]
pub struct Ssh2;

/// Async sessions over russh.
#[derive(Clone, Copy, Debug)]
pub struct Russh;

/// Sync sessions over russh, driven by its private runtime.
#[derive(Clone, Copy, Debug)]
pub struct BlockingRussh;

impl Subject for Ssh2 {
    type Session = Ssh2Session;

    fn name(&self) -> &'static str {
        "ssh2"
    }

    fn connect(&self, options: &Options) -> Result<Self::Session, SshError> {
        Ssh2Session::connect(options)
    }
}

impl Subject for Russh {
    type Session = Blocking<RusshSession>;

    fn name(&self) -> &'static str {
        "russh"
    }

    fn connect(&self, options: &Options) -> Result<Self::Session, SshError> {
        runtime()
            .block_on(RusshSession::connect(options))
            .map(|session| Blocking::new(Arc::new(session)))
    }

    /// As tasks do it: over the channel that a task has.
    fn files<T>(
        &self,
        session: &Self::Session,
        bounds: &Bounds,
        operation: impl AsyncFnOnce(&Client) -> Result<T, SshError>,
    ) -> Result<T, SshError> {
        runtime().block_on(async {
            let channel = session.inner.files(bounds).await?;
            let client = channel.client(*bounds);
            let result = channel.run(bounds, operation(&client)).await;
            session.inner.drop_bad_files(&channel);
            result
        })
    }

    /// As tasks do it.
    fn scp(
        &self,
        session: &Self::Session,
        direction: Direction,
        job: Job<'_>,
        timeout: Duration,
    ) -> Result<Transferred, SshError> {
        let offload = session.inner.offload();
        let session = &*session.inner;
        runtime().block_on(in_tasks(session, &offload, direction, job, Some(timeout)))
    }

    /// As tasks do it: by a task.
    fn forward(
        &self,
        session: &Arc<Self::Session>,
        forward: &LocalForward,
    ) -> Result<Forwarding, SshError> {
        session.inner.forward_local(forward)
    }

    /// Drops the future of the whole call, wherever it is.
    fn give_up(
        &self,
        session: &Self::Session,
        command: &Command,
        after: Duration,
    ) -> Result<(), SshError> {
        runtime().block_on(async {
            match tokio::time::timeout(after, session.inner.exec(command)).await {
                Ok(result) => result.map(drop),
                Err(_) => Ok(()),
            }
        })
    }
}

impl Subject for BlockingRussh {
    type Session = BlockingSession;

    fn name(&self) -> &'static str {
        "blocking-russh"
    }

    fn connect(&self, options: &Options) -> Result<Self::Session, SshError> {
        BlockingSession::connect(options)
    }
}

/// The names of the sessions, in the order of the grid.
pub const SESSIONS: [&str; 3] = ["ssh2", "russh", "blocking-russh"];

/// Runs one cell of the grid; `None` if there is no session of that name.
pub fn cell(session: &str, place: ServerKind, filter: Option<&str>) -> Option<Report> {
    match session {
        "ssh2" => Some(run(&Ssh2, place, filter)),
        "russh" => Some(run(&Russh, place, filter)),
        "blocking-russh" => Some(run(&BlockingRussh, place, filter)),
        _ => None,
    }
}
