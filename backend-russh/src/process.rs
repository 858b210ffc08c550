//! A command that is read and fed while it runs.

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use russh::ChannelWriteHalf;
use russh::client::Msg;
use ssh_session::{AsyncProcess, Chunk, Command, ExitStatus, Phase, SshError, Target};

use crate::becoming;
use crate::deadline::Deadline;
use crate::link::Link;
use crate::pump;
use crate::running::{Running, Sink};
use crate::session::RusshSession;
use crate::signals;
use crate::unread::Unread;

/// How long a session that is held back takes things in so that what is told goes out.
const MOMENT: Duration = Duration::from_millis(500);

/// As much of what is written goes to the command's task at once.
const PIECE: usize = 1 << 20;

/// A command under way on a [`RusshSession`]. Any number of tasks may use it at once.
///
/// What it writes is kept in memory until it is read. Beyond 1 MiB the command has to wait, as long
/// as nobody else uses the session: russh cannot make one command wait and not the others. Where
/// somebody does, up to 64 MiB are kept, and a command that writes more than that before it is read
/// is stopped, with [`SshError::Unread`].
///
/// Its output can be read to the end even after its deadline, if it ended before that.
pub struct RusshProcess<'s> {
    running: Running,
    session: PhantomData<&'s RusshSession>,
}

impl RusshProcess<'_> {
    /// Starts a command and waits until the server says that it runs.
    pub(crate) async fn spawn(link: &Arc<Link>, command: &Command) -> Result<Self, SshError> {
        command.validate()?;
        match command.becoming() {
            Some(from) => becoming::spawn(link, command, from).await,
            None => Self::spawn_plain(link, command).await,
        }
    }

    /// As [`spawn`](Self::spawn), as the user who is logged in.
    pub(crate) async fn spawn_plain(link: &Arc<Link>, command: &Command) -> Result<Self, SshError> {
        let running = pump::start(link, command, Sink::Kept(Unread::default()))?;
        running.started().await?;
        Ok(Self { running, session: PhantomData })
    }

    /// Makes this the rest of its standard input, which was piped so far. It is sent while the
    /// command is read.
    pub(crate) fn give(&self, bytes: Bytes) {
        let input = self.running.input.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(input) = input else { return };
        let using = self.running.link.using();
        // It ends with the command, which has the other end.
        drop(self.running.link.runtime.spawn(async move {
            let _using = using;
            let mut left = bytes;
            while !left.is_empty() {
                let piece = left.split_to(left.len().min(PIECE));
                if input.send(piece).await.is_err() {
                    return;
                }
            }
        }));
    }

    /// Waits until it has failed; for ever where it does not.
    pub(crate) async fn failed(&self) -> SshError {
        match self.running.ended().await {
            Err(error) => error,
            Ok(_) => std::future::pending().await,
        }
    }

    /// The error with which the command ended, unless it is none to those who feed it.
    fn failure(&self) -> Result<(), SshError> {
        match &self.running.shared.lock().end {
            Some(Err(error)) => tolerate(Err(error.clone())),
            Some(Ok(_)) | None => Ok(()),
        }
    }
}

impl RusshProcess<'_> {
    /// Tells the server something that has no answer. An error of that means that the session is
    /// over, which the command's task finds out, too.
    async fn tell(&self, say: impl AsyncFnOnce(&ChannelWriteHalf<Msg>)) -> Result<(), SshError> {
        self.failure()?;
        let Some(channel) = self.running.shared.channel.get() else { return Ok(()) };
        let using = self.running.link.using();
        let runtime = self.running.link.runtime.clone();
        // russh sends it when it next has a moment.
        drop(runtime.spawn(async move {
            tokio::time::sleep(MOMENT).await;
            drop(using);
        }));
        tokio::select! {
            biased;
            ended = self.running.ended() => tolerate(ended.map(|_| ())),
            () = say(channel) => Ok(()),
        }
    }

    /// Whom the session talks to.
    pub(crate) fn target(&self) -> &Target {
        &self.running.shared.target
    }

    /// Where the session lives.
    pub(crate) fn runtime(&self) -> &tokio::runtime::Handle {
        &self.running.link.runtime
    }
}

impl AsyncProcess for RusshProcess<'_> {
    async fn read(&self) -> Result<Option<Chunk>, SshError> {
        self.running.shared.next().await
    }

    async fn write(&self, bytes: &[u8]) -> Result<(), SshError> {
        self.failure()?;
        let input = self.running.input.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let input =
            input.ok_or_else(|| SshError::invalid("stdin", "is not piped, or was closed"))?;
        // Room for more is announced behind what is held back.
        let _using = self.running.link.using();
        for piece in bytes.chunks(PIECE) {
            if input.send(Bytes::copy_from_slice(piece)).await.is_err() {
                // The command has ended, or is about to.
                return tolerate(self.running.ended().await.map(|_| ()));
            }
        }
        Ok(())
    }

    async fn close_stdin(&self) -> Result<(), SshError> {
        self.running.close_input();
        self.failure()
    }

    async fn signal(&self, name: &str) -> Result<(), SshError> {
        let signal = signals::named(name)?;
        self.tell(async |channel| {
            let _ = channel.signal(signal).await;
        })
        .await
    }

    async fn resize(&self, columns: u32, rows: u32) -> Result<(), SshError> {
        self.tell(async |channel| {
            let _ = channel.window_change(columns, rows, 0, 0).await;
        })
        .await
    }

    async fn wait(self) -> Result<ExitStatus, SshError> {
        self.running.close_input();
        self.running.shared.discard();
        self.running.ended().await
    }
}

/// A call of a process within this time, and that of the process's own deadline.
pub(crate) async fn within<T>(
    target: &Target,
    patience: Duration,
    call: impl Future<Output = Result<T, SshError>>,
) -> Result<T, SshError> {
    let deadline = Deadline::after(Some(patience));
    deadline.bound(target, Phase::Run, call).await?
}

/// What is no error to those who feed a command: that nobody knows how it ended.
fn tolerate(result: Result<(), SshError>) -> Result<(), SshError> {
    match result {
        Err(SshError::NoExitStatus { .. }) => Ok(()),
        other => other,
    }
}

impl fmt::Debug for RusshProcess<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RusshProcess")
            .field("target", &self.running.shared.target)
            .finish_non_exhaustive()
    }
}
