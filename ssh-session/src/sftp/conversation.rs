//! One SFTP channel without the channel: requests out, answers in, by number.
//!
//! Any number of calls use it at once. Each is a future that asks and awaits answers; it knows no
//! runtime and no clock. Whoever has the channel hands in what the server sends
//! ([`Conversation::receive`]) and sends what there is to send ([`Conversation::take_output`]). A
//! call that is dropped leaves nothing behind: its answers are dropped when they come, and a file
//! that they open is closed.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use bytes::Bytes;

use super::answer::{Answer, Extensions, Packet};
use super::reply::{Reply, Room};
use super::request::{COST, INIT, Request};
use super::wire::{Fields, Malformed, Packets};
use crate::{Phase, SshError, Target};

/// How much is on its way at once, both ways together, in bytes. What a server's channel has room
/// for is less, most of the time: OpenSSH's, and both of our backends', 2 MiB.
pub(super) const WINDOW: usize = 4 << 20;

/// The largest piece of a file in a request: with what stands around it, OpenSSH's longest packet
/// has room for it. Without [`Limits`], what every server must take.
const MAX_PIECE: usize = 255 * 1024;
const USUAL_PIECE: usize = 32 * 1024;

/// A conversation with a server.
pub struct Conversation {
    target: Target,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    packets: Packets,
    output: Vec<u8>,
    /// Of whoever sends.
    sender: Option<Waker>,
    last_id: u32,
    pub(super) pending: HashMap<u32, Pending>,
    pub(super) in_flight: usize,
    /// Calls that wait for room, in the order they came.
    pub(super) queue: BTreeMap<u64, Waker>,
    pub(super) last_ticket: u64,
    extensions: Option<Extensions>,
    greeted: Option<Waker>,
    limits: Limits,
    received: u64,
    /// Requests without an answer.
    owed: usize,
    /// Files that users have open.
    pub(super) open_files: usize,
    pub(super) end: Option<SshError>,
}

/// The largest pieces of a file in one request, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) read: usize,
    pub(super) write: usize,
    /// Files open at once.
    pub(super) handles: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { read: USUAL_PIECE, write: USUAL_PIECE, handles: 100 }
    }
}

pub(super) struct Pending {
    pub(super) cost: usize,
    pub(super) opens: bool,
    pub(super) wanted: Wanted,
}

pub(super) enum Wanted {
    By(Option<Waker>),
    Answered(Answer),
    /// The caller is gone.
    Forgotten,
    /// By ourselves.
    Limits,
}

impl Conversation {
    /// Starts with our greeting.
    pub fn new(target: Target) -> Self {
        let state = State { output: INIT.to_vec(), ..State::default() };
        Self { target, state: Mutex::new(state) }
    }

