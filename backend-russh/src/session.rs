//! A logged-in session.

use std::sync::Arc;
use std::time::Duration;

use ssh_session::gate::WhenBusy;
use ssh_session::tunnel::Destination;
use ssh_session::{
    AsyncSession, Command, FirstKeys, Options, Output, Phase, Request, SshError, Target,
};

use crate::becoming;
use crate::deadline::Deadline;
use crate::dial::dial;
use crate::files::FileChannel;
use crate::link::Link;
use crate::process::RusshProcess;
use crate::pump;
use crate::running::Sink;
use crate::tunnel::RusshTunnel;

/// A logged-in connection, ended when dropped. Any number of tasks may use it at once; how many
/// commands run side by side is up to the server (`MaxSessions`).
///
/// It lives on the tokio runtime it was opened on; its methods may be awaited anywhere.
#[derive(Debug)]
pub struct RusshSession {
    link: Arc<Link>,
    files: tokio::sync::Mutex<Option<Arc<FileChannel>>>,
}

impl RusshSession {
    /// Opens a connection and logs in, within [`Options::connect_timeout`]. Dropping the future
    /// ends the attempt and its connection.
    ///
    /// # Errors
    ///
    /// Whatever kept us from it, told apart by [`SshError::kind`].
    pub async fn connect(options: &Options) -> Result<Self, SshError> {
        let first_keys = FirstKeys::new(options);
        Self::connect_as_before(options, &first_keys, WhenBusy::ComeAgain).await
    }

    /// Like [`connect`](Self::connect), for servers that must have the keys that were trusted on
    /// first use before.
    pub(crate) async fn connect_as_before(
        options: &Options,
        first_keys: &FirstKeys,
        when_busy: WhenBusy,
    ) -> Result<Self, SshError> {
        let link = dial(options, first_keys, when_busy).await?;
        Ok(Self { link, files: tokio::sync::Mutex::default() })
    }

    /// Closes the session and waits until the goodbye is said.
    pub(crate) async fn finish(&self) {
        self.link.close();
        self.link.gone().await;
    }

    /// Its SFTP channel.
    pub(crate) fn kept_files(&self) -> &tokio::sync::Mutex<Option<Arc<FileChannel>>> {
        &self.files
    }

    pub(crate) fn runtime(&self) -> &tokio::runtime::Handle {
        &self.link.runtime
    }

    /// Starts what has a deadline for its start alone.
    async fn start_within<'s>(&self, command: &Command) -> Result<RusshProcess<'s>, SshError> {
        self.check_home(Phase::OpenChannel)?;
        let deadline = Deadline::after(command.time_limit());
        let command = command.clone().timeout(None);
        let started = RusshProcess::spawn(&self.link, &command);
        deadline.bound(&self.link.target, Phase::OpenChannel, started).await?
    }

    pub(crate) fn check_home(&self, phase: Phase) -> Result<(), SshError> {
        self.link.line.home.check(&self.link.target, phase)
    }
}

impl AsyncSession for RusshSession {
    type Process<'s> = RusshProcess<'s>;
    type KeptProcess = RusshProcess<'static>;
    type Tunnel = RusshTunnel;

    fn target(&self) -> &Target {
        &self.link.target
    }

    async fn exec(&self, command: &Command) -> Result<Output, SshError> {
        command.validate_collected()?;
        self.check_home(Phase::OpenChannel)?;
        if let Some(from) = command.becoming() {
            return becoming::exec(&self.link, command, from).await;
        }
        let limit = command.output_limit(self.link.max_output);
        pump::start(&self.link, command, Sink::collecting(limit))?.output().await
    }

    async fn spawn(&self, command: &Command) -> Result<RusshProcess<'_>, SshError> {
        if command.request_type() == Request::Shell {
            return self.start_within(command).await;
        }
        self.check_home(Phase::OpenChannel)?;
        RusshProcess::spawn(&self.link, command).await
    }

    async fn spawn_kept(&self, command: &Command) -> Result<RusshProcess<'static>, SshError> {
        command.validate_kept()?;
        self.start_within(command).await
    }

    async fn open_tunnel(
        &self,
        to: &Destination,
        timeout: Duration,
    ) -> Result<RusshTunnel, SshError> {
        self.check_home(Phase::OpenChannel)?;
        RusshTunnel::open(&self.link, to, timeout).await
    }

    fn is_alive(&self) -> bool {
        !self.link.line.is_over()
    }

    async fn ping(&self, timeout: Duration) -> Result<(), SshError> {
        self.check_home(Phase::Ping)?;
        self.link.ping(timeout).await
    }

    fn has_waiting_commands(&self) -> bool {
        self.link.line.home.is_current() && self.link.has_waiting_commands()
    }

    fn has_abandoned_channels(&self) -> bool {
        self.link.line.home.is_current() && self.link.has_abandoned_channels()
    }

    async fn wait_until_closed(&self, timeout: Duration) -> Result<(), SshError> {
        self.check_home(Phase::Reset)?;
        self.link.wait_until_closed(timeout).await
    }

    fn close(&self) {
        self.link.close();
    }
}

impl Drop for RusshSession {
    fn drop(&mut self) {
        self.link.close();
    }
}
