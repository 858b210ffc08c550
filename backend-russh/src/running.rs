//! A command under way, as seen by whoever started it: what it wrote, and how it ended.

use std::convert::Infallible;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use russh::ChannelWriteHalf;
use russh::client::Msg;
use ssh_session::{Chunk, ExitStatus, Output, PartialOutput, SshError, Target};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::channels::{Leftover, Place};
use crate::link::Link;
use crate::unread::{Full, Unread};

/// A command under way. Dropped before the end, it is given up.
pub(crate) struct Running {
    pub(crate) shared: Arc<Shared>,
    /// Open standard input, if it is piped.
    pub(crate) input: Mutex<Option<mpsc::Sender<Bytes>>>,
    pub(crate) link: Arc<Link>,
    pub(crate) place: Arc<Place>,
    /// Tells the pump that nobody wants it any more, by being dropped.
    pub(crate) _wanted: oneshot::Sender<Infallible>,
}

/// What the pump of a command and those who started it share.
pub(crate) struct Shared {
    pub(crate) target: Target,
    state: Mutex<State>,
    changed: Notify,
    /// Something was read, or nobody is going to.
    room: Notify,
    /// The channel, once the command has it.
    pub(crate) channel: OnceLock<Arc<ChannelWriteHalf<Msg>>>,
}

pub(crate) struct State {
    pub(crate) sink: Sink,
    pub(crate) started: bool,
    pub(crate) end: Option<Result<ExitStatus, SshError>>,
    /// Counts the command as given up from the moment it was.
    leftover: Option<Leftover>,
}

/// Why a command is not to write any more.
pub(crate) enum TooMuch {
    /// Than its caller wants of one stream, in bytes.
    Output(usize),
    /// Than can be kept until it is read.
    Unread(Full),
}

/// Where what the command writes goes.
pub(crate) enum Sink {
    /// All of it into memory, as the caller asked, up to a limit for each stream.
    Collected { stdout: Vec<u8>, stderr: Vec<u8>, limit: usize },
    /// Kept until it is read.
    Kept(Unread),
    /// Nobody wants it.
    Dropped,
}

impl Sink {
    pub(crate) fn collecting(limit: Option<usize>) -> Self {
        let limit = limit.unwrap_or(usize::MAX);
        Self::Collected { stdout: Vec::new(), stderr: Vec::new(), limit }
    }
}

impl Running {
    /// Waits for the command's end.
    pub(crate) async fn ended(&self) -> Result<ExitStatus, SshError> {
        self.shared.until(|state| state.end.clone()).await
    }

    /// Waits until the server has said that the command runs.
    pub(crate) async fn started(&self) -> Result<(), SshError> {
        let started = self.shared.until(|state| match &state.end {
            _ if state.started => Some(Ok(())),
            Some(Ok(_)) => Some(Ok(())),
            Some(Err(error)) => Some(Err(error.clone())),
            None => None,
        });
        started.await
    }

    /// Waits for the command's end and takes all it wrote.
    pub(crate) async fn output(&self) -> Result<Output, SshError> {
        let status = self.ended().await?;
        let PartialOutput { stdout, stderr } = self.shared.take_collected();
        Ok(Output { stdout, stderr, status })
    }

    /// Ends standard input, behind what was written to it.
    pub(crate) fn close_input(&self) {
        drop(self.input.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Now, not when the pump gets to it: its session may be asked in a moment whether anything
        // was left open.
        let mut state = self.shared.lock();
        if state.end.is_none() {
            state.leftover = Some(Leftover::new(&self.link));
            self.place.leave();
        }
    }
}

impl Shared {
    pub(crate) fn new(target: Target, sink: Sink) -> Self {
        Self {
            target,
            state: Mutex::new(State { sink, started: false, end: None, leftover: None }),
            changed: Notify::new(),
            room: Notify::new(),
            channel: OnceLock::new(),
        }
    }