    /// Takes in what the server sent. A server that makes no sense ends the conversation.
    pub fn receive(&self, bytes: &[u8]) {
        let mut wakers = Vec::new();
        let mut state = self.lock();
        if state.end.is_some() {
            return;
        }
        state.received = state.received.wrapping_add(1);
        state.packets.push(bytes);
        let result = loop {
            match state.packets.next_packet() {
                Ok(Some(packet)) => {
                    let taken =
                        Packet::read(packet).and_then(|packet| state.take(packet, &mut wakers));
                    if let Err(error) = taken {
                        break Err(error);
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        drop(state);
        if let Err(malformed) = result {
            self.fail(self.lost(&malformed.to_string()));
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Takes what is to be sent, all of it.
    pub fn take_output(&self) -> Option<Vec<u8>> {
        let mut state = self.lock();
        let output = std::mem::take(&mut state.output);
        (!output.is_empty()).then_some(output)
    }

    /// Waits until there is something to be sent, and takes it.
    pub async fn output(&self) -> Vec<u8> {
        poll_fn(|context| {
            let mut state = self.lock();
            if state.output.is_empty() {
                state.sender = Some(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(std::mem::take(&mut state.output))
        })
        .await
    }

    /// Whether there is something to be sent.
    pub fn has_output(&self) -> bool {
        !self.lock().output.is_empty()
    }

    /// Ends it: all calls fail with this. Only the first end counts.
    pub fn fail(&self, error: SshError) {
        let mut state = self.lock();
        if state.end.is_some() {
            return;
        }
        state.end = Some(error);
        state.output.clear();
        let mut wakers: Vec<Waker> = std::mem::take(&mut state.queue).into_values().collect();
        wakers.extend(state.greeted.take());
        for pending in state.pending.values_mut() {
            if let Wanted::By(waker) = &mut pending.wanted {
                wakers.extend(waker.take());
            }
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whether calls can still be answered.
    pub fn is_over(&self) -> bool {
        self.lock().end.is_some()
    }

    /// How often something has come, and whether the server owes an answer.
    pub fn pulse(&self) -> (u64, bool) {
        let state = self.lock();
        let owes = state.extensions.is_none() || state.owed > 0;
        (state.received, owes && state.end.is_none())
    }

    /// Whether more is still to come for calls that were given up than should be taken in for
    /// nothing. Not where files are open, which end with it.
    pub fn is_in_doubt(&self) -> bool {
        const MUCH: usize = 1 << 20;
        let state = self.lock();
        if state.open_files > 0 {
            return false;
        }
        let forgotten = state.pending.values().filter(|p| matches!(p.wanted, Wanted::Forgotten));
        forgotten.map(|pending| pending.cost).sum::<usize>() > MUCH
    }

    /// Whom it is with.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// An end that is the connection's.
    pub fn lost(&self, detail: &str) -> SshError {
        SshError::ConnectionLost {
            target: self.target.clone(),
            phase: Phase::Run,
            detail: detail.into(),
            partial: None,
            maybe_started: true,
        }
    }

    /// Waits for the server's greeting.
    pub(super) async fn greeting(self: &Arc<Self>) -> Result<(), SshError> {
        let extensions = poll_fn(|context| {
            let mut state = self.lock();
            match (&state.end, state.extensions) {
                (Some(error), _) => Poll::Ready(Err(error.clone())),
                (None, Some(extensions)) => Poll::Ready(Ok(extensions)),
                (None, None) => {
                    state.greeted = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await?;
        if extensions.limits {
            let mut state = self.lock();
            state.in_flight += COST;
            state.ask(&Request::Limits, Wanted::Limits, COST);
        }
        Ok(())
    }

    pub(super) fn extensions(&self) -> Extensions {
        self.lock().extensions.unwrap_or_default()
    }

    pub(super) fn limits(&self) -> Limits {
        self.lock().limits
    }

    /// Sends a request in room that was waited for. Its answer is the result's.
    pub(super) fn send(self: &Arc<Self>, request: &Request<'_>, mut room: Room) -> Reply {
        let mut state = self.lock();
        let cost = room.take();
        let id = state.ask(request, Wanted::By(None), cost);
        let sender = state.sender.take();
        drop(state);
        sender.into_iter().for_each(Waker::wake);
        Reply::new(self, id)
    }

    /// Closes a file, and waits for nothing.
    pub(super) fn close(&self, handle: &[u8]) {
        let mut state = self.lock();
        if state.end.is_none() {
            state.in_flight += COST;
            state.ask(&Request::Close { handle }, Wanted::Forgotten, COST);
            let sender = state.sender.take();
            drop(state);
            sender.into_iter().for_each(Waker::wake);
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Puts a request behind what is to be sent.
    pub(super) fn ask(&mut self, request: &Request<'_>, wanted: Wanted, cost: usize) -> u32 {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            if !self.pending.contains_key(&self.last_id) {
                break;
            }
        }
        if self.end.is_none() {
            request.write(self.last_id, &mut self.output);
        }
        self.owed += 1;
        let pending = Pending { cost, opens: request.opens(), wanted };
        self.pending.insert(self.last_id, pending);
        self.last_id
    }

    fn take(&mut self, packet: Packet, wakers: &mut Vec<Waker>) -> Result<(), Malformed> {
        let (id, answer) = match packet {
            Packet::Version(extensions) if self.extensions.is_none() => {
                self.extensions = Some(extensions);
                wakers.extend(self.greeted.take());
                return Ok(());
            }
            Packet::Version(_) => return Err(Malformed("it greets twice")),
            Packet::Answer(id, answer) => (id, answer),
        };
        let Some(pending) = self.pending.get_mut(&id) else {
            return Err(Malformed("it answers what nobody asked"));
        };
        let opens = pending.opens;
        // What is large takes its room until the caller has it.
        let large = matches!(&answer, Answer::Data(_) | Answer::Names(_));
        let kept = large && matches!(&pending.wanted, Wanted::By(_));
        let cost = if kept { 0 } else { std::mem::take(&mut pending.cost) };
        match std::mem::replace(&mut pending.wanted, Wanted::Forgotten) {
            Wanted::By(waker) => {
                wakers.extend(waker);
                pending.wanted = Wanted::Answered(answer);
            }
            answered @ Wanted::Answered(_) => {
                pending.wanted = answered;
                return Err(Malformed("it answers twice"));
            }
            Wanted::Forgotten => {
                self.pending.remove(&id);
                if let Answer::Handle(handle) = answer
                    && opens
                {
                    self.in_flight += COST;
                    self.ask(&Request::Close { handle: &handle }, Wanted::Forgotten, COST);
                    wakers.extend(self.sender.take());
                }
            }
            Wanted::Limits => {
                self.pending.remove(&id);
                if let Answer::Extended(bytes) = answer {
                    self.limits = Limits::read(bytes)?;
                }
            }
        }
        self.owed = self.owed.saturating_sub(1);
        self.leave(cost, wakers);
        Ok(())
    }

    /// Gives room back, to whoever waits longest.
    pub(super) fn leave(&mut self, cost: usize, wakers: &mut Vec<Waker>) {
        self.in_flight = self.in_flight.saturating_sub(cost);
        wakers.extend(self.queue.values().next().cloned());
    }
}

impl Limits {
    /// The answer to `limits@openssh.com`: lengths of packets, reads and writes, and open handles;
    /// 0 is no limit.
    fn read(bytes: Bytes) -> Result<Self, Malformed> {
        let mut fields = Fields(bytes);
        let _packet = fields.u64()?;
        let mut limit = |most: usize| {
            let limit = usize::try_from(fields.u64()?).unwrap_or(usize::MAX);
            Ok(if limit == 0 { most } else { limit.min(most) })
        };
        let (read, write) = (limit(MAX_PIECE)?, limit(MAX_PIECE)?);
        Ok(Self { read, write, handles: limit(1_000)? })
    }
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation").field("target", &self.target).finish_non_exhaustive()
    }
}
