//! Signs of life.
//!
//! libssh2 never matches the reply of a global request, so its own keepalive counts nothing and
//! piles up replies. A channel request gets a matched reply: so a heartbeat sets a reserved variable
//! on the parked channel, or, where none is, opens one. Whether the server grants or refuses it, as
//! at `MaxSessions`, it is alive. Both cost one round trip.

use std::task::Poll;
use std::time::{Duration, Instant};

use pool_core::KeepaliveStep;
use ssh_session::{Phase, SshError};

use crate::deadline::Deadline;
use crate::ffi::{self, Error, Session};
use crate::keepalive::PING_NAME;
use crate::link::Link;
use crate::socket::Pending;
use crate::state::{End, Op, State, Stop};

/// How long a heartbeat without a matched answer counts, once something has come. libssh2 sends none
/// more often.
const UNMATCHED_PAUSE: Duration = Duration::from_millis(2_500);

/// How many packets are taken in at once from a session that nobody uses.
const STEPS_MAX: usize = 64;

impl Link {
    /// Asks for a sign of life; a session that gives none in time is over.
    pub(crate) fn ping(&self, timeout: Duration) -> Result<(), SshError> {
        let deadline = Deadline::after(Some(timeout));
        let user = self.enter();
        let wanted = {
            let mut state = self.lock();
            state.beating = true;
            state.beats + 1
        };
        let answered = self.drive(user.op, &deadline, |state, _| {
            if state.beats >= wanted { Ok(()) } else { Err(ffi::again()) }
        });
        answered.map_err(|stop| {
            if matches!(stop, Stop::Timeout) {
                self.end(&mut self.lock(), End::Lost("no sign of life".into()));
            }
            self.error(stop, Phase::Ping, &deadline)
        })
    }

    /// Takes in what has come to a session that nobody uses, without waiting: a request for a sign
    /// of life, a goodbye, late news of an old channel. libssh2 does so with every step, but needs
    /// a channel to take one on; where there is none, one is opened ahead.
    pub(crate) fn drain_input(&self, state: &mut State) {
        state.arrival_unknown = true;
        self.drain_all_input(state);
        state.arrival_unknown = false;
    }

    fn drain_all_input(&self, state: &mut State) {
        // The end stands behind everything else, so there is no stopping halfway; a peer that
        // never stops sending is left to the next borrower.
        for _ in 0..STEPS_MAX {
            if state.end.is_some() || !state.may_step(Op::HEARTBEAT) {
                return;
            }
            match self.socket.pending() {
                Pending::Nothing => return,
                Pending::End => self.end(state, End::Lost("the server closed it".into())),
                Pending::Bytes => match state.channels.parked.take() {
                    Some(mut parked) => {
                        let closed = self.step(state, Op::HEARTBEAT, |_, _| parked.is_closed());
                        state.channels.parked = Some(parked);
                        if matches!(closed, Poll::Ready(Ok(true))) {
                            state.drop_parked();
                        }
                    }
                    None => {
                        state.beating |= !state.is_tended();
                        self.service(state);
                    }
                },
            }
        }
    }

    /// Serves a session that nobody uses, without waiting: takes in what has come before it judges
    /// the peer's silence. Says when to come again, `None` where heartbeats are off or the session
    /// is over.
    pub(crate) fn service_idle(&self, state: &mut State) -> Option<Instant> {
        self.drain_input(state);
        self.service(state)
    }

    /// When a session may next want to be served that somebody uses: no earlier than its heartbeat
    /// is due. `None` where heartbeats are off or the session is over.
    pub(crate) fn next_look(&self, state: &State) -> Option<Instant> {
        let interval = self.keepalive.interval?;
        let now = Instant::now();
        match state.keepalive.as_ref().filter(|_| state.end.is_none())?.step(now) {
            KeepaliveStep::WaitUntil(due) => Some(due),
            // Its user is about to do that.
            KeepaliveStep::Send | KeepaliveStep::Dead => now.checked_add(interval),
        }
    }

    /// Takes one step of the heartbeat that is under way.
    pub(crate) fn beat(&self, state: &mut State) {
        if state.channels.parked.is_none() {
            if state.channels.is_opening_tunnel() {
                return self.beat_unmatched(state);
            }
            // Whatever else is being opened will be parked.
            if state.channels.opening.is_none() {
                state.open_to_beat();
                self.open(state);
            }
            return;
        }
        let answered = match self.step(state, Op::HEARTBEAT, beat) {
            Poll::Pending => false,
            Poll::Ready(Ok(())) => true,
            // A refusal is a reply. Anything worse has ended the session.
            Poll::Ready(Err(_)) => state.end.is_none(),
        };
        if answered {
            state.beat_answered();
            self.changed(state);
        }
    }

    /// As [`beat`](Self::beat), while a tunnel is being opened, which takes as long as its destination
    /// does: libssh2 opens nothing else meanwhile. Whatever comes is taken for an answer.
    fn beat_unmatched(&self, state: &mut State) {
        match state.unmatched_beat {
            Some((_, seen)) if state.received == seen => {}
            Some((at, _)) if at.elapsed() < UNMATCHED_PAUSE => {
                state.beat_answered();
                self.changed(state);
            }
            _ if self.socket.takes_bytes() => {
                let asked = |_: &mut State, session: &Session| session.ask_unmatched();
                let now = Instant::now();
                if matches!(self.step(state, Op::HEARTBEAT, asked), Poll::Ready(Ok(()))) {
                    state.unmatched_beat = Some((now, state.received));
                }
            }
            _ => {}
        }
    }
}

fn beat(state: &mut State, _session: &Session) -> Result<(), Error> {
    state.request(Op::HEARTBEAT, |state| {
        let Some(parked) = &mut state.channels.parked else { return Ok(()) };
        let result = parked.setenv(PING_NAME, b"1");
        if parked.eof() {
            // The server closed it, as `ChannelTimeout` makes it: it lives, but sends no reply.
            state.drop_parked();
            return Ok(());
        }
        result
    })
}
