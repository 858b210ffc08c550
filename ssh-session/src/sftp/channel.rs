//! The SFTP channel of a session for threads.
//!
//! No thread of its own: each that waits for an answer runs its own operation, and one of them at a
//! time reads from the channel, one writes to it, for all. The others sleep until what they wait for
//! has come, or until they are to take over.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use super::bounds::Bounds;
use super::client::Client;
use super::conversation::Conversation;
use super::offload::Inline;
use crate::{Chunk, Command, Kind, Phase, Process, Session, SshError};

/// The SFTP channel of a session.
pub struct Channel<P> {
    process: P,
    conversation: Arc<Conversation>,
    turns: Arc<Turns>,
}

/// Who reads and who writes.
#[derive(Default)]
struct Turns {
    state: Mutex<Turn>,
    changed: Condvar,
}

#[derive(Default)]
struct Turn {
    reading: bool,
    writing: bool,
}

/// The SFTP channel of a session: the one that is kept with it, or a new one.
///
/// # Errors
///
/// [`SshError::RequestRefused`] where the server has no SFTP, and those of
/// [`Session::spawn_kept`].
pub fn open<S: Session>(
    session: &S,
    bounds: &Bounds,
) -> Result<Arc<Channel<S::KeptProcess>>, SshError> {
    let patience = bounds.idle;
    let open = || {
        let process = session.spawn_kept(&Command::subsystem("sftp").timeout(patience))?;
        let channel = Channel::new(process, session.target().clone());
        let client = channel.client(*bounds);
        channel.run(bounds, client.greet())?;
        Ok(channel)
    };
    let got = session.files().get(patience, Channel::is_good, open);
    got.unwrap_or_else(|| {
        Err(SshError::Timeout {
            target: session.target().clone(),
            phase: Phase::OpenChannel,
            elapsed: patience,
            partial: None,
            maybe_started: false,
        })
    })
}

impl<P: Process> Channel<P> {
    fn new(process: P, target: crate::Target) -> Self {
        let conversation = Arc::new(Conversation::new(target));
        Self { process, conversation, turns: Arc::default() }
    }

    /// Whether it can be used for more.
    pub fn is_good(&self) -> bool {
        !self.conversation.is_over() && !self.conversation.is_in_doubt()
    }

    /// The operations over this channel, to be [run](Self::run) here.
    pub fn client(&self, bounds: Bounds) -> Client {
        Client::new(&self.conversation, Arc::new(Inline), bounds)
    }

    /// Runs an operation to its end.
    ///
    /// # Errors
    ///
    /// The operation's own; [`SshError::Timeout`] at the deadline, and where the server owes an
    /// answer and is silent for too long. The channel is no good after that.
    pub fn run<T>(
        &self,
        bounds: &Bounds,
        operation: impl Future<Output = Result<T, SshError>>,
    ) -> Result<T, SshError> {
        let started = Instant::now();
        let deadline = bounds.deadline.and_then(|deadline| started.checked_add(deadline));
        let alarm = Arc::new(Alarm { rang: AtomicBool::new(true), turns: Arc::clone(&self.turns) });
        let waker = Waker::from(Arc::clone(&alarm));
        let mut context = Context::from_waker(&waker);
        let mut operation = pin!(operation);
        loop {
            if alarm.rang.swap(false, Ordering::Acquire)
                && let Poll::Ready(result) = operation.as_mut().poll(&mut context)
            {
                // What nobody waits for, such as a file to be closed.
                self.write_now(bounds.idle);
                return result;
            }
            let now = Instant::now();
            let left = deadline.map(|deadline| deadline.saturating_duration_since(now));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(self.late(started));
            }
            let patience = left.map_or(bounds.idle, |left| left.min(bounds.idle));
            self.serve(&alarm, patience, left.is_some_and(|left| left < bounds.idle));
        }
    }

    /// Does what is to be done for all, or waits until there is something.
    fn serve(&self, alarm: &Alarm, patience: Duration, is_deadline: bool) {
        if self.write_now(patience) {
            return;
        }
        let turn = self.turns.lock();
        if alarm.rang.load(Ordering::Acquire) {
            return;
        }
        if turn.reading || !self.conversation.pulse().1 {
            // Whoever reads knows how long the server has been silent; one that owes nothing may be.
            drop(self.turns.changed.wait_timeout(turn, patience));
            return;
        }
        let reading = Taken::reading(&self.turns, turn);
        let read = self.process.read_within(patience);
        match read {
            Ok(Some(Chunk::Stdout(bytes))) => self.conversation.receive(&bytes),
            Ok(Some(Chunk::Stderr(_))) => {}
            Ok(None) => {
                let error = self.conversation.lost("the server has ended SFTP");
                self.conversation.fail(error);
            }
            // The caller's time is up, not the server's.
            Err(error) if error.kind() == Kind::Timeout && is_deadline => {}
            Err(error) => self.conversation.fail(error),
        }
        drop(reading);
    }

    /// Writes what there is to write, unless somebody does. Whether it did.
    fn write_now(&self, patience: Duration) -> bool {
        let turn = self.turns.lock();
        if turn.writing || self.conversation.is_over() {
            return false;
        }
        let Some(output) = self.conversation.take_output() else { return false };
        let writing = Taken::writing(&self.turns, turn);
        if let Err(error) = self.process.write_within(&output, patience) {
            self.conversation.fail(error);
        }
        drop(writing);
        true
    }

    fn late(&self, started: Instant) -> SshError {
        SshError::Timeout {
            target: self.conversation.target().clone(),
            phase: Phase::Run,
            elapsed: started.elapsed(),
            partial: None,
            maybe_started: true,
        }
    }
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, Turn> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A turn, given back when dropped.
struct Taken<'t> {
    turns: &'t Turns,
    reading: bool,
}

impl<'t> Taken<'t> {
    fn reading(turns: &'t Turns, mut turn: MutexGuard<'_, Turn>) -> Self {
        turn.reading = true;
        Self { turns, reading: true }
    }

    fn writing(turns: &'t Turns, mut turn: MutexGuard<'_, Turn>) -> Self {
        turn.writing = true;
        Self { turns, reading: false }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut turn = self.turns.lock();
        if self.reading {
            turn.reading = false;
        } else {
            turn.writing = false;
        }
        drop(turn);
        self.turns.changed.notify_all();
    }
}

/// Tells a thread that its operation can go on.
struct Alarm {
    rang: AtomicBool,
    turns: Arc<Turns>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rang.swap(true, Ordering::AcqRel) {
            // Whoever looks and then sleeps does both under the lock.
            drop(self.turns.lock());
            self.turns.changed.notify_all();
        }
    }
}

impl<P> fmt::Debug for Channel<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("target", self.conversation.target())
            .field("over", &self.conversation.is_over())
            .finish_non_exhaustive()
    }
}
