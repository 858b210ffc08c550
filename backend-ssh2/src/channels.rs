//! Channels: where they come from, and where they go when a command is done or given up.
//!
//! A session keeps one channel parked: opened ahead, in the same flight as the command before, so
//! that a command costs one round trip and not two. libssh2 opens one channel at a time, and does so
//! beside whatever request is under way. What it opens is nobody's own: any waiting thread drives it
//! ([`Link::tend`]), and it ends as the parked channel, for whoever comes first.

use std::collections::VecDeque;
use std::task::Poll;
use std::time::{Duration, Instant};

use ssh_session::channels::{
    PREFETCH_LIMIT, RECENTLY_CLOSED, RETRY_PAUSES, prefetch_limit_after_refusal,
};
use ssh_session::{Phase, SshError};

use crate::deadline::Deadline;
use crate::ffi::{self, Channel, Error, Session};
use crate::link::Link;
use crate::state::{End, Op, State, Stop};

/// The channels of a session.
pub(crate) struct Channels {
    pub(crate) opening: Option<Opening>,
    /// Opened ahead, for the next command.
    pub(crate) parked: Option<Channel>,
    /// Who waits for a channel, in the order they came.
    queue: VecDeque<Op>,
    /// The answer to the first of them.
    refusal: Option<Error>,
    /// Channels that commands have.
    running: usize,
    /// Those of them that stay with the session.
    kept: usize,
    /// Until the server has closed them too.
    pub(crate) abandoned: Vec<Leftover>,
    /// When a command last gave one back.
    closed: Option<Instant>,
    /// With fewer channels than this, one is opened ahead.
    park_limit: usize,
    /// The server has started a command, and with it set its socket to send at once.
    warm: bool,
}

/// A channel that is being opened.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    /// The first in the queue asked for it, and hears of a refusal.
    wanted: bool,
    /// Whoever asked for it waits no longer.
    abandoned: bool,
    /// Its answer is that to a heartbeat.
    beat: bool,
}

/// A channel that nobody uses any more.
pub(crate) struct Leftover {
    pub(crate) op: Op,
    channel: Channel,
    /// Its command is to be killed first.
    kill: bool,
    /// A borrower left it open.
    borrowed: bool,
}

impl Link {
    /// A channel for a command: the parked one, or a new one.
    pub(crate) fn take_channel(&self, op: Op, deadline: &Deadline) -> Result<Channel, Stop> {
        self.lock().channels.queue.push_back(op);
        let mut pauses = RETRY_PAUSES.into_iter();
        let taken = loop {
            let taken = self.drive(op, deadline, |state, session| state.next_channel(op, session));
            match taken {
                Err(Stop::Refused(error)) => match pauses.next() {
                    Some(pause) if self.lock().channels.frees_slot() => {
                        std::thread::sleep(pause.min(deadline.remaining().unwrap_or(pause)));
                    }
                    _ => break Err(Stop::Refused(error)),
                },
                taken => break taken,
            }
        };
        if taken.is_err() {
            let mut state = self.lock();
            state.channels.leave_queue(op);
            self.changed(&state);
        }
        taken
    }

    /// Takes one step of opening a channel.
    pub(crate) fn open(&self, state: &mut State) {
        if !state.channels.warm {
            self.socket.acknowledge_quickly();
        }
        let opened = match self.step(state, Op::OPENER, |_, session| Channel::open(session)) {
            Poll::Pending => return,
            // Worse than a refusal.
            Poll::Ready(Err(_)) if state.end.is_some() => return,
            Poll::Ready(opened) => opened,
        };
        let Some(opening) = state.channels.opening.take() else { return };
        match opened {
            Ok(channel) => state.channels.parked = Some(channel),
            Err(error) => {
                tracing::debug!(target = %self.target, %error, ?opening, "no further channel");
                let channels = &mut state.channels;
                channels.park_limit =
                    channels.park_limit.min(prefetch_limit_after_refusal(channels.count()));
                channels.refusal = opening.wanted.then_some(error);
            }
        }
        if opening.beat {
            state.beating = false;
            state.beats += 1;
        }
        self.changed(state);
    }

