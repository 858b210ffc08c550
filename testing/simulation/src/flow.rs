//! Bytes on their way in one direction of a connection.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::time::Instant;

/// How much of a client's is on its way at once, in bytes: the sender's and the receiver's buffers
/// together.
pub(crate) const ROOM: usize = 128 * 1024;

/// What one direction of a network is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quality {
    pub(crate) latency: Duration,
    /// Up to so much is added, drawn for each piece.
    pub(crate) jitter: Duration,
    /// In bytes a second.
    pub(crate) rate: Option<u64>,
}

/// One direction. The side that reads it asks when there is something.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    pieces: VecDeque<Piece>,
    waiting: usize,
    last_due: Option<Instant>,
    /// Nothing comes through.
    blocked: bool,
    /// What was held up comes through from then on.
    not_before: Option<Instant>,
    /// The end was sent behind all that.
    ended: bool,
    /// Nothing ever comes through any more.
    vanished: bool,
    reset: bool,
    /// The connection is reset once so many more bytes were received.
    pub(crate) cut_after: Option<u64>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// The writer had to wait.
    stalled: bool,
    /// Nobody is left to read it.
    deserted: bool,
}

#[derive(Debug)]
struct Piece {
    due: Instant,
    /// Empty at the end.
    bytes: Bytes,
}

/// What there is to be read.
pub(crate) enum Arrival {
    Bytes(Bytes),
    End,
    Reset,
    /// Nothing before then, or before somebody is woken.
    Later(Option<Instant>),
}

impl Flow {
    /// Sends bytes where no more than `room` is on its way; how many, and whether the writer had been
    /// held up.
    pub(crate) fn poll_send(
        &mut self,
        context: &Context<'_>,
        bytes: &[u8],
        room: usize,
        quality: Quality,
        rng: &mut fastrand::Rng,
    ) -> Poll<io::Result<(usize, bool)>> {
        if self.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if self.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let count = bytes.len().min(room.saturating_sub(self.waiting));
        if count == 0 && !bytes.is_empty() {
            if self.deserted {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            self.writer = Some(context.waker().clone());
            self.stalled = true;
            return Poll::Pending;
        }
        self.push(Bytes::copy_from_slice(&bytes[..count]), quality, rng);
        Poll::Ready(Ok((count, std::mem::take(&mut self.stalled))))
    }

    /// Sends the end.
    pub(crate) fn send_end(&mut self, quality: Quality, rng: &mut fastrand::Rng) {
        if !std::mem::replace(&mut self.ended, true) {
            self.push(Bytes::new(), quality, rng);
        }
    }

    fn push(&mut self, bytes: Bytes, quality: Quality, rng: &mut fastrand::Rng) {
        let now = Instant::now();
        let jitter = quality.jitter.as_millis() as u64;
        let jitter = Duration::from_millis(rng.u64(..=jitter));
        let sending = quality.rate.map_or(0, |rate| bytes.len() as u64 * 1000 / rate.max(1));
        let due = self.last_due.map_or(now, |last| last.max(now));
        let due = (now + quality.latency + jitter).max(due) + Duration::from_millis(sending);
        self.last_due = Some(due);
        self.waiting += bytes.len();
        self.pieces.push_back(Piece { due, bytes });
        self.wake_reader();
    }

    /// Takes what has come, up to so many bytes.
    pub(crate) fn receive(&mut self, context: &Context<'_>, most: usize) -> Arrival {
        if self.reset {
            return Arrival::Reset;
        }
        self.reader = Some(context.waker().clone());
        if self.blocked || self.vanished {
            return Arrival::Later(None);
        }
        let now = Instant::now();
        let Some(piece) = self.pieces.front_mut() else { return Arrival::Later(None) };
        let due = self.not_before.map_or(piece.due, |earliest| piece.due.max(earliest));
        if due > now {
            return Arrival::Later(Some(due));
        }
        if piece.bytes.is_empty() {
            return Arrival::End;
        }
        if self.cut_after == Some(0) {
            self.reset();
            return Arrival::Reset;
        }
        let cut = self.cut_after.map_or(usize::MAX, |left| left as usize);
        let count = piece.bytes.len().min(most).min(cut);
        let bytes = piece.bytes.split_to(count);
        if !piece.bytes.has_remaining() {
            self.pieces.pop_front();
        }
        self.waiting -= count;
        if let Some(left) = &mut self.cut_after {
            *left -= count as u64;
        }
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
        Arrival::Bytes(bytes)
    }

    /// Lets nothing through, or all again: what was held up comes through after that long.
    pub(crate) fn block(&mut self, blocked: bool, delay: Duration) {
        if self.blocked && !blocked {
            self.not_before = Some(Instant::now() + delay);
        }
        self.blocked = blocked;
        self.wake_reader();
    }

    /// Ends at once what both sides do with it.
    pub(crate) fn reset(&mut self) {
        self.reset = true;
        self.pieces.clear();
        self.waiting = 0;
        self.wake_reader();
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    /// Nothing comes through any more, and nobody is told.
    pub(crate) fn vanish(&mut self) {
        self.vanished = true;
        self.wake_reader();
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    /// Forgets what is on its way: nobody reads it any more. Of one that has vanished, nobody learns.
    pub(crate) fn forget(&mut self) {
        self.reader = None;
        if self.vanished {
            return;
        }
        self.pieces.clear();
        (self.waiting, self.deserted) = (0, true);
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}
