//! One connection, shared by any number of threads.
//!
//! libssh2's state is touched only under [`Link::state`]'s lock, and that lock is never held while
//! waiting. A thread that needs the peer repeats a step until it no longer would block
//! ([`Link::drive`]). Between steps one of the waiting threads, the leader, polls the socket; the
//! others sleep on a condition variable. Three rules keep anyone from sleeping through news:
//!
//! * Whoever received bytes, from whichever channel, wakes all others: the bytes may be theirs.
//! * A packet that was sent in part belongs to its operation: until that has sent the rest, nobody
//!   else takes a step, and its thread is the one to poll.
//! * A leader that stops polling wakes the others, so that one of them takes over.

use std::fmt;
use std::sync::{Condvar, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use pool_core::KeepaliveStep;
use ssh_session::{KeepaliveOptions, Options, ProcessId, ProxyProcess, SshError, Target};

use crate::channels::Channels;
use crate::deadline::Deadline;
use crate::dial::Dialled;
use crate::ffi::{self, Error, Finishing, Session};
use crate::keepalive::started;
use crate::socket::{Pending, Socket, Waker};
use crate::state::{End, Guard, Op, State, Stop};
use crate::way::{Fate, Way};

/// How long at least a thread waits that has nothing to do now.
const MOMENT: Duration = Duration::from_millis(1);

pub(crate) struct Link {
    pub(crate) target: Target,
    /// Of commands that say nothing of it.
    pub(crate) max_output: Option<usize>,
    pub(crate) home: ProcessId,
    pub(crate) socket: Socket,
    pub(crate) keepalive: KeepaliveOptions,
    waker: Waker,
    turn: Condvar,
    /// Held while waiting for the lock, so that a busy thread that wants it again comes second.
    fairness_lock: Mutex<()>,
    /// Channels go before the session they are of, and both before `finishing`.
    state: Mutex<State>,
    session: Session,
    /// The server's, in wire format.
    host_key: Vec<u8>,
    finishing: Finishing,
    /// Ended behind the session that runs over it.
    _process: Option<ProxyProcess>,
    fate: Fate,
}

impl Link {
    pub(crate) fn new(dialled: Dialled, options: &Options) -> Result<Self, SshError> {
        let Dialled { session, way: Way { socket, process, fate } } = dialled;
        let waker = Waker::new().map_err(|error| SshError::ConnectionLost {
            target: options.target.clone(),
            phase: ssh_session::Phase::Connect,
            detail: format!("no descriptor left on this side: {error}"),
            partial: None,
            maybe_started: false,
        })?;
        Ok(Self {
            target: options.target.clone(),
            max_output: options.max_output,
            home: ProcessId::current(),
            socket,
            keepalive: options.keepalive,
            host_key: session.host_key(),
            session,
            finishing: Finishing::later(),
            _process: process,
            fate,
            waker,
            fairness_lock: Mutex::new(()),
            turn: Condvar::new(),
            state: Mutex::new(State::new(started(options.keepalive))),
        })
    }

    pub(crate) fn lock(&self) -> Guard<'_> {
        // A panic under the lock leaves libssh2 in a state nobody knows; `Drop` still frees it.
        let _next = self.fairness_lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts an operation; the session counts as used until the result is dropped.
    pub(crate) fn enter(&self) -> User<'_> {
        let mut state = self.lock();
        state.users += 1;
        User { link: self, op: state.next_op() }
    }

    /// Repeats a step until it no longer would block, time is up, or the session is over.
    ///
    /// An attempt must not end while libssh2 is in the middle of sending a packet for it. A deadline
    /// that passes there, or in the middle of a request, ends the session: libssh2 could never do
    /// anything else on it.
    pub(crate) fn drive<T>(
        &self,
        op: Op,
        deadline: &Deadline,
        mut attempt: impl FnMut(&mut State, &Session) -> Result<T, Error>,
    ) -> Result<T, Stop> {
        let mut state = self.lock();
        loop {
            let seen = state.received;
            state.work_started = false;
            let due = self.service(&mut state);
            if let Some(end) = &state.end {
                return Err(Stop::Ended(end.clone()));
            }
            if state.may_step(op)
                && let Poll::Ready(result) = self.step(&mut state, op, &mut attempt)
            {
                return result.map_err(|error| match &state.end {
                    Some(end) => Stop::Ended(end.clone()),
                    None => Stop::Refused(error),
                });
            }
            if deadline.is_over() {
                if state.sender == Some(op) || state.requester == Some(op) {
                    self.end(&mut state, End::Lost("no answer before the deadline".into()));
                }
                return Err(Stop::Timeout);
            }
            // What came may be for what we tend, and the socket would not tell of it again.
            let news = state.work_started || state.received != seen;
            if state.end.is_some() || (news && state.is_tended()) {
                drop(state);
                state = self.lock();
                continue;
            }
            // Whoever is first may be kept from it a moment longer, by a heartbeat for instance.
            let retry = state.channels.queue.retry_at().map(|at| at.max(Instant::now() + MOMENT));
            let until = [deadline.at(), due, retry].into_iter().flatten().min();
            state = self.wait(state, op, until);
        }
    }

    /// Takes one step for an operation. To be called where [`State::may_step`].
    pub(crate) fn step<T>(
        &self,
        state: &mut State,
        op: Op,
        attempt: impl FnOnce(&mut State, &Session) -> Result<T, Error>,
    ) -> Poll<Result<T, Error>> {
        let (result, received) = ffi::watch(|| attempt(state, &self.session));
        state.received += received.bytes;
        if received.bytes > 0
            && let Some(keepalive) = &mut state.keepalive
        {
            if state.arrival_unknown {
                keepalive.received_meanwhile();
            } else {
                keepalive.received(Instant::now());
            }
        }
        if received.bytes > 0 || std::mem::take(&mut state.news) {
            self.changed(state);
        }
        if received.bytes > 0 && self.session.is_flooded() {
            self.end(state, End::Lost("the server sends what nobody asked for".into()));
        }
        if received.bytes > 0 && !self.session.has_host_key(&self.host_key) {
            self.end(state, End::Lost("the server has shown another host key".into()));
        }
        let result = match result {
            Err(error) if ffi::is_again(&error) => {
                let blocked = self.session.is_blocked();
                if blocked && state.sender.is_none() {
                    state.sender = Some(op);
                    // The leader has to look for room to send, too.
                    self.changed(state);
                }
                if !blocked {
                    self.sent_all(state, op);
                }
                if let Some(end) = received.end {
                    let detail = end
                        .map_or_else(|| "the server closed it".into(), |errno| errno.to_string());
                    self.end(state, End::Lost(detail));
                }
                return Poll::Pending;
            }
            other => other,
        };
        self.sent_all(state, op);
        if let Err(error) = &result
            && ffi::is_fatal(error)
        {
            self.end(state, End::Lost(self.session.why(error)));
        }
        Poll::Ready(result)
    }

    /// Ends the session: nobody waits on it any longer than it takes to wake up.
    pub(crate) fn end(&self, state: &mut State, end: End) {
        if state.end.is_none() {
            let end = match (end, self.fate.get()) {
                (End::Lost(_), Some(fate)) => End::Lost(fate.clone()),
                (end, _) => end,
            };
            tracing::debug!(target = %self.target, ?end, "session over");
            state.end = Some(end);
            self.socket.shutdown();
            self.changed(state);
        }
    }

    /// Says goodbye, if that can be done at once, and ends the session.
    pub(crate) fn close(&self) {
        if !self.home.is_current() {
            return;
        }
        let mut state = self.lock();
        if state.end.is_none() && state.sender.is_none() {
            let _ = self.session.disconnect();
        }
        self.end(&mut state, End::Closed);
    }

    /// Whether the session is over, from what is already here. Never waits.
    pub(crate) fn is_over(&self) -> bool {
        if !self.home.is_current() {
            return true;
        }
        let mut state = self.lock();
        if state.users == 0 {
            self.drain_input(&mut state);
        } else if self.socket.pending() == Pending::End {
            self.end(&mut state, End::Lost("the server closed it".into()));
        }
        state.end.is_some()
    }

    /// Serves what no thread of its own serves, without waiting: channels given up, the one that is
    /// being opened and the heartbeat. Says when it wants to be served again.
    pub(crate) fn service(&self, state: &mut State) -> Option<Instant> {
        if state.end.is_none() && !state.channels.abandoned.is_empty() {
            self.free_closed(state);
        }
        if state.end.is_none() && state.channels.opening.is_some() && state.may_step(Op::OPENER) {
            self.open(state);
        }
        loop {
            if state.end.is_none() && state.beating && state.may_step(Op::HEARTBEAT) {
                self.beat(state);
            }
            let now = Instant::now();
            match state.keepalive.as_ref().filter(|_| state.end.is_none())?.step(now) {
                KeepaliveStep::WaitUntil(due) => return Some(due),
                KeepaliveStep::Send => {
                    state.beating = true;
                    if let Some(keepalive) = &mut state.keepalive {
                        keepalive.sent(now);
                    }
                }
                // What has come and was not looked at is life: this process may have been stopped.
                KeepaliveStep::Dead if self.socket.pending() == Pending::Bytes => {
                    if let Some(keepalive) = &mut state.keepalive {
                        keepalive.received(now);
                    }
                }
                KeepaliveStep::Dead => {
                    self.end(state, End::Lost("no answer to heartbeats".into()));
                    return None;
                }
            }
        }
    }

    /// Lets every other thread look anew.
    pub(crate) fn changed(&self, state: &State) {
        self.turn.notify_all();
        if state.polling {
            self.waker.wake();
        }
    }

    fn sent_all(&self, state: &mut State, op: Op) {
        if state.sender == Some(op) {
            state.sender = None;
            self.changed(state);
        }
    }

    fn wait<'a>(&'a self, mut state: Guard<'a>, op: Op, until: Option<Instant>) -> Guard<'a> {
        let others_turn =
            state.sender.is_some_and(|sender| sender != op && !state.is_shared(sender));
        if state.polling || others_turn {
            return match until {
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    match self.turn.wait_timeout(state, left) {
                        Ok((state, _)) => state,
                        Err(poisoned) => poisoned.into_inner().0,
                    }
                }
                None => self.turn.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
        state.polling = true;
        let write = state.sender.is_some();
        drop(state);
        self.socket.wait(write, until, Some(&self.waker));
        let mut state = self.lock();
        state.polling = false;
        self.turn.notify_all();
        state
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !self.home.is_current() {
            // Only our copy of the descriptor goes. What libssh2 has in memory is left there: who
            // knows what a thread of the other process was doing to it when it was copied.
            ffi::disconnect_copy(&self.socket);
            std::mem::forget(std::mem::replace(&mut state.channels, Channels::new()));
            std::mem::forget(self.session.clone());
            return;
        }
        // With the socket shut down, freeing neither waits for the peer nor leaks.
        self.socket.shutdown();
        self.finishing.begin();
        state.channels.parked = None;
        state.channels.abandoned.clear();
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("target", &self.target).finish_non_exhaustive()
    }
}

/// One operation under way.
pub(crate) struct User<'a> {
    pub(crate) link: &'a Link,
    pub(crate) op: Op,
}

impl Drop for User<'_> {
    fn drop(&mut self) {
        self.link.lock().users -= 1;
    }
}