    /// Takes a channel whose command is done: closed by the server, so that closing it on our side
    /// waits for nothing.
    pub(crate) fn finish_channel(&self, op: Op, channel: Channel, kept: bool) {
        let mut state = self.lock();
        state.channels.running -= 1;
        state.channels.kept -= usize::from(kept);
        self.let_go(&mut state, Leftover { op, channel, kill: false, borrowed: true });
    }

    /// Takes a channel whose command was given up: kills the command as far as the server allows.
    pub(crate) fn give_up_channel(&self, op: Op, channel: Channel, kill: bool, kept: bool) {
        let mut state = self.lock();
        state.channels.running -= 1;
        state.channels.kept -= usize::from(kept);
        self.let_go(&mut state, Leftover { op, channel, kill, borrowed: true });
        let Channels { opening, parked, .. } = &state.channels;
        if kill && (opening.is_some() || parked.is_some()) {
            // Dropbear loses a command that starts in the moment another one is killed. So the next
            // one waits for the answer to a heartbeat, if it comes that early.
            state.beating = true;
            self.service(&mut state);
        }
    }

    fn let_go(&self, state: &mut State, leftover: Leftover) {
        state.channels.closed = Some(Instant::now());
        state.channels.abandoned.push(leftover);
        self.free_closed(state);
        self.changed(state);
    }

    /// Frees the channels that the server has closed by now. Never waits.
    pub(crate) fn free_closed(&self, state: &mut State) {
        for mut leftover in std::mem::take(&mut state.channels.abandoned) {
            // Those of an ended session are freed with it, behind its shut-down socket.
            if state.end.is_some() || !self.is_gone(state, &mut leftover) || state.end.is_some() {
                state.channels.abandoned.push(leftover);
                continue;
            }
            if state.channels.abandoned.is_empty() {
                self.changed(state);
            }
        }
    }

    /// Closes a channel as far as that goes now. Whether it is closed on both sides.
    fn is_gone(&self, state: &mut State, leftover: &mut Leftover) -> bool {
        let Leftover { op, channel, kill, .. } = leftover;
        if !state.may_step(*op) {
            return false;
        }
        if *kill {
            if self.step(state, *op, |_, _| channel.signal(b"KILL")).is_pending() {
                return false;
            }
            *kill = false;
        }
        if self.step(state, *op, |_, _| channel.close()).is_pending() {
            return false;
        }
        let closed = self.step(state, *op, |_, _| match channel.is_closed() {
            Ok(false) => Err(ffi::again()),
            other => other.map(drop),
        });
        closed.is_ready()
    }

    /// Whether a borrower left something open. Never waits.
    pub(crate) fn has_abandoned_channels(&self) -> bool {
        let mut state = self.lock();
        self.free_closed(&mut state);
        state.channels.is_borrowed()
    }

    /// Waits until nothing is left open. A command that the server does not let us kill holds its
    /// channel, and one of the server's session slots, until its process ends.
    pub(crate) fn wait_until_closed(&self, timeout: Duration) -> Result<(), SshError> {
        let deadline = Deadline::after(Some(timeout));
        let user = self.enter();
        let closed = self.drive(user.op, &deadline, |state, _| {
            if state.channels.is_borrowed() { Err(ffi::again()) } else { Ok(()) }
        });
        closed.map_err(|stop| self.error(stop, Phase::Reset, &deadline))
    }

    /// An operation's end in the words of the user, where no command had been sent.
    pub(crate) fn error(&self, stop: Stop, phase: Phase, deadline: &Deadline) -> SshError {
        let target = self.target.clone();
        match stop {
            Stop::Timeout => SshError::Timeout {
                target,
                phase,
                elapsed: deadline.elapsed(),
                partial: None,
                maybe_started: false,
            },
            Stop::Ended(End::Closed) => SshError::Closed { target, maybe_started: false },
            Stop::Ended(End::Lost(detail)) => SshError::ConnectionLost {
                target,
                phase,
                detail,
                partial: None,
                maybe_started: false,
            },
            Stop::Refused(error) => {
                let detail = ssh_session::printable(error.message().as_bytes());
                if ffi::is_open_refused(&error) {
                    SshError::ChannelRefused { target, detail }
                } else {
                    SshError::RequestRefused { target, request: detail }
                }
            }
        }
    }
}

