//! A connection that the server has opened for us, carried by a task of its own.
//!
//! The task takes in what the server sends, whether or not anybody reads it, as that of a command
//! does, and for the same reason; what is not read is kept, or holds the session back, as
//! `unread.rs` says.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use ssh_session::tunnel::{AsyncTunnel, Close, Destination};
use ssh_session::{Chunk, Phase, SshError, Target, TunnelError, TunnelProblem};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::deadline::Deadline;
use crate::link::Link;
use crate::liveness::End;
use crate::tunnel_open::open;
use crate::unread::Unread;

/// As much of what is written goes to the tunnel's task at once.
const PIECE: usize = 256 * 1024;

/// What was written and waits to be sent: one piece.
const INPUT_PIECES: usize = 1;

/// A connection that the server of a [`RusshSession`](crate::RusshSession) has opened. Any number of
/// tasks may use it at once; closed when dropped.
///
/// Beyond 1 MiB that nobody reads the session is held back, as long as nobody else uses it. Where
/// somebody does, up to 64 MiB are kept; a tunnel of which more lies unread is closed, with
/// [`SshError::Unread`].
pub struct RusshTunnel {
    shared: Arc<Shared>,
    /// Our direction, until it is ended.
    input: Mutex<Option<mpsc::Sender<Bytes>>>,
    link: Arc<Link>,
}

/// What a tunnel's task and its users share.
struct Shared {
    target: Target,
    destination: Destination,
    state: Mutex<State>,
    changed: Notify,
    /// Something was read.
    room: Notify,
    /// It was closed on our side.
    unwanted: Notify,
}

#[derive(Default)]
struct State {
    unread: Unread,
    /// Nothing more comes.
    is_read_over: bool,
    end: Option<Ended>,
}

/// Why nothing goes either way any more.
#[derive(Clone)]
enum Ended {
    /// The server has closed it.
    Closed,
    Failed(SshError),
}

/// A tunnel counted as one of its session's until it is closed.
struct Counted(Arc<Link>);

impl Counted {
    fn new(link: &Arc<Link>) -> Self {
        link.tunnels.send_modify(|count| *count += 1);
        Self(Arc::clone(link))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.tunnels.send_modify(|count| *count = count.saturating_sub(1));
    }
}

impl RusshTunnel {
    /// Has the server connect. Dropping the future closes what the server opens after all.
    pub(crate) async fn open(
        link: &Arc<Link>,
        to: &Destination,
        timeout: Duration,
    ) -> Result<Self, SshError> {
        to.validate()?;
        if let Some(end) = link.line.end_by_now() {
            return Err(end.error(&link.target, Phase::OpenChannel));
        }
        let deadline = Deadline::after(Some(timeout));
        let (answer, answered) = oneshot::channel();
        drop(link.runtime.spawn(carry_out(Arc::clone(link), to.clone(), answer)));
        let answer = deadline.bound(&link.target, Phase::OpenChannel, answered).await?;
        // Dropped without an answer where the runtime has ended.
        answer.unwrap_or_else(|_| {
            Err(End::Lost("the runtime has ended".into()).error(&link.target, Phase::OpenChannel))
        })
    }

    /// A call within this time.
    pub(crate) async fn within<T>(
        &self,
        patience: Option<Duration>,
        call: impl Future<Output = Result<T, SshError>>,
    ) -> Result<T, SshError> {
        Deadline::after(patience).bound(&self.shared.target, Phase::Tunnel, call).await?
    }
}

impl AsyncTunnel for RusshTunnel {
    async fn read(&self) -> Result<Option<Bytes>, SshError> {
        let next = self.shared.until(State::next).await;
        self.shared.room.notify_one();
        next
    }

    async fn write(&self, bytes: Bytes) -> Result<(), SshError> {
        let input = self.input.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.shared.check()?;
        let input = input.ok_or_else(|| self.shared.closed())?;
        // Room for more is announced behind what is held back.
        let _using = self.link.using();
        let mut rest = bytes;
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(PIECE));
            if input.send(piece).await.is_err() {
                // It has ended, or is about to.
                let end = self.shared.until(|state| state.end.clone()).await;
                return Err(self.shared.error(end));
            }
        }
        Ok(())
    }

    async fn close_write(&self) -> Result<(), SshError> {
        let input = self.input.lock().unwrap_or_else(PoisonError::into_inner).take();
        let end = self.shared.lock().end.clone();
        match (input, end) {
            (Some(_), Some(Ended::Failed(error))) => Err(error),
            _ => Ok(()),
        }
    }
}

impl Close for RusshTunnel {
    fn close(&self) {
        let mut state = self.shared.lock();
        let target = self.shared.target.clone();
        if !matches!(state.end, Some(Ended::Failed(_))) {
            let error = SshError::Closed { target, maybe_started: false };
            state.end = Some(Ended::Failed(error));
        }
        let unread = std::mem::take(&mut state.unread);
        drop(state);
        drop(unread);
        self.shared.changed.notify_waiters();
        self.shared.unwanted.notify_one();
    }
}

impl Drop for RusshTunnel {
    fn drop(&mut self) {
        self.close();
    }
}

