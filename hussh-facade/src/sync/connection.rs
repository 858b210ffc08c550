//! One connection, held by its owner.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ssh_session::sftp::{Bounds, TailOptions};
use ssh_session::shell::ShellOptions;
use ssh_session::tunnel::OpenTunnels;
use ssh_session::{Chunk, Command, ExitStatus, Kind, Output, Session as _, SshError, Target};

use super::{Library, Process, Sftp, Shell, Tail};
use crate::builder::starts;
use crate::{Builder, Error};

/// One SSH connection, open until it is dropped or closed. May be used from many threads at once;
/// their commands run side by side, as many as the server's `MaxSessions` allows, and the others wait
/// for them in the order they came ([`Command::wait_for_channel`]).
///
/// It is not reopened when it dies. A [`ConnectionPool`](crate::ConnectionPool) of one does that.
///
/// ```no_run
/// use std::time::Duration;
///
/// use hussh::Connection;
///
/// let connection = Connection::builder("myserver.example.com", "deploy")
///     .agent()
///     .keepalive_interval(Duration::from_secs(30))
///     .keepalive_count_max(3)
///     .connect()?;
/// let result = connection.execute("uptime")?;
/// assert!(result.success());
/// # Ok::<(), hussh::Error>(())
/// ```
pub struct Connection<L: Library> {
    pub(super) session: Arc<L::Session>,
    /// The server refused one of its commands a channel: a pool wants to know.
    refused: AtomicBool,
    /// Ended with this, and so before a pool has the session back.
    pub(super) tunnels: OpenTunnels,
}

impl<L: Library> Connection<L> {
    starts!();

    /// Runs a command to its end and collects what it wrote, without a deadline.
    ///
    /// # Errors
    ///
    /// Whenever there is no exit status to report. A command that ran and failed is an
    /// [`Output`] whose [`success`](Output::success) is false.
    pub fn execute(&self, command: impl AsRef<[u8]>) -> Result<Output, Error> {
        self.execute_with(&Command::new(command))
    }

    /// Runs a command with input, environment, a terminal or a deadline.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute); and when the command's deadline passes, with the output so
    /// far in the error.
    pub fn execute_with(&self, command: &Command) -> Result<Output, Error> {
        self.learn(self.session.exec(command))
    }

    /// Runs a command to its end and hands on what it writes as it comes, keeping none of it. The
    /// command waits while `on_output` runs.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute); what was handed on is not in the error.
    pub fn execute_streamed(
        &self,
        command: &Command,
        on_output: impl FnMut(Chunk),
    ) -> Result<ExitStatus, Error> {
        self.learn(self.session.stream(command, on_output))
    }

    /// Starts a command whose output is read, and input written, while it runs.
    ///
    /// # Errors
    ///
    /// Where it was not started, or nobody knows whether it was.
    pub fn spawn(&self, command: &Command) -> Result<Process<'_, L>, Error> {
        self.learn(self.session.spawn(command)).map(Process::new)
    }

    /// Starts an interactive shell, which is typed into and read until its prompt has come. The call
    /// takes as long as [`ShellOptions::timeout`] at most.
    ///
    /// # Errors
    ///
    /// Where it was not started, or nobody knows whether it was.
    pub fn shell(&self, options: &ShellOptions) -> Result<Shell<'_, L>, Error> {
        let started = self.learn(self.session.spawn(&options.command()));
        started.map(|process| Shell::new(process, options))
    }

    /// Files on the server, over SFTP. The first call sets the channel up: two to three round trips;
    /// later ones, also of later borrowers of a pooled connection, find it there.
    ///
    /// # Errors
    ///
    /// Where the server has no SFTP ([`Kind::RequestRefused`]), or opens no further channel.
    pub fn sftp(&self) -> Result<Sftp<'_, L>, Error> {
        self.sftp_with(Bounds::default())
    }

    /// As [`sftp`](Self::sftp), with what each call may cost, this one included.
    ///
    /// # Errors
    ///
    /// As of [`sftp`](Self::sftp), and where time is up.
    pub fn sftp_with(&self, bounds: Bounds) -> Result<Sftp<'_, L>, Error> {
        Sftp::new(self, bounds)
    }

    /// Follows a file on the server, over SFTP, over rotation and truncation. Where to begin is found
    /// out here.
    ///
    /// # Errors
    ///
    /// As [`sftp`](Self::sftp), and where the file can't be read.
    pub fn tail(
        &self,
        path: impl AsRef<Path>,
        options: &TailOptions,
    ) -> Result<Tail<'_, L>, Error> {
        Tail::begin(self, path.as_ref(), options)
    }

    /// Whether nothing is known that makes the connection unusable. Never waits.
    pub fn is_alive(&self) -> bool {
        self.session.is_alive()
    }

    /// Asks the server for a sign of life: one round trip.
    ///
    /// # Errors
    ///
    /// If none comes in time. The connection is dead then.
    pub fn ping(&self, timeout: Duration) -> Result<(), Error> {
        Ok(self.session.ping(timeout)?)
    }

    /// Whom it talks to.
    pub fn target(&self) -> &Target {
        self.session.target()
    }

    /// Ends the connection; commands under way fail. Never waits. One on loan is replaced by its
    /// pool then; dropping it gives it back.
    pub fn close(&self) {
        self.session.close();
    }

    pub(super) fn over(session: Arc<L::Session>) -> Self {
        Self { session, refused: AtomicBool::new(false), tunnels: OpenTunnels::default() }
    }

    /// Whether the server opens too few channels for all who share the session: it refused a command
    /// of this one, or commands of others wait, for those of this one have ended.
    pub(super) fn is_overfull(&self) -> bool {
        self.refused.load(Ordering::Relaxed) || self.session.has_waiting_commands()
    }

    pub(super) fn session(&self) -> &L::Session {
        &self.session
    }

    pub(super) fn shared_session(&self) -> Arc<L::Session> {
        Arc::clone(&self.session)
    }

    pub(super) fn learn<T>(&self, result: Result<T, SshError>) -> Result<T, Error> {
        if result.as_ref().is_err_and(|error| error.kind() == Kind::ChannelRefused) {
            self.refused.store(true, Ordering::Relaxed);
        }
        Ok(result?)
    }
}

impl<L: Library> fmt::Debug for Connection<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("target", self.target())
            .field("alive", &self.is_alive())
            .finish()
    }
}

impl<L: Library> Builder<Connection<L>> {
    /// Connects and logs in.
    ///
    /// # Errors
    ///
    /// Whatever kept us from it, told apart by [`Error::kind`].
    pub fn connect(self) -> Result<Connection<L>, Error> {
        Ok(Connection::over(Arc::new(L::connect(&self.options()?)?)))
    }
}