    /// Waits until something is found.
    pub(crate) async fn until<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let found = look(&mut self.lock());
            if let Some(found) = found {
                return found;
            }
            changed.await;
        }
    }

    /// Takes in a chunk.
    pub(crate) fn push(&self, chunk: Chunk) -> Result<(), TooMuch> {
        let mut state = self.lock();
        match &mut state.sink {
            Sink::Collected { stdout, stderr, limit } => {
                let (stream, bytes) = match &chunk {
                    Chunk::Stdout(bytes) => (stdout, bytes),
                    Chunk::Stderr(bytes) => (stderr, bytes),
                };
                let room = limit.saturating_sub(stream.len());
                stream.extend_from_slice(&bytes[..bytes.len().min(room)]);
                // Whoever collects waits for the end.
                return if bytes.len() > room { Err(TooMuch::Output(*limit)) } else { Ok(()) };
            }
            Sink::Kept(unread) => unread.push(chunk).map_err(TooMuch::Unread)?,
            Sink::Dropped => return Ok(()),
        }
        drop(state);
        self.changed.notify_waiters();
        Ok(())
    }

    /// The server has said that the command runs.
    pub(crate) fn start(&self) {
        self.lock().started = true;
        self.changed.notify_waiters();
    }

    /// Says how the command ended. Only the first end counts.
    pub(crate) fn end(&self, end: Result<ExitStatus, SshError>) {
        let mut state = self.lock();
        if state.end.is_some() {
            return;
        }
        let unread = match &end {
            // Nobody can read it any more.
            Err(SshError::Timeout { .. } | SshError::Closed { .. }) => {
                Some(std::mem::replace(&mut state.sink, Sink::Dropped))
            }
            _ => None,
        };
        state.end = Some(end);
        let leftover = state.leftover.take();
        drop(state);
        drop((unread, leftover));
        self.changed.notify_waiters();
    }

    /// What the command left to be closed, counted before anybody can see its end.
    pub(crate) fn leave(&self, link: &Arc<Link>) -> Leftover {
        self.lock().leftover.take().unwrap_or_else(|| Leftover::new(link))
    }

    /// What was collected.
    pub(crate) fn take_collected(&self) -> PartialOutput {
        match &mut self.lock().sink {
            Sink::Collected { stdout, stderr, .. } => PartialOutput {
                stdout: std::mem::take(stdout).into(),
                stderr: std::mem::take(stderr).into(),
            },
            Sink::Kept(_) | Sink::Dropped => PartialOutput::default(),
        }
    }

    /// Drops what the command wrote and will write.
    pub(crate) fn discard(&self) {
        let unread = std::mem::replace(&mut self.lock().sink, Sink::Dropped);
        drop(unread);
        self.room.notify_one();
    }

    /// The next chunk, once there is one, or the end.
    pub(crate) async fn next(&self) -> Result<Option<Chunk>, SshError> {
        let next = self.until(State::next).await;
        self.room.notify_one();
        next
    }

    /// Whether more lies here than the command should write unread.
    pub(crate) fn is_much(&self) -> bool {
        matches!(&self.lock().sink, Sink::Kept(unread) if unread.is_much())
    }

    /// Waits until something may have been read.
    pub(crate) async fn room(&self) {
        self.room.notified().await;
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The next chunk, `None` within where none will come, and `None` where one may.
    fn next(&mut self) -> Option<Result<Option<Chunk>, SshError>> {
        let chunk = match &mut self.sink {
            Sink::Kept(unread) => unread.pop(),
            Sink::Collected { .. } | Sink::Dropped => None,
        };
        match (chunk, &self.end) {
            (Some(chunk), _) => Some(Ok(Some(chunk))),
            (None, None) => None,
            (None, Some(Ok(_) | Err(SshError::NoExitStatus { .. }))) => Some(Ok(None)),
            (None, Some(Err(error))) => Some(Err(error.clone())),
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("target", &self.shared.target).finish_non_exhaustive()
    }
}