/// Opens the channel, hands it on, and carries bytes until it is closed. In a task of
/// its own: what the server opens for nobody is to be closed.
async fn carry_out(
    link: Arc<Link>,
    to: Destination,
    answer: oneshot::Sender<Result<RusshTunnel, SshError>>,
) {
    let _counted = Counted::new(&link);
    let _using = link.using();
    // sshd sends what is not a command's behind Nagle's algorithm until a command was run.
    let _acknowledging = link.line.acknowledge_quickly();
    let channel = match open(&link, &to).await {
        Ok(channel) => channel,
        // Nobody may wait for it any more.
        Err(error) => return drop(answer.send(Err(error))),
    };
    let shared = Arc::new(Shared {
        target: link.target.clone(),
        destination: to,
        state: Mutex::default(),
        changed: Notify::new(),
        room: Notify::new(),
        unwanted: Notify::new(),
    });
    let (input, pieces) = mpsc::channel(INPUT_PIECES);
    let (input, own) = (Mutex::new(Some(input)), Arc::clone(&link));
    // Dropped where nobody waits for it any more, which closes it.
    drop(answer.send(Ok(RusshTunnel { shared: Arc::clone(&shared), input, link: own })));
    let ending = Ending(&shared);
    let (mut read, write) = channel.split();
    let end = carry(&link, &shared, &mut read, &write, pieces).await;
    let is_open = matches!(&end, None | Some(Ended::Failed(SshError::Unread { .. })));
    if let Some(end) = end {
        shared.end(end);
    }
    drop(ending);
    if is_open {
        // russh hears nothing more of a channel that it has closed: this is all there is to wait for.
        link.tell(write.close()).await;
    }
}

/// Until the server closes it, it fails, or nobody wants it any more, which is `None`.
async fn carry(
    link: &Arc<Link>,
    shared: &Shared,
    read: &mut ChannelReadHalf,
    write: &ChannelWriteHalf<Msg>,
    mut pieces: mpsc::Receiver<Bytes>,
) -> Option<Ended> {
    let mut feeding = pin!(async {
        while let Some(piece) = pieces.recv().await {
            write.data_bytes(piece).await?;
        }
        write.eof().await
    });
    let mut is_fed = false;
    let lost = |end: End| Some(Ended::Failed(end.error(&shared.target, Phase::Tunnel)));
    loop {
        // See `unread.rs`.
        let held = (shared.is_much() && !link.is_used_by_others()).then(|| link.hold());
        tokio::select! {
            biased;
            () = shared.unwanted.notified() => return None,
            // An error means that the session is over, which is told below.
            _ = &mut feeding, if !is_fed => is_fed = true,
            () = shared.room.notified(), if held.is_some() => {}
            () = link.used_by_others(), if held.is_some() => {}
            message = read.wait(), if held.is_none() => match message {
                Some(ChannelMsg::Data { data }) if !data.is_empty() => {
                    if let Err(detail) = shared.push(data) {
                        let target = shared.target.clone();
                        return Some(Ended::Failed(SshError::Unread { target, detail }));
                    }
                }
                Some(ChannelMsg::Eof) => shared.change(|state| state.is_read_over = true),
                Some(ChannelMsg::Close) => return Some(Ended::Closed),
                Some(_) => {}
                None => return lost(link.line.wait_end().await),
            },
            // All that had come before the end was taken in above.
            end = link.line.wait_end(), if held.is_none() => return lost(end),
        }
    }
}

/// Ends a tunnel whose task is dropped, with its runtime.
struct Ending<'a>(&'a Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let end = End::Lost("the runtime has ended".into());
        self.0.end(Ended::Failed(end.error(&self.0.target, Phase::Tunnel)));
    }
}

impl Shared {
    fn push(&self, bytes: Bytes) -> Result<(), String> {
        let pushed = self.lock().unread.push(Chunk::Stdout(bytes));
        self.changed.notify_waiters();
        pushed.map_err(|full| full.to_string())
    }

    fn is_much(&self) -> bool {
        self.lock().unread.is_much()
    }

    /// Only the first end counts.
    fn end(&self, end: Ended) {
        self.change(|state| drop(state.end.get_or_insert(end).clone()));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_waiters();
    }

    fn check(&self) -> Result<(), SshError> {
        let end = self.lock().end.clone();
        end.map_or(Ok(()), |end| Err(self.error(end)))
    }

    /// What an end means to those who write.
    fn error(&self, end: Ended) -> SshError {
        match end {
            Ended::Closed => self.closed(),
            Ended::Failed(error) => error,
        }
    }

    fn closed(&self) -> SshError {
        SshError::Tunnel(Box::new(TunnelError {
            target: self.target.clone(),
            destination: self.destination.clone(),
            problem: TunnelProblem::Closed,
            said: String::new(),
        }))
    }

    /// Waits until something is found.
    async fn until<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The next piece, `None` within where none will come, and `None` where one may.
    fn next(&mut self) -> Option<Result<Option<Bytes>, SshError>> {
        match (self.unread.pop(), &self.end) {
            (Some(Chunk::Stdout(bytes) | Chunk::Stderr(bytes)), _) => Some(Ok(Some(bytes))),
            (None, Some(Ended::Failed(error))) if !self.is_read_over || is_closed(error) => {
                Some(Err(error.clone()))
            }
            (None, None) if !self.is_read_over => None,
            (None, _) => Some(Ok(None)),
        }
    }
}

/// Whether we closed it, so that nobody is to take it for its end.
fn is_closed(error: &SshError) -> bool {
    matches!(error, SshError::Closed { .. })
}

impl fmt::Debug for RusshTunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RusshTunnel")
            .field("target", &self.shared.target)
            .field("destination", &self.shared.destination)
            .finish_non_exhaustive()
    }
}
