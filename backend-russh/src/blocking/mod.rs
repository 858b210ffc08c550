//! The same sessions for callers that wait: no async code, no runtime of one's own.
//!
//! All blocking sessions of a process are driven by one private tokio runtime with two threads,
//! named `hussh-russh`, which starts with the first session and stays. The caller's thread only
//! waits, so it may be any thread, one of another tokio runtime included (which then does nothing
//! else meanwhile, as with any call that blocks).
//!
//! ```no_run
//! use backend_russh::blocking::BlockingSession;
//! use ssh_session::{Auth, Command, Options, Session as _, Target};
//!
//! let target = Target::new("server.example.com", 22, "deploy")?;
//! let session = BlockingSession::connect(&Options::new(target).auth(Auth::Agent))?;
//! let output = session.exec(&Command::new("uptime"))?;
//! println!("{}", output.stdout_lossy());
//! # Ok::<(), ssh_session::SshError>(())
//! ```

mod backend;
mod runtime;
mod tunnel;

use std::sync::Arc;
use std::time::Duration;

use ssh_session::sftp::{Channel, Place};
use ssh_session::tunnel::Destination;
use ssh_session::{
    AsyncProcess as _, AsyncSession as _, Chunk, Command, ExitStatus, Options, Output, Process,
    Session, SshError, Target,
};

use crate::process::{RusshProcess, within};
use crate::session::RusshSession;
pub use backend::BlockingBackend;
use runtime::{Runtime, wait};
pub use tunnel::BlockingTunnel;

/// A logged-in connection, ended when dropped, which never waits. Any number of threads may use it
/// at once; how many commands run side by side is up to the server (`MaxSessions`).
#[derive(Debug)]
pub struct BlockingSession {
    inner: Arc<RusshSession>,
    runtime: Runtime,
    files: Place<Channel<BlockingProcess<'static>>>,
}

/// A command under way on a [`BlockingSession`]: a [`RusshProcess`] for callers that wait.
#[derive(Debug)]
pub struct BlockingProcess<'s> {
    inner: RusshProcess<'s>,
    runtime: Runtime,
}

impl BlockingSession {
    /// Opens a connection and logs in, within [`Options::connect_timeout`].
    ///
    /// # Errors
    ///
    /// Whatever kept us from it, told apart by [`SshError::kind`].
    pub fn connect(options: &Options) -> Result<Self, SshError> {
        let runtime = Runtime::shared(&options.target)?;
        let inner = wait(&runtime, RusshSession::connect(options))?;
        Ok(Self::new(Arc::new(inner), runtime))
    }

    fn new(inner: Arc<RusshSession>, runtime: Runtime) -> Self {
        Self { inner, runtime, files: Place::default() }
    }
}

impl Session for BlockingSession {
    type Process<'s> = BlockingProcess<'s>;
    type KeptProcess = BlockingProcess<'static>;
    type Tunnel = BlockingTunnel;

    fn target(&self) -> &Target {
        self.inner.target()
    }

    fn exec(&self, command: &Command) -> Result<Output, SshError> {
        wait(&self.runtime, self.inner.exec(command))
    }

    fn spawn(&self, command: &Command) -> Result<BlockingProcess<'_>, SshError> {
        let inner = wait(&self.runtime, self.inner.spawn(command))?;
        Ok(BlockingProcess { inner, runtime: self.runtime.clone() })
    }

    fn spawn_kept(&self, command: &Command) -> Result<BlockingProcess<'static>, SshError> {
        let inner = wait(&self.runtime, self.inner.spawn_kept(command))?;
        Ok(BlockingProcess { inner, runtime: self.runtime.clone() })
    }

    fn open_tunnel(&self, to: &Destination, timeout: Duration) -> Result<BlockingTunnel, SshError> {
        let inner = wait(&self.runtime, self.inner.open_tunnel(to, timeout))?;
        Ok(BlockingTunnel { inner, runtime: self.runtime.clone() })
    }

    fn files(&self) -> &Place<Channel<BlockingProcess<'static>>> {
        &self.files
    }

    fn is_alive(&self) -> bool {
        self.inner.is_alive()
    }

    fn ping(&self, timeout: Duration) -> Result<(), SshError> {
        wait(&self.runtime, self.inner.ping(timeout))
    }

    fn has_waiting_commands(&self) -> bool {
        self.inner.has_waiting_commands()
    }

    fn has_abandoned_channels(&self) -> bool {
        self.inner.has_abandoned_channels()
    }

    fn wait_until_closed(&self, timeout: Duration) -> Result<(), SshError> {
        wait(&self.runtime, self.inner.wait_until_closed(timeout))
    }

    fn close(&self) {
        self.inner.close();
    }
}

impl Process for BlockingProcess<'_> {
    fn read(&self) -> Result<Option<Chunk>, SshError> {
        wait(&self.runtime, self.inner.read())
    }

    fn write(&self, bytes: &[u8]) -> Result<(), SshError> {
        wait(&self.runtime, self.inner.write(bytes))
    }

    fn read_within(&self, patience: Duration) -> Result<Option<Chunk>, SshError> {
        wait(&self.runtime, within(self.inner.target(), patience, self.inner.read()))
    }

    fn write_within(&self, bytes: &[u8], patience: Duration) -> Result<(), SshError> {
        wait(&self.runtime, within(self.inner.target(), patience, self.inner.write(bytes)))
    }

    fn close_stdin(&self) -> Result<(), SshError> {
        wait(&self.runtime, self.inner.close_stdin())
    }

    fn signal(&self, name: &str) -> Result<(), SshError> {
        wait(&self.runtime, self.inner.signal(name))
    }

    fn resize(&self, columns: u32, rows: u32) -> Result<(), SshError> {
        wait(&self.runtime, self.inner.resize(columns, rows))
    }

    fn wait(self) -> Result<ExitStatus, SshError> {
        wait(&self.runtime, self.inner.wait())
    }

    fn wait_within(self, patience: Duration) -> Result<ExitStatus, SshError> {
        let target = self.inner.target().clone();
        wait(&self.runtime, within(&target, patience, self.inner.wait()))
    }
}
