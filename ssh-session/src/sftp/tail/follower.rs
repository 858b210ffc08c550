//! What to ask next about a file that is followed: a state machine without I/O and without a clock.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::last_lines::LastLines;
use super::{TailFrom, Tailed};
use crate::sftp::Metadata;

/// As much is read at once, in bytes.
const PIECE: u64 = 256 * 1024;

/// As much is looked through at once for the ends of lines, in bytes.
const BLOCK: u64 = 64 * 1024;

/// Follows a file. It is asked what to [ask](Ask) the server, and told the answers.
#[derive(Debug)]
pub struct Follower {
    from: TailFrom,
    text: bool,
    state: State,
    /// Where the next byte is.
    position: u64,
    /// As far as the open file said it goes.
    claimed: u64,
    /// The beginning of a character.
    held: BytesMut,
    ready: VecDeque<Tailed>,
}

#[derive(Debug)]
enum State {
    /// Where to begin is not known.
    Starting,
    /// The last lines are sought before `below`; the block so far.
    Seeking { below: u64, block: BytesMut, search: LastLines },
    /// There may be more.
    Reading,
    /// There is no more: what has the file's name?
    Looking { again: bool },
    /// The file says that it ends before what was read of it.
    Doubting,
    /// Another file has its name, and what is left of this one is read.
    Draining,
    /// The other file is to be opened.
    Switching,
    /// Nothing new.
    Idle,
}

/// What to ask the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Open what has the file's name now, in place of what is open: [`Follower::opened`], or
    /// [`Follower::is_missing`].
    Open,
    /// Read what is open: [`Follower::read`] with each piece, and with `None` at its end.
    Read {
        /// From where.
        offset: u64,
        /// Up to so much.
        length: u64,
        /// As far as the file says it goes.
        claimed: u64,
    },
    /// Look at what is open, at what has its name, and at what is open again: [`Follower::looked`].
    Look {
        /// Each only when the answer before has come: servers may answer in another order.
        one_by_one: bool,
    },
    /// Nothing for a while: [`Follower::waited`].
    Wait,
}

/// The answers to [`Ask::Look`].
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Of what is open.
    pub before: Metadata,
    /// Of what has the name; `None` where nothing has.
    pub named: Option<Metadata>,
    /// Of what is open, again.
    pub after: Metadata,
}

impl Follower {
    /// Follows a file from there.
    pub fn new(from: TailFrom, text: bool) -> Self {
        let (state, ready) = (State::Starting, VecDeque::new());
        Self { from, text, state, position: 0, claimed: 0, held: BytesMut::new(), ready }
    }

    /// What to ask next.
    pub fn ask(&self) -> Ask {
        let (offset, claimed) = (self.position, self.claimed);
        match &self.state {
            State::Starting | State::Switching => Ask::Open,
            State::Seeking { below, block, .. } => {
                let (begin, have) = (below.saturating_sub(BLOCK), block.len() as u64);
                let length = (*below - begin).saturating_sub(have);
                Ask::Read { offset: begin + have, length, claimed: *below }
            }
            State::Reading | State::Draining => Ask::Read { offset, length: PIECE, claimed },
            State::Doubting => Ask::Read { offset: offset - 1, length: 1, claimed: offset },
            State::Looking { again } => Ask::Look { one_by_one: *again },
            State::Idle => Ask::Wait,
        }
    }

    /// The file is open, and says that it is so long.
    pub fn opened(&mut self, size: Option<u64>) {
        self.claimed = size.unwrap_or(0);
        let size = self.claimed;
        if matches!(self.state, State::Switching) {
            self.restart(Tailed::Replaced);
            return;
        }
        self.position = match self.from {
            TailFrom::Start => 0,
            TailFrom::Offset(offset) => offset.min(size),
            TailFrom::End | TailFrom::Lines(_) => size,
        };
        self.state = match self.from {
            TailFrom::Lines(lines) if lines > 0 && size > 0 => {
                let (block, search) = (BytesMut::new(), LastLines::new(lines));
                State::Seeking { below: size, block, search }
            }
            _ => State::Reading,
        };
    }

    /// There is no file of that name to be opened. Whether that is nothing but an interruption.
    pub fn is_missing(&mut self) -> bool {
        let switching = matches!(self.state, State::Switching);
        if switching {
            self.state = State::Idle;
        }
        switching
    }