impl State {
    /// The parked channel for whoever is first in the queue, or a step towards one.
    fn next_channel(&mut self, op: Op, session: &Session) -> Result<Channel, Error> {
        // Or a heartbeat is under way on it.
        if self.channels.queue.front() != Some(&op) || self.requester == Some(Op::HEARTBEAT) {
            return Err(ffi::again());
        }
        if let Some(refusal) = self.channels.refusal.take() {
            return Err(refusal);
        }
        if let Some(parked) = &mut self.channels.parked {
            if parked.is_closed()? {
                self.drop_parked();
            } else if session.is_blocked() {
                return Err(ffi::again());
            } else if let Some(parked) = self.channels.parked.take() {
                self.channels.leave_queue(op);
                self.channels.running += 1;
                self.news = true;
                return Ok(parked);
            }
        }
        if self.channels.opening.is_none() {
            self.begin_open(Opening { wanted: true, ..Opening::default() });
        }
        Err(ffi::again())
    }

    /// Opens a channel for the next command, if there is room for one.
    pub(crate) fn park_ahead(&mut self) {
        let Channels { opening, parked, park_limit, .. } = &self.channels;
        if opening.is_none() && parked.is_none() && self.channels.count() < *park_limit {
            self.begin_open(Opening::default());
        }
    }

    /// Opens a channel as a heartbeat, where none is parked.
    pub(crate) fn open_to_beat(&mut self) {
        self.begin_open(Opening { beat: true, ..Opening::default() });
    }

    /// Lets go of a parked channel that the server closed.
    pub(crate) fn drop_parked(&mut self) {
        if let Some(channel) = self.channels.parked.take() {
            let op = self.next_op();
            let leftover = Leftover { op, channel, kill: false, borrowed: false };
            self.channels.abandoned.push(leftover);
            self.work_started = true;
        }
    }

    fn begin_open(&mut self, opening: Opening) {
        self.channels.opening = Some(opening);
        self.work_started = true;
    }

    /// A channel that was taken stays with the session.
    pub(crate) fn keep_channel(&mut self) {
        self.channels.kept += 1;
    }

    /// The server has started a command.
    pub(crate) fn warm_up(&mut self) {
        self.channels.warm = true;
    }
}

impl Channels {
    pub(crate) fn new() -> Self {
        Self {
            opening: None,
            parked: None,
            queue: VecDeque::new(),
            refusal: None,
            running: 0,
            kept: 0,
            abandoned: Vec::new(),
            closed: None,
            park_limit: PREFETCH_LIMIT,
            warm: false,
        }
    }

    /// Channels that take one of the server's slots, as far as we know.
    fn count(&self) -> usize {
        let ahead = usize::from(self.parked.is_some()) + usize::from(self.opening.is_some());
        self.running + self.abandoned.len() + ahead
    }

    /// Whether the server is about to free a slot.
    fn frees_slot(&self) -> bool {
        self.closed.is_some_and(|closed| closed.elapsed() < RECENTLY_CLOSED)
    }

    /// Whether a borrower has left something open.
    fn is_borrowed(&self) -> bool {
        self.running > self.kept
            || self.abandoned.iter().any(|leftover| leftover.borrowed)
            || self.opening.as_ref().is_some_and(|opening| opening.abandoned)
    }

    /// Lets the next one in the queue come first.
    fn leave_queue(&mut self, op: Op) {
        if self.queue.front() == Some(&op) {
            self.refusal = None;
            if let Some(opening) = self.opening.as_mut().filter(|opening| opening.wanted) {
                opening.wanted = false;
                opening.abandoned = true;
            }
        }
        self.queue.retain(|waiting| *waiting != op);
    }
}
