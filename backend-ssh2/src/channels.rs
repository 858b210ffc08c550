//! Channels: where they come from, and where they go when a command is done or given up.
//!
//! A session keeps one channel parked: opened ahead, in the same flight as the command before, so
//! that a command costs one round trip and not two. libssh2 opens one channel at a time, and does so
//! beside whatever request is under way. What it opens is nobody's own: any waiting thread drives it
//! ([`Link::tend`]), and it ends as the parked channel, for whoever comes first.

use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use ssh_session::channels::{
    ChannelQueue, PREFETCH_LIMIT, Ticket, Turn, prefetch_limit_after_refusal,
};
use ssh_session::{Phase, SshError};

use crate::deadline::Deadline;
use crate::destination::Address;
use crate::ffi::{self, Channel, Error, Session};
use crate::link::Link;
use crate::state::{End, Op, State, Stop};

/// The channels of a session.
pub(crate) struct Channels {
    pub(crate) opening: Option<Opening>,
    /// Opened ahead, for the next command.
    pub(crate) parked: Option<Channel>,
    /// Who waits for a channel; the first of them asks.
    pub(crate) queue: ChannelQueue,
    /// The answer to that one.
    refusal: Option<Error>,
    /// Until the server has closed them too.
    pub(crate) abandoned: Vec<Leftover>,
    /// Tunnels that somebody has, or the server has opened for somebody.
    pub(crate) tunnels: usize,
    /// What the server answered to those who asked for tunnels, and have not looked yet.
    pub(crate) tunnel_answers: Vec<(Op, Result<Channel, Error>)>,
    /// With fewer channels than this, one is opened ahead.
    park_limit: usize,
    /// The server has started a command, and with it set its socket to send at once.
    warm: bool,
}

/// A channel that is being opened.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    /// The first in the queue asked for it, and hears of a refusal.
    pub(crate) wanted: bool,
    /// Whoever asked for it waits no longer.
    pub(crate) abandoned: bool,
    /// Its answer is that to a heartbeat.
    pub(crate) beat: bool,
    /// It is no session channel, but a connection to there.
    pub(crate) tunnel: Option<(Op, Arc<Address>)>,
}

/// A channel that nobody uses any more.
pub(crate) struct Leftover {
    pub(crate) op: Op,
    pub(crate) channel: Channel,
    /// Its command is to be killed first.
    pub(crate) kill: bool,
    /// A borrower left it open.
    pub(crate) borrowed: bool,
}

impl Link {
    /// A channel for a command: the parked one, or a new one. `waits` is whether for another command's
    /// end, where the server opens no further one.
    pub(crate) fn take_channel(
        &self,
        op: Op,
        waits: bool,
        deadline: &Deadline,
    ) -> Result<Channel, Stop> {
        let ticket = self.lock().channels.queue.arrive(waits);
        loop {
            let taken =
                self.drive(op, deadline, |state, session| state.next_channel(ticket, session));
            let stop = match taken {
                Ok(channel) => return Ok(channel),
                Err(stop) => stop,
            };
            let mut state = self.lock();
            let refused = matches!(&stop, Stop::Refused(error) if ffi::is_open_refused(error));
            let waits_on = refused && state.channels.goes_on(ticket);
            if !waits_on {
                state.channels.leave_queue(ticket);
            }
            self.changed(&state);
            if !waits_on {
                return Err(stop);
            }
        }
    }

    /// Takes one step of opening a channel.
    pub(crate) fn open(&self, state: &mut State) {
        if !state.channels.warm {
            self.socket.acknowledge_quickly();
        }
        let tunnel = state.channels.opening.as_ref().and_then(|opening| opening.tunnel.clone());
        let open = |_: &mut State, session: &Session| match &tunnel {
            None => Channel::open(session),
            Some((_, address)) => address.open(session),
        };
        let opened = match self.step(state, Op::OPENER, open) {
            Poll::Pending => return,
            // Worse than a refusal.
            Poll::Ready(Err(_)) if state.end.is_some() => return,
            Poll::Ready(opened) => opened,
        };
        let Some(opening) = state.channels.opening.take() else { return };
        if let Some((op, _)) = tunnel {
            return self.tunnel_answered(state, op, opening.abandoned, opened);
        }
        match opened {
            Ok(channel) => state.channels.parked = Some(channel),
            Err(error) => {
                tracing::debug!(target = %self.target, %error, ?opening, "no further channel");
                let channels = &mut state.channels;
                // Slots of which the server is known to be short come free late.
                if !channels.queue.is_full() {
                    let limit = prefetch_limit_after_refusal(channels.count());
                    channels.park_limit = channels.park_limit.min(limit);
                }
                channels.refusal = opening.wanted.then_some(error);
            }
        }
        if opening.beat {
            state.beat_answered();
        }
        self.changed(state);
    }