    /// A piece of the file, `None` at its end.
    pub fn read(&mut self, piece: Option<Bytes>) {
        match (&mut self.state, piece) {
            (State::Seeking { block, .. }, Some(piece)) => {
                block.extend_from_slice(&piece);
                self.seek();
            }
            // It is shorter than it said, or is now.
            (State::Seeking { .. }, None) => {
                self.position = 0;
                self.claimed = 0;
                self.state = State::Reading;
            }
            // It only says so, as those of /proc do.
            (State::Doubting, Some(_)) => self.state = State::Idle,
            (State::Doubting, None) => self.restart(Tailed::Truncated),
            (State::Reading | State::Draining, Some(piece)) => self.take(piece),
            (State::Reading, None) => self.state = State::Looking { again: false },
            (State::Draining, None) => self.state = State::Switching,
            (State::Starting | State::Looking { .. } | State::Switching | State::Idle, _) => {}
        }
    }

    /// What there is now.
    pub fn looked(&mut self, look: &Look) {
        let State::Looking { again } = self.state else { return };
        let size = look.after.size;
        self.claimed = size.unwrap_or(0);
        self.state = match look.named {
            _ if size.is_some_and(|size| size < self.position) => State::Doubting,
            Some(named) if is_another(&look.before, &named, &look.after) => match again {
                true => State::Draining,
                false => State::Looking { again: true },
            },
            _ if self.claimed > self.position => State::Reading,
            _ => State::Idle,
        };
    }

    /// Time has passed.
    pub fn waited(&mut self) {
        if matches!(self.state, State::Idle) {
            self.state = State::Reading;
        }
    }

    /// Whether it is known where to begin.
    pub fn has_begun(&self) -> bool {
        !matches!(self.state, State::Starting | State::Seeking { .. })
    }

    /// Where the next byte is that was not handed on.
    pub fn position(&self) -> u64 {
        self.position - self.held.len() as u64
    }

    /// What came next.
    pub fn pop(&mut self) -> Option<Tailed> {
        self.ready.pop_front()
    }

    /// Whether something has come.
    pub fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Hands on what was held back: no more of it will come.
    pub fn give_up_held(&mut self) {
        if !self.held.is_empty() {
            let offset = self.position();
            let bytes = self.held.split().freeze();
            self.ready.push_back(Tailed::Data { offset, bytes });
        }
    }

    fn restart(&mut self, why: Tailed) {
        self.give_up_held();
        self.ready.push_back(why);
        self.position = 0;
        self.state = State::Reading;
    }

    fn take(&mut self, piece: Bytes) {
        let offset = self.position();
        self.position += piece.len() as u64;
        if !self.text {
            return self.ready.push_back(Tailed::Data { offset, bytes: piece });
        }
        let mut bytes = match self.held.is_empty() {
            true => piece,
            false => {
                self.held.extend_from_slice(&piece);
                self.held.split().freeze()
            }
        };
        let held = bytes.split_off(bytes.len() - unfinished(&bytes));
        self.held.extend_from_slice(&held);
        if !bytes.is_empty() {
            self.ready.push_back(Tailed::Data { offset, bytes });
        }
    }

    /// Looks through a block, once it is whole.
    fn seek(&mut self) {
        let State::Seeking { below, block, search } = &mut self.state else { return };
        let begin = below.saturating_sub(BLOCK);
        if (block.len() as u64) < *below - begin {
            return;
        }
        let found = search.look(block).map(|index| begin + index as u64);
        if found.is_none() && begin > 0 {
            block.clear();
            *below = begin;
            return;
        }
        self.position = found.unwrap_or(0);
        self.state = State::Reading;
    }
}

/// Whether what has the name is another file than the one that is open, looked at before and after.
fn is_another(before: &Metadata, named: &Metadata, after: &Metadata) -> bool {
    fn outside<T: PartialOrd + Copy>(
        before: Option<T>,
        named: Option<T>,
        after: Option<T>,
    ) -> bool {
        match (before, named, after) {
            // Otherwise it was changed meanwhile, and says nothing.
            (Some(before), Some(named), Some(after)) if before <= after => {
                named < before || named > after
            }
            _ => false,
        }
    }
    fn unlike<T: PartialEq + Copy>(before: Option<T>, named: Option<T>, after: Option<T>) -> bool {
        before.is_some() && named.is_some() && before == after && named != before
    }
    let changed = |metadata: &Metadata| metadata.times.map(|(_, changed)| changed);
    outside(before.size, named.size, after.size)
        || outside(changed(before), changed(named), changed(after))
        || unlike(before.mode, named.mode, after.mode)
        || unlike(before.owner, named.owner, after.owner)
}

/// How many bytes at the end are the beginning of a character.
fn unfinished(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    // What is before the last character's first byte is none of its business.
    let Some(first) = tail.iter().rposition(|byte| *byte & 0xc0 != 0x80) else { return 0 };
    match std::str::from_utf8(&tail[first..]) {
        Err(error) if error.error_len().is_none() => tail.len() - first,
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
