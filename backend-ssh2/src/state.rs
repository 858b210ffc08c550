//! What the lock of a session guards.

use std::sync::MutexGuard;
use std::time::Instant;

use pool_core::Keepalive;

use crate::channels::Channels;
use crate::ffi::{self, Error};

/// Names one operation: what may own a packet sent in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Op(u64);

impl Op {
    /// The heartbeat, which any waiting thread serves.
    pub(crate) const HEARTBEAT: Self = Self(0);
    /// Whatever opens channels, which any waiting thread serves, too.
    pub(crate) const OPENER: Self = Self(1);
}

/// libssh2's own state is guarded with it.
pub(crate) struct State {
    pub(crate) end: Option<End>,
    /// Calls under way.
    pub(crate) users: usize,
    /// A leader is polling the socket.
    pub(crate) polling: bool,
    /// Who has sent a packet in part.
    pub(crate) sender: Option<Op>,
    /// Who waits for the server's answer to a request on a channel. libssh2 takes one at a time: a
    /// second one's answer would fail the first. Opening a channel is another matter.
    pub(crate) requester: Option<Op>,
    /// Something changed that others wait for, since they were last woken.
    pub(crate) news: bool,
    /// Something was begun that is to be tended before anybody waits.
    pub(crate) work_started: bool,
    /// All bytes received so far.
    pub(crate) received: u64,
    last_op: u64,
    pub(crate) channels: Channels,
    /// A heartbeat is due, or waits for its reply.
    pub(crate) beating: bool,
    /// Heartbeats answered so far.
    pub(crate) beats: u64,
    /// When a heartbeat was sent that no answer can be matched to, and how many bytes had come by then.
    pub(crate) unmatched_beat: Option<(Instant, u64)>,
    pub(crate) keepalive: Option<Keepalive>,
    /// What is taken in has come at some time since somebody last looked.
    pub(crate) arrival_unknown: bool,
}

/// Why a session is over.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// We closed it.
    Closed,
    /// It broke.
    Lost(String),
}

/// Why an operation stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Its deadline passed.
    Timeout,
    /// The session is over.
    Ended(End),
    /// libssh2 says no; the session goes on.
    Refused(Error),
}

pub(crate) type Guard<'a> = MutexGuard<'a, State>;

impl State {
    pub(crate) fn new(keepalive: Option<Keepalive>) -> Self {
        Self {
            end: None,
            users: 0,
            polling: false,
            sender: None,
            requester: None,
            news: false,
            work_started: false,
            received: 0,
            last_op: Op::OPENER.0,
            channels: Channels::new(),
            beating: false,
            beats: 0,
            unmatched_beat: None,
            keepalive,
            arrival_unknown: false,
        }
    }

    pub(crate) fn next_op(&mut self) -> Op {
        self.last_op += 1;
        Op(self.last_op)
    }

    /// The heartbeat under way was answered.
    pub(crate) fn beat_answered(&mut self) {
        self.beating = false;
        self.beats += 1;
    }

    /// Takes one step of a request, once nobody else's is under way.
    pub(crate) fn request<T>(
        &mut self,
        op: Op,
        request: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.requester.is_some_and(|requester| requester != op) {
            return Err(ffi::again());
        }
        self.requester = Some(op);
        let result = request(self);
        if !matches!(&result, Err(error) if ffi::is_again(error)) {
            self.requester = None;
            self.news = true;
        }
        result
    }

    /// Whether an operation may call libssh2 now.
    pub(crate) fn may_step(&self, op: Op) -> bool {
        self.sender.is_none_or(|sender| sender == op)
    }

    /// Whether an operation is served by any waiting thread, and not by one of its own.
    pub(crate) fn is_shared(&self, op: Op) -> bool {
        let left_over = || self.channels.abandoned.iter().any(|leftover| leftover.op == op);
        op == Op::HEARTBEAT || op == Op::OPENER || left_over()
    }

    /// Whether there is anything that any waiting thread serves.
    pub(crate) fn is_tended(&self) -> bool {
        let Channels { opening, abandoned, .. } = &self.channels;
        self.beating || opening.is_some() || !abandoned.is_empty()
    }
}
