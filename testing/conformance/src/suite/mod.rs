//! One suite for every kind of session, on every kind of server.
//!
//! A [`Subject`] says how sessions of one kind are opened; [`run`] puts it through all cases on a
//! server of one [`ServerKind`]. The cases are written once, over the sync traits; a session that is
//! async is tested through [`Blocking`], which does nothing but wait for it.
//!
//! What a server can't do is a fact about its kind ([`Capabilities`]), and the cases expect the error it
//! leads to. So every case runs in every cell of the grid, and none is skipped.

mod blocking;
mod cancelling;
mod case;
mod channels;
mod commands;
mod deadlines;
mod endings;
mod files;
mod forwardings;
mod heartbeats;
pub mod hostile;
mod limits;
mod networks;
mod server_kind;
mod peer;
mod processes;
mod queueing;
mod reading;
mod rekeying;
mod run;
mod scp;
mod sharing;
mod shells;
mod trees;
mod streams;
mod tails;
mod terminals;
mod tunnels;

use std::sync::Arc;
use std::time::Duration;

use ssh_session::scp::{Direction, Job, on_threads};
use ssh_session::sftp::{self, Bounds, Client, Report as Transferred};
use ssh_session::tunnel::{Forwarding, LocalForward, threads};
use ssh_session::{Command, Options, Session, SshError};

pub use blocking::{Blocking, BlockingProcess, BlockingTunnel, runtime};
pub use case::Case;
pub use run::{Outcome, Report, names, run};
pub use server_kind::{Capabilities, Environment, Server, ServerKind, Setup};

/// A kind of session.
pub trait Subject: Clone + Send + Sync + 'static {
    /// The sessions it opens.
    type Session: Session + 'static;

    /// Its name in the grid.
    fn name(&self) -> &'static str;

    /// Opens a session.
    ///
    /// # Errors
    ///
    /// Those of the session's own `connect`.
    fn connect(&self, options: &Options) -> Result<Self::Session, SshError>;

    /// Does something with files, over the channel that is kept with the session.
    ///
    /// # Errors
    ///
    /// Where there is no channel, and those of the operation.
    fn files<T>(
        &self,
        session: &Self::Session,
        bounds: &Bounds,
        operation: impl AsyncFnOnce(&Client) -> Result<T, SshError>,
    ) -> Result<T, SshError> {
        let channel = sftp::open(session, bounds)?;
        let client = channel.client(*bounds);
        let result = channel.run(bounds, operation(&client));
        if !channel.is_good() {
            session.files().drop_kept(&channel);
        }
        result
    }

    /// Transfers files by SCP, as callers of this kind of session do.
    ///
    /// # Errors
    ///
    /// Those of the transfer.
    fn scp(
        &self,
        session: &Self::Session,
        direction: Direction,
        job: Job<'_>,
        timeout: Duration,
    ) -> Result<Transferred, SshError> {
        on_threads(session, direction, job, Some(timeout))
    }

    /// Forwards a port, as callers of this kind of session do.
    ///
    /// # Errors
    ///
    /// Where it cannot be listened.
    fn forward(
        &self,
        session: &Arc<Self::Session>,
        forward: &LocalForward,
    ) -> Result<Forwarding, SshError> {
        threads::forward(session, forward)
    }

    /// Starts a command and gives it up after a while, as callers of this kind of session do: by
    /// dropping its process, or its future.
    ///
    /// # Errors
    ///
    /// Where the command failed before that.
    fn give_up(
        &self,
        session: &Self::Session,
        command: &Command,
        after: Duration,
    ) -> Result<(), SshError> {
        let process = session.spawn(command)?;
        std::thread::sleep(after);
        drop(process);
        Ok(())
    }
}

/// One case of the suite.
struct Entry<S: Subject> {
    name: &'static str,
    run: fn(&Case<S>),
}

/// Names each case by its function.
macro_rules! table {
    ($($case:ident),* $(,)?) => {
        pub(super) fn table<S: crate::suite::Subject>()
        -> Vec<crate::suite::Entry<S>> {
            vec![$(crate::suite::Entry { name: stringify!($case), run: $case::<S> }),*]
        }
    };
}
use table;
