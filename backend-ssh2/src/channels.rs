//! Channels: where they come from, and where they go when a command is done or given up.

use std::task::Poll;
use std::time::Duration;

use ssh_session::{Phase, SshError};

use crate::deadline::Deadline;
use crate::ffi::{self, Channel};
use crate::link::{End, Link, Op, State, Stop};

impl Link {
    /// A channel for a command: the parked one, or a new one.
    pub(crate) fn take_channel(&self, op: Op, deadline: &Deadline) -> Result<Channel, Stop> {
        self.drive(op, deadline, |state, session| {
            if state.beating || state.others_ask(op) {
                // What the heartbeat opens will be for us.
                return Err(ffi::again());
            }
            if let Some(mut parked) = state.parked.take() {
                if !parked.eof() {
                    return Ok(parked);
                }
                state.parked = Some(parked);
                state.give_back_parked();
            }
            self.socket.acknowledge_quickly();
            state.ask(op, |_| Channel::open(session))
        })
    }

    /// Takes a channel whose command is done: closed by the server, so that closing it on our side
    /// waits for nothing.
    pub(crate) fn finish_channel(&self, op: Op, channel: Channel) {
        let mut state = self.lock();
        state.leftovers.push((op, channel));
        self.reap(&mut state);
        self.changed(&state);
    }

    /// Takes a channel whose command was given up: kills the command as far as the server allows.
    pub(crate) fn give_up_channel(&self, op: Op, mut channel: Channel, started: bool) {
        let mut state = self.lock();
        if started && state.end.is_none() && state.may_step(op) {
            let sent = self.step(&mut state, op, |_, _| channel.signal(b"KILL"));
            if sent.is_pending() {
                self.end(&mut state, End::Lost("the server takes nothing more".into()));
            }
        }
        state.leftovers.push((op, channel));
        self.reap(&mut state);
        self.changed(&state);
    }

    /// Frees the channels that the server has closed by now. Never waits.
    pub(crate) fn reap(&self, state: &mut State) {
        for (op, mut channel) in std::mem::take(&mut state.leftovers) {
            let open = state.end.is_none()
                && (!state.may_step(op)
                    || matches!(self.step(state, op, |_, _| channel.close()), Poll::Pending));
            // Those of an ended session are freed with it, behind its shut-down socket.
            if open || state.end.is_some() {
                state.leftovers.push((op, channel));
            }
            if state.leftovers.is_empty() {
                self.changed(state);
            }
        }
    }

    /// Whether a borrower left something open. Never waits.
    pub(crate) fn has_leftovers(&self) -> bool {
        let mut state = self.lock();
        self.reap(&mut state);
        !state.leftovers.is_empty()
    }

    /// Waits until nothing is left open. A command that the server does not let us kill holds its
    /// channel, and one of the server's session slots, until its process ends; the session is
    /// over then.
    pub(crate) fn reset(&self, timeout: Duration) -> Result<(), SshError> {
        let deadline = Deadline::after(Some(timeout));
        let user = self.enter();
        let closed = self.drive(user.op, &deadline, |state, _| {
            if state.leftovers.is_empty() { Ok(()) } else { Err(ffi::again()) }
        });
        closed.map_err(|stop| {
            self.end(&mut self.lock(), End::Lost("channels stayed open".into()));
            self.error(stop, Phase::Reset, &deadline)
        })
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
            Stop::Ended(End::Closed) => SshError::Closed { target },
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
    /// Lets go of a parked channel that the server closed.
    pub(crate) fn give_back_parked(&mut self) {
        if let Some(parked) = self.parked.take() {
            self.leftovers.push((Op::HEARTBEAT, parked));
        }
    }
}
