//! A logged-in session.

use std::sync::Arc;
use std::time::Duration;

use ssh_session::{AsyncSession, Command, Options, Output, SshError, Target};

use crate::client::FirstKey;
use crate::dial::dial;
use crate::link::Link;
use crate::process::RusshProcess;
use crate::pump;
use crate::running::Sink;

/// A logged-in connection, ended when dropped. Any number of tasks may use it at once; how many
/// commands run side by side is up to the server (`MaxSessions`).
///
/// It lives on the tokio runtime it was opened on; its methods may be awaited anywhere.
#[derive(Debug)]
pub struct RusshSession {
    link: Arc<Link>,
}

impl RusshSession {
    /// Opens a connection and logs in, within [`Options::connect_timeout`]. Dropping the future
    /// ends the attempt and its connection.
    ///
    /// # Errors
    ///
    /// Whatever kept us from it, told apart by [`SshError::kind`].
    pub async fn connect(options: &Options) -> Result<Self, SshError> {
        Self::connect_as_before(options, &FirstKey::default()).await
    }

    /// Like [`connect`](Self::connect), for a server that must have the key it had before.
    pub(crate) async fn connect_as_before(
        options: &Options,
        first_key: &FirstKey,
    ) -> Result<Self, SshError> {
        Ok(Self { link: dial(options, first_key).await? })
    }

    /// Whether a borrower left a channel open, or gave up a command that may run still. Never
    /// waits.
    pub(crate) fn needs_reset(&self) -> bool {
        self.link.has_leftovers()
    }

    /// Waits until what a borrower left open is closed.
    pub(crate) async fn reset(&self, timeout: Duration) -> Result<(), SshError> {
        self.link.reset(timeout).await
    }

    /// Closes the session and waits until the goodbye is said.
    pub(crate) async fn finish(self) {
        self.link.close();
        self.link.gone().await;
    }
}

impl AsyncSession for RusshSession {
    type Process<'s> = RusshProcess<'s>;

    fn target(&self) -> &Target {
        &self.link.target
    }

    async fn exec(&self, command: &Command) -> Result<Output, SshError> {
        command.validate_collected()?;
        pump::start(&self.link, command, Sink::collecting())?.output().await
    }

    async fn spawn(&self, command: &Command) -> Result<RusshProcess<'_>, SshError> {
        RusshProcess::spawn(&self.link, command).await
    }

    fn is_alive(&self) -> bool {
        !self.link.line.is_over()
    }

    async fn ping(&self, timeout: Duration) -> Result<(), SshError> {
        self.link.ping(timeout).await
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
