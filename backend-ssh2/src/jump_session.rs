//! The session on a jump host, as the thread has it that relays through it.

use std::time::Instant;

use pool_core::{Keepalive, KeepaliveStep};
use rustix::event::{PollFd, PollFlags};
use ssh_session::{KeepaliveOptions, printable};

use crate::dial::Dialled;
use crate::ffi::{self, Channel, Error, Finishing};
use crate::keepalive::{PING_NAME, started};
use crate::socket::Pending;

/// A session and its one channel, behind which the next host is. One thread's own: there is no lock.
pub(crate) struct JumpSession {
    /// Goes before its session, and both before `finishing`.
    channel: Channel,
    dialled: Dialled,
    keepalive: Option<Keepalive>,
    /// A heartbeat waits for its answer.
    beating: bool,
    /// Whose packet was sent in part: nothing else can be sent before the rest of it.
    sender: Option<Call>,
    /// Why nothing comes from the socket any more.
    end: Option<String>,
    finishing: Finishing,
}

/// What is asked of libssh2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    /// It may send, too: word of more room.
    Read,
    Write,
    Beat,
}

impl JumpSession {
    pub(crate) fn new(dialled: Dialled, channel: Channel, keepalive: KeepaliveOptions) -> Self {
        let keepalive = started(keepalive);
        let finishing = Finishing::later();
        Self { channel, dialled, keepalive, beating: false, sender: None, end: None, finishing }
    }

    /// Writes without waiting; what was not written is to come again, unchanged. An error says why
    /// the hop is over.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<usize, String> {
        let written = self.call(Call::Write, |channel| channel.write(bytes))?;
        Ok(written.unwrap_or(0))
    }

    /// Reads without waiting; `None` where nothing is there, 0 where the next host has ended. An
    /// error says why nothing comes any more.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, String> {
        if !self.may(Call::Read) {
            self.drain_input()?;
            return Ok(None);
        }
        let read = self.call(Call::Read, |channel| {
            let seen = ffi::received_so_far();
            let count = match channel.read(0, buffer) {
                Err(error) if ffi::is_again(&error) => 0,
                read => read?,
            };
            if count == 0 && !channel.eof() {
                if ffi::received_so_far() == seen {
                    // The next host's bytes are all that is wanted here.
                    channel.drop_unnamed()?;
                }
                return Err(ffi::again());
            }
            Ok(count)
        })?;
        match (read, &self.end) {
            // Whatever came before it has been read.
            (None, Some(end)) => Err(end.clone()),
            (read, _) => Ok(read),
        }
    }

    /// Takes in what has come, without waiting and without reading the channel's bytes: answers to
    /// heartbeats, room to write, the end. The channel's window bounds what is kept.
    pub(crate) fn drain_input(&mut self) -> Result<(), String> {
        match self.step(Channel::is_closed) {
            Err(error) if !ffi::is_again(&error) => Err(said(&error)),
            _ => Ok(()),
        }
    }

    /// Asks for a sign of life where that is due, without waiting.
    pub(crate) fn beat(&mut self) -> Result<(), String> {
        if let Some(keepalive) = &mut self.keepalive {
            let now = Instant::now();
            match keepalive.step(now) {
                KeepaliveStep::WaitUntil(_) => {}
                KeepaliveStep::Send => {
                    keepalive.sent(now);
                    self.beating = true;
                }
                // What has come and was not looked at is life: this process may have been stopped.
                KeepaliveStep::Dead if self.dialled.way.socket.pending() == Pending::Bytes => {
                    keepalive.received(now);
                }
                KeepaliveStep::Dead => return Err("it did not answer heartbeats".into()),
            }
        }
        if self.beating {
            // A refusal is an answer, too.
            let answered =
                self.call(Call::Beat, |channel| match channel.setenv(PING_NAME, b"1") {
                    Err(error) if ffi::is_denied(&error) => Ok(()),
                    other => other,
                })?;
            self.beating = answered.is_none();
        }
        Ok(())
    }

    /// When [`beat`](Self::beat) wants to be called again.
    pub(crate) fn next_beat(&self) -> Option<Instant> {
        let now = Instant::now();
        match self.keepalive.as_ref()?.step(now) {
            KeepaliveStep::WaitUntil(due) => Some(due),
            KeepaliveStep::Send | KeepaliveStep::Dead => Some(now),
        }
    }

    /// The socket, and what to wait for on it; `None` where nothing comes of it any more.
    pub(crate) fn watched(&self) -> Option<PollFd<'_>> {
        let mut events = PollFlags::empty();
        events.set(PollFlags::IN, self.end.is_none());
        events.set(PollFlags::OUT, self.sender.is_some());
        (!events.is_empty()).then(|| PollFd::new(&self.dialled.way.socket, events))
    }

    /// What became of a hop before this one.
    pub(crate) fn fate(&self) -> Option<String> {
        self.dialled.way.fate.get().cloned()
    }

    fn may(&self, call: Call) -> bool {
        self.sender.is_none_or(|sender| sender == call)
    }

    /// Takes one step of a call; `None` if it would block.
    fn call<T>(
        &mut self,
        call: Call,
        step: impl FnOnce(&mut Channel) -> Result<T, Error>,
    ) -> Result<Option<T>, String> {
        if !self.may(call) {
            return Ok(None);
        }
        let result = self.step(step);
        self.sender = None;
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if ffi::is_again(&error) => {
                self.sender = self.dialled.session.is_blocked().then_some(call);
                match &self.end {
                    // The rest of it goes nowhere.
                    Some(end) if self.sender.is_some() => Err(end.clone()),
                    _ => Ok(None),
                }
            }
            Err(error) => Err(said(&error)),
        }
    }

    /// Lets libssh2 work, and keeps account of what comes.
    fn step<T>(&mut self, step: impl FnOnce(&mut Channel) -> Result<T, Error>) -> Result<T, Error> {
        let (result, received) = ffi::watch(|| step(&mut self.channel));
        if received.bytes > 0
            && let Some(keepalive) = &mut self.keepalive
        {
            keepalive.received(Instant::now());
        }
        if received.bytes > 0 && self.dialled.session.is_flooded() {
            self.end.get_or_insert_with(|| "it sends what nobody asked for".into());
        }
        if let Some(end) = received.end {
            let end = end.map_or_else(|| "it hung up".into(), |errno| errno.to_string());
            self.end.get_or_insert(end);
        }
        result
    }
}

fn said(error: &Error) -> String {
    printable(error.message().as_bytes())
}

impl Drop for JumpSession {
    fn drop(&mut self) {
        if self.sender.is_none() {
            let _ = self.dialled.session.disconnect();
        }
        // With the socket shut down, freeing neither waits for the peer nor leaks.
        self.dialled.way.socket.shutdown();
        self.finishing.begin();
    }
}
