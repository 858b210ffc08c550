//! An async session as a sync one, and nothing added.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use ssh_session::sftp::{Channel, Place};
use ssh_session::tunnel::{AsyncTunnel, Close, Destination, Tunnel};
use ssh_session::{
    AsyncProcess, AsyncSession, Chunk, Command, ExitStatus, Output, Phase, Process, Session,
    SshError, Target,
};
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).thread_name("conformance").enable_all();
    builder.build().expect("a runtime")
});

/// The runtime of all [`Blocking`] sessions.
pub fn runtime() -> &'static Runtime {
    &RUNTIME
}

/// An async session whose futures are waited for on [`runtime`].
#[derive(Debug)]
pub struct Blocking<S: AsyncSession> {
    /// The session.
    pub inner: Arc<S>,
    files: Place<Channel<BlockingProcess<S::KeptProcess>>>,
}

impl<S: AsyncSession> Blocking<S> {
    /// A session whose futures are waited for.
    pub fn new(inner: Arc<S>) -> Self {
        Self { inner, files: Place::default() }
    }
}

/// A process of a [`Blocking`] session.
#[derive(Debug)]
pub struct BlockingProcess<P>(P);

/// A tunnel of a [`Blocking`] session.
#[derive(Debug)]
pub struct BlockingTunnel<T>(T);

impl<S: AsyncSession> Session for Blocking<S> {
    type Process<'s>
        = BlockingProcess<S::Process<'s>>
    where
        Self: 's;

    type KeptProcess = BlockingProcess<S::KeptProcess>;

    type Tunnel = BlockingTunnel<S::Tunnel>;

    fn target(&self) -> &Target {
        self.inner.target()
    }

    fn exec(&self, command: &Command) -> Result<Output, SshError> {
        runtime().block_on(self.inner.exec(command))
    }

    fn spawn(&self, command: &Command) -> Result<Self::Process<'_>, SshError> {
        runtime().block_on(self.inner.spawn(command)).map(BlockingProcess)
    }

    fn spawn_kept(&self, command: &Command) -> Result<Self::KeptProcess, SshError> {
        runtime().block_on(self.inner.spawn_kept(command)).map(BlockingProcess)
    }

    fn open_tunnel(&self, to: &Destination, timeout: Duration) -> Result<Self::Tunnel, SshError> {
        runtime().block_on(self.inner.open_tunnel(to, timeout)).map(BlockingTunnel)
    }

    fn files(&self) -> &Place<Channel<Self::KeptProcess>> {
        &self.files
    }

    fn is_alive(&self) -> bool {
        self.inner.is_alive()
    }

    fn ping(&self, timeout: Duration) -> Result<(), SshError> {
        runtime().block_on(self.inner.ping(timeout))
    }

    fn has_waiting_commands(&self) -> bool {
        self.inner.has_waiting_commands()
    }

    fn has_abandoned_channels(&self) -> bool {
        self.inner.has_abandoned_channels()
    }

    fn wait_until_closed(&self, timeout: Duration) -> Result<(), SshError> {
        runtime().block_on(self.inner.wait_until_closed(timeout))
    }

    fn close(&self) {
        self.inner.close();
    }
}

/// What tasks say when their own timer is first.
fn late(elapsed: Duration) -> SshError {
    let target = Target::new("none", 1, "none").expect("a target");
    SshError::Timeout { target, phase: Phase::Run, elapsed, partial: None, maybe_started: true }
}

impl<P: AsyncProcess> Process for BlockingProcess<P> {
    fn read(&self) -> Result<Option<Chunk>, SshError> {
        runtime().block_on(self.0.read())
    }

    fn write(&self, bytes: &[u8]) -> Result<(), SshError> {
        runtime().block_on(self.0.write(bytes))
    }

    fn read_within(&self, patience: Duration) -> Result<Option<Chunk>, SshError> {
        runtime()
            .block_on(async { tokio::time::timeout(patience, self.0.read()).await })
            .unwrap_or_else(|_| Err(late(patience)))
    }

    fn write_within(&self, bytes: &[u8], patience: Duration) -> Result<(), SshError> {
        runtime()
            .block_on(async { tokio::time::timeout(patience, self.0.write(bytes)).await })
            .unwrap_or_else(|_| Err(late(patience)))
    }

    fn close_stdin(&self) -> Result<(), SshError> {
        runtime().block_on(self.0.close_stdin())
    }

    fn signal(&self, name: &str) -> Result<(), SshError> {
        runtime().block_on(self.0.signal(name))
    }

    fn resize(&self, columns: u32, rows: u32) -> Result<(), SshError> {
        runtime().block_on(self.0.resize(columns, rows))
    }

    fn wait(self) -> Result<ExitStatus, SshError> {
        runtime().block_on(self.0.wait())
    }

    fn wait_within(self, patience: Duration) -> Result<ExitStatus, SshError> {
        runtime()
            .block_on(async { tokio::time::timeout(patience, self.0.wait()).await })
            .unwrap_or_else(|_| Err(late(patience)))
    }
}

/// The deadlines of tasks are tokio's: a future that takes too long is dropped.
fn within<T>(
    patience: Option<Duration>,
    call: impl Future<Output = Result<T, SshError>>,
) -> Result<T, SshError> {
    let Some(patience) = patience else { return runtime().block_on(call) };
    let late = |_| SshError::Timeout {
        target: Target::new("late", 22, "nobody").expect("valid"),
        phase: Phase::Tunnel,
        elapsed: patience,
        partial: None,
        maybe_started: false,
    };
    runtime().block_on(async { tokio::time::timeout(patience, call).await.map_err(late)? })
}

impl<T: AsyncTunnel> Tunnel for BlockingTunnel<T> {
    fn read(&self, patience: Option<Duration>) -> Result<Option<Bytes>, SshError> {
        within(patience, self.0.read())
    }

    fn write(&self, bytes: &[u8], patience: Option<Duration>) -> Result<(), SshError> {
        let wrote = within(patience, self.0.write(Bytes::copy_from_slice(bytes)));
        if matches!(wrote, Err(SshError::Timeout { .. })) {
            self.0.close();
        }
        wrote
    }

    fn close_write(&self) -> Result<(), SshError> {
        runtime().block_on(self.0.close_write())
    }
}

impl<T: AsyncTunnel> Close for BlockingTunnel<T> {
    fn close(&self) {
        self.0.close();
    }
}
