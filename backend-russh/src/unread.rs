//! What a command wrote and nobody has read yet.
//!
//! russh 0.65 gives the peer new window as soon as it receives, not when we take, and offers no way
//! to withhold it; and it stops reading a connection where one channel is not drained. So a
//! command can be made to wait only by holding back all of its connection. That is done beyond
//! [`HOLD`] where nobody else uses the session ([`Link::is_used_by_others`]): TCP's flow control
//! then reaches the server, and the command. As soon as somebody does use it, everything is taken
//! in again, into memory, and a command of which more than [`MAX_UNREAD`] lies there is stopped. Nothing
//! is ever written to a file.
//!
//! [`Link::is_used_by_others`]: crate::link::Link::is_used_by_others

use std::collections::VecDeque;
use std::fmt;

use ssh_session::Chunk;

/// How much is kept before the command has to wait, in bytes, where it can be made to.
const HOLD: usize = 1 << 20;

/// How much is kept in all, in bytes, until the command is stopped.
const MAX_UNREAD: usize = 64 << 20;

/// What a chunk costs beyond its bytes. Commands may write one byte at a time.
const OVERHEAD: usize = 128;

/// Chunks in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    chunks: VecDeque<Chunk>,
    cost: usize,
}

/// There is no room for more, of so many bytes.
#[derive(Debug)]
pub(crate) struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it is more than {} MiB", MAX_UNREAD >> 20)
    }
}

impl Unread {
    /// Keeps a chunk behind all others.
    pub(crate) fn push(&mut self, chunk: Chunk) -> Result<(), Full> {
        self.cost += cost(&chunk);
        if self.cost > MAX_UNREAD {
            return Err(Full);
        }
        self.chunks.push_back(chunk);
        Ok(())
    }

    /// Takes the oldest chunk.
    pub(crate) fn pop(&mut self) -> Option<Chunk> {
        let chunk = self.chunks.pop_front()?;
        self.cost = self.cost.saturating_sub(cost(&chunk));
        Some(chunk)
    }

    /// Whether the command should wait.
    pub(crate) fn is_much(&self) -> bool {
        self.cost >= HOLD
    }
}

fn cost(chunk: &Chunk) -> usize {
    chunk.bytes().len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::{Chunk, HOLD, MAX_UNREAD, Unread};

    #[test]
    fn chunks_come_back_in_order_and_their_room_with_them() {
        let mut unread = Unread::default();
        for number in 0..5_u8 {
            unread.push(Chunk::Stdout(vec![number; HOLD / 4].into())).expect("room");
            assert_eq!(unread.is_much(), number >= 3);
        }
        for number in 0..5_u8 {
            let chunk = unread.pop().expect("a chunk");
            assert_eq!(chunk.bytes()[0], number);
        }
        assert!(unread.pop().is_none() && unread.cost == 0);
    }

    #[test]
    fn there_is_a_limit_also_for_chunks_of_one_byte() {
        let mut unread = Unread::default();
        let pushed = (0..).take_while(|_| unread.push(Chunk::Stderr("x".into())).is_ok()).count();
        assert!(pushed > 100_000 && pushed * 128 <= MAX_UNREAD, "{pushed}");
    }
}
