//! Opening tunnels: libssh2 opens one channel at a time, so they take turns with those of commands.

use std::sync::Arc;

use crate::channels::{Channels, Leftover, Opening};
use crate::deadline::Deadline;
use crate::destination::Address;
use crate::ffi::{self, Channel, Error};
use crate::link::Link;
use crate::state::{Op, State, Stop};

impl Link {
    /// A connection to there.
    pub(crate) fn take_tunnel(
        &self,
        op: Op,
        address: &Arc<Address>,
        deadline: &Deadline,
    ) -> Result<Channel, Stop> {
        let taken = self.drive(op, deadline, |state, _| state.next_tunnel(op, address));
        if taken.is_err() {
            let mut state = self.lock();
            let late = state.channels.leave_tunnel(op);
            if let Some(channel) = late {
                self.close_tunnel(&mut state, channel);
            }
            self.changed(&state);
        }
        taken
    }

    /// Takes a tunnel's channel that nobody wants any more.
    pub(crate) fn close_tunnel(&self, state: &mut State, channel: Channel) {
        state.channels.tunnels = state.channels.tunnels.saturating_sub(1);
        let op = state.next_op();
        self.let_go(state, Leftover { op, channel, kill: false, borrowed: true });
    }

    pub(crate) fn tunnel_answered(
        &self,
        state: &mut State,
        op: Op,
        abandoned: bool,
        answer: Result<Channel, Error>,
    ) {
        state.channels.tunnels += usize::from(answer.is_ok());
        match answer {
            Ok(channel) if abandoned => self.close_tunnel(state, channel),
            answer if !abandoned => state.channels.tunnel_answers.push((op, answer)),
            _ => {}
        }
        self.changed(state);
    }
}

impl State {
    /// The answer to whoever asked for a tunnel, or a step towards one.
    fn next_tunnel(&mut self, op: Op, address: &Arc<Address>) -> Result<Channel, Error> {
        let channels = &mut self.channels;
        if let Some(index) = channels.tunnel_answers.iter().position(|(other, _)| *other == op) {
            return channels.tunnel_answers.swap_remove(index).1;
        }
        if channels.opening.is_none() {
            let tunnel = Some((op, Arc::clone(address)));
            self.begin_open(Opening { tunnel, ..Opening::default() });
        }
        Err(ffi::again())
    }
}

impl Channels {
    /// Whether libssh2 is busy with a tunnel, and opens nothing else.
    pub(crate) fn is_opening_tunnel(&self) -> bool {
        self.opening.as_ref().is_some_and(|opening| opening.tunnel.is_some())
    }

    /// Whoever asked for a tunnel waits no longer. What is there already is to be closed.
    fn leave_tunnel(&mut self, op: Op) -> Option<Channel> {
        let own = |opening: &&mut Opening| opening.tunnel.as_ref().is_some_and(|(o, _)| *o == op);
        if let Some(opening) = self.opening.as_mut().filter(own) {
            opening.abandoned = true;
        }
        let index = self.tunnel_answers.iter().position(|(other, _)| *other == op)?;
        self.tunnel_answers.swap_remove(index).1.ok()
    }
}
