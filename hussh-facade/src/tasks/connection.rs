//! One connection, held by its owner.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backend_russh::RusshSession;
use ssh_session::sftp::{Bounds, TailOptions};
use ssh_session::shell::ShellOptions;
use ssh_session::tunnel::OpenTunnels;
use ssh_session::{AsyncSession as _, Chunk, Command, ExitStatus, Kind, Output, SshError, Target};

use super::{AsyncProcess, AsyncSftp, AsyncShell, AsyncTail};
use crate::builder::starts;
use crate::{Builder, Error};

/// One SSH connection, open until it is dropped or closed. May be used by many tasks at once; their
/// commands run side by side, as many as the server's `MaxSessions` allows, and the others
/// wait for them in the order they came ([`Command::wait_for_channel`]). A future that is
/// dropped ends its command and nothing else.
///
/// It lives on the tokio runtime it was opened on. It is not reopened when it dies; an
/// [`AsyncConnectionPool`](crate::AsyncConnectionPool) of one does that.
///
/// ```no_run
/// use std::time::Duration;
///
/// use hussh::AsyncConnection;
///
/// # async fn run() -> Result<(), hussh::Error> {
/// let connection = AsyncConnection::builder("myserver.example.com", "deploy")
///     .agent()
///     .keepalive_interval(Duration::from_secs(30))
///     .keepalive_count_max(3)
///     .connect()
///     .await?;
/// let result = connection.execute("uptime").await?;
/// assert!(result.success());
/// # Ok(())
/// # }
/// ```
pub struct AsyncConnection {
    pub(super) session: Arc<RusshSession>,
    /// The server refused one of its commands a channel: a pool wants to know.
    refused: AtomicBool,
    /// Ended with this, and so before a pool has the session back.
    pub(super) tunnels: OpenTunnels,
}

impl AsyncConnection {
    starts!();

    /// Runs a command to its end and collects what it wrote, without a deadline.
    ///
    /// # Errors
    ///
    /// Whenever there is no exit status to report. A command that ran and failed is an
    /// [`Output`] whose [`success`](Output::success) is false.
    pub async fn execute(&self, command: impl AsRef<[u8]>) -> Result<Output, Error> {
        self.execute_with(&Command::new(command)).await
    }

    /// Runs a command with input, environment, a terminal or a deadline.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute); and when the command's deadline passes, with the output so
    /// far in the error.
    pub async fn execute_with(&self, command: &Command) -> Result<Output, Error> {
        self.learn(self.session.exec(command).await)
    }

    /// Runs a command to its end and hands on what it writes as it comes, keeping none of it. The
    /// command waits while `on_output` runs.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute); what was handed on is not in the error.
    pub async fn execute_streamed(
        &self,
        command: &Command,
        on_output: impl FnMut(Chunk) + Send,
    ) -> Result<ExitStatus, Error> {
        self.learn(self.session.stream(command, on_output).await)
    }

    /// Starts a command whose output is read, and input written, while it runs.
    ///
    /// # Errors
    ///
    /// Where it was not started, or nobody knows whether it was.
    pub async fn spawn(&self, command: &Command) -> Result<AsyncProcess<'_>, Error> {
        self.learn(self.session.spawn(command).await).map(AsyncProcess::new)
    }

    /// Starts an interactive shell, which is typed into and read until its prompt has come. The call
    /// takes as long as [`ShellOptions::timeout`] at most.
    ///
    /// # Errors
    ///
    /// Where it was not started, or nobody knows whether it was.
    pub async fn shell(&self, options: &ShellOptions) -> Result<AsyncShell<'_>, Error> {
        AsyncShell::start(self, options).await
    }

    /// Files on the server, over SFTP. The first call sets the channel up: two to three round trips;
    /// later ones, also of later borrowers of a pooled connection, find it there.
    ///
    /// # Errors
    ///
    /// Where the server has no SFTP ([`Kind::RequestRefused`]), or opens no further channel.
    pub async fn sftp(&self) -> Result<AsyncSftp<'_>, Error> {
        self.sftp_with(Bounds::default()).await
    }

    /// As [`sftp`](Self::sftp), with what each call may cost, this one included.
    ///
    /// # Errors
    ///
    /// As of [`sftp`](Self::sftp), and where time is up.
    pub async fn sftp_with(&self, bounds: Bounds) -> Result<AsyncSftp<'_>, Error> {
        AsyncSftp::new(self, bounds).await
    }

    /// Follows a file on the server, over SFTP, over rotation and truncation. Where to begin is found
    /// out here.
    ///
    /// # Errors
    ///
    /// As [`sftp`](Self::sftp), and where the file can't be read.
    pub async fn tail(
        &self,
        path: impl AsRef<Path> + Send,
        options: &TailOptions,
    ) -> Result<AsyncTail<'_>, Error> {
        let path = path.as_ref().to_owned();
        AsyncTail::begin(self, &path, options).await
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
    pub async fn ping(&self, timeout: Duration) -> Result<(), Error> {
        Ok(self.session.ping(timeout).await?)
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

    pub(super) fn over(session: Arc<RusshSession>) -> Self {
        Self { session, refused: AtomicBool::new(false), tunnels: OpenTunnels::default() }
    }

    /// Whether the server opens too few channels for all who share the session: it refused a command
    /// of this one, or commands of others wait, for those of this one have ended.
    pub(super) fn is_overfull(&self) -> bool {
        self.refused.load(Ordering::Relaxed) || self.session.has_waiting_commands()
    }

    pub(super) fn session(&self) -> &RusshSession {
        &self.session
    }

    pub(super) fn learn<T>(&self, result: Result<T, SshError>) -> Result<T, Error> {
        if result.as_ref().is_err_and(|error| error.kind() == Kind::ChannelRefused) {
            self.refused.store(true, Ordering::Relaxed);
        }
        Ok(result?)
    }
}

impl fmt::Debug for AsyncConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncConnection")
            .field("target", self.target())
            .field("alive", &self.is_alive())
            .finish()
    }
}

impl Builder<AsyncConnection> {
    /// Connects and logs in. To be awaited within a tokio runtime; dropping the future ends the
    /// attempt.
    ///
    /// # Errors
    ///
    /// Whatever kept us from it, told apart by [`Error::kind`].
    pub async fn connect(self) -> Result<AsyncConnection, Error> {
        let session = RusshSession::connect(&self.options()?).await?;
        Ok(AsyncConnection::over(Arc::new(session)))
    }
}
