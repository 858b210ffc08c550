//! A logged-in session.

use std::sync::Arc;
use std::time::Duration;

use pool_core::{Interrupt, KillSwitch};
use ssh_session::gate::WhenBusy;
use ssh_session::sftp::{Channel, Place};
use ssh_session::tunnel::Destination;
use ssh_session::{Command, FirstKeys, Options, Output, Phase, Session, SshError, Target};

use crate::link::Link;
use crate::process::Ssh2Process;
use crate::route::dial;
use crate::tunnel::Ssh2Tunnel;
use crate::{becoming, exec, service};

/// A logged-in connection, ended when dropped. Any number of threads may use it at once; how many
/// commands run side by side is up to the server (`MaxSessions`).
#[derive(Debug)]
pub struct Ssh2Session {
    link: Arc<Link>,
    files: Place<Channel<Ssh2Process<'static>>>,
}

impl Ssh2Session {
    /// Opens a connection and logs in, within [`Options::connect_timeout`].
    ///
    /// # Errors
    ///
    /// Whatever kept us from it, told apart by [`SshError::kind`].
    pub fn connect(options: &Options) -> Result<Self, SshError> {
        let first_keys = FirstKeys::new(options);
        let interrupt = Interrupt::default();
        Self::connect_as_before(options, &first_keys, WhenBusy::ComeAgain, &interrupt)
    }

    /// Like [`connect`](Self::connect), for servers that must have the keys that were trusted on
    /// first use before, and for callers that may lose their patience.
    pub(crate) fn connect_as_before(
        options: &Options,
        first_keys: &FirstKeys,
        when_busy: WhenBusy,
        interrupt: &Interrupt,
    ) -> Result<Self, SshError> {
        let dialled = dial(options, first_keys, when_busy, interrupt)?;
        let link = Arc::new(Link::new(dialled, options)?);
        service::serve(&link);
        Ok(Self { link, files: Place::default() })
    }

    /// What ends whatever waits for the server on this session.
    pub(crate) fn kill_switch(&self) -> KillSwitch {
        let socket = self.link.socket.clone();
        Box::new(move || socket.shutdown())
    }
}

impl Session for Ssh2Session {
    type Process<'s> = Ssh2Process<'s>;
    type KeptProcess = Ssh2Process<'static>;
    type Tunnel = Ssh2Tunnel;

    fn target(&self) -> &Target {
        &self.link.target
    }

    fn exec(&self, command: &Command) -> Result<Output, SshError> {
        self.link.home.check(&self.link.target, Phase::OpenChannel)?;
        exec::exec(&self.link, command)
    }

    fn spawn(&self, command: &Command) -> Result<Ssh2Process<'_>, SshError> {
        command.validate()?;
        self.link.home.check(&self.link.target, Phase::OpenChannel)?;
        becoming::start(&self.link, command)
    }

    fn spawn_kept(&self, command: &Command) -> Result<Ssh2Process<'static>, SshError> {
        command.validate_kept()?;
        self.link.home.check(&self.link.target, Phase::OpenChannel)?;
        let user = self.link.enter();
        Ssh2Process::start(&self.link, user.op, command, true)
    }

    fn open_tunnel(&self, to: &Destination, timeout: Duration) -> Result<Ssh2Tunnel, SshError> {
        self.link.home.check(&self.link.target, Phase::OpenChannel)?;
        Ssh2Tunnel::open(&self.link, to, timeout)
    }

    fn files(&self) -> &Place<Channel<Ssh2Process<'static>>> {
        &self.files
    }

    fn is_alive(&self) -> bool {
        !self.link.is_over()
    }

    fn ping(&self, timeout: Duration) -> Result<(), SshError> {
        self.link.home.check(&self.link.target, Phase::Ping)?;
        self.link.ping(timeout)
    }

    fn has_waiting_commands(&self) -> bool {
        self.link.home.is_current() && self.link.lock().channels.queue.has_waiting()
    }

    fn has_abandoned_channels(&self) -> bool {
        self.link.home.is_current() && self.link.has_abandoned_channels()
    }

    fn wait_until_closed(&self, timeout: Duration) -> Result<(), SshError> {
        self.link.home.check(&self.link.target, Phase::Reset)?;
        self.link.wait_until_closed(timeout)
    }

    fn close(&self) {
        self.link.close();
    }
}

impl Drop for Ssh2Session {
    fn drop(&mut self) {
        self.link.close();
    }
}