    /// Takes a channel whose command is done: closed by the server, so that closing it on our side
    /// waits for nothing.
    pub(crate) fn finish_channel(&self, op: Op, channel: Channel, kept: bool) {
        let mut state = self.lock();
        if !kept {
            state.channels.queue.let_go();
        }
        self.let_go(&mut state, Leftover { op, channel, kill: false, borrowed: true });
    }

    /// Takes a channel whose command was given up: kills the command as far as the server allows.
    pub(crate) fn give_up_channel(&self, op: Op, channel: Channel, kill: bool, kept: bool) {
        let mut state = self.lock();
        if !kept {
            state.channels.queue.let_go();
        }
        self.let_go(&mut state, Leftover { op, channel, kill, borrowed: true });
        let Channels { opening, parked, .. } = &state.channels;
        if kill && (opening.is_some() || parked.is_some()) {
            // Dropbear loses a command that starts in the moment another one is killed. So the next
            // one waits for the answer to a heartbeat, if it comes that early.
            state.beating = true;
            self.service(&mut state);
        }
    }

    pub(crate) fn let_go(&self, state: &mut State, leftover: Leftover) {
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
            state.channels.queue.freed(Instant::now());
            if state.channels.abandoned.is_empty() || state.channels.queue.is_full() {
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
    fn next_channel(&mut self, ticket: Ticket, session: &Session) -> Result<Channel, Error> {
        let turn = self.channels.queue.turn(ticket, Instant::now());
        if turn == Turn::Refused {
            return Err(ffi::no_channel_left());
        }
        // Or a heartbeat is under way on it.
        if !self.channels.queue.is_first(ticket) || self.requester == Some(Op::HEARTBEAT) {
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
                self.channels.leave_place();
                self.channels.queue.opened(ticket);
                self.news = true;
                return Ok(parked);
            }
        }
        if self.channels.opening.is_none() && turn == Turn::Ask {
            self.channels.queue.ask(ticket, Instant::now());
            self.begin_open(Opening { wanted: true, ..Opening::default() });
        }
        Err(ffi::again())
    }

    /// Opens a channel for the next command, if there is room for one.
    pub(crate) fn park_ahead(&mut self) {
        let Channels { opening, parked, park_limit, queue, .. } = &self.channels;
        let room = self.channels.count() < *park_limit && !queue.is_full();
        if opening.is_none() && parked.is_none() && room {
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

    pub(crate) fn begin_open(&mut self, opening: Opening) {
        self.channels.opening = Some(opening);
        self.work_started = true;
    }

    /// A channel that was taken stays with the session, so that nobody waits for its end.
    pub(crate) fn keep_channel(&mut self) {
        self.channels.queue.let_go();
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
            queue: ChannelQueue::default(),
            refusal: None,
            abandoned: Vec::new(),
            tunnels: 0,
            tunnel_answers: Vec::new(),
            park_limit: PREFETCH_LIMIT,
            warm: false,
        }
    }

    /// Channels that take one of the server's slots, as far as we know.
    fn count(&self) -> usize {
        let opening = self.opening.is_some() && !self.is_opening_tunnel();
        let ahead = usize::from(self.parked.is_some()) + usize::from(opening);
        self.queue.running() + self.abandoned.len() + ahead
    }

    /// Whether a borrower has left something open.
    fn is_borrowed(&self) -> bool {
        self.queue.running() > 0
            || self.tunnels > 0
            || self.abandoned.iter().any(|leftover| leftover.borrowed)
            || self.opening.as_ref().is_some_and(|opening| opening.abandoned)
    }

    /// Whether one that was refused a channel waits on.
    fn goes_on(&mut self, ticket: Ticket) -> bool {
        let (leftovers, now) = (self.abandoned.len(), Instant::now());
        self.queue.turn(ticket, now) != Turn::Refused && self.queue.refused(ticket, leftovers, now)
    }

    /// Lets the next one in the queue come first.
    fn leave_queue(&mut self, ticket: Ticket) {
        if self.queue.is_first(ticket) {
            self.leave_place();
        }
        self.queue.leave(ticket);
    }

    /// What the first in the queue asked for is nobody's any more.
    fn leave_place(&mut self) {
        self.refusal = None;
        if let Some(opening) = self.opening.as_mut().filter(|opening| opening.wanted) {
            opening.wanted = false;
            opening.abandoned = true;
        }
    }
}
