//! What a command wrote and nobody has read yet: a little of it in memory, the rest in files
//! without a name.
//!
//! russh gives the peer new window as soon as it receives (not when we take), so a command cannot
//! be made to wait, and a channel that nobody drains stalls its whole connection. Hence everything
//! is taken in at once and kept. What lies in a file is written and read in short pieces, which go
//! to and come from the system's page cache, under the lock of one command: no other command waits
//! for it.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};

use bytes::{Buf as _, Bytes, BytesMut};
use ssh_session::Chunk;

/// How much is kept in memory.
const MEMORY: u64 = 1 << 20;

/// How much is kept in all, until the command is stopped.
const LIMIT: u64 = 1 << 30;

/// What a chunk costs beyond its bytes. Commands may write one byte at a time.
const OVERHEAD: u64 = 64;

/// As much is gathered before it is written.
const PIECE: usize = 64 << 10;

/// As much is read at once. No record is longer.
const BLOCK: usize = 4 * PIECE;

/// A file this long is followed by a new one, so that the space of what was read is given back.
const SEGMENT: u64 = 64 << 20;

/// In front of each record: a stream's number and a length.
const HEADER: usize = 5;

/// Chunks in the order they came.
#[derive(Debug)]
pub(crate) struct Spool {
    /// The oldest, up to `memory`.
    front: VecDeque<Chunk>,
    front_cost: u64,
    /// Behind those.
    segments: VecDeque<Segment>,
    /// The newest, as records that go to the last file next.
    tail: Vec<u8>,
    /// Bytes in the files and the tail.
    behind: u64,
    memory: u64,
    limit: u64,
}

#[derive(Debug)]
struct Segment {
    file: File,
    read: u64,
    written: u64,
}

/// Why something could not be kept.
#[derive(Debug)]
pub(crate) enum Full {
    /// It is too much.
    Limit(u64),
    /// The file could not be written.
    File(io::Error),
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(limit) => write!(f, "it is more than {} MiB", limit >> 20),
            Self::File(error) => write!(f, "it could not be put into a file: {error}"),
        }
    }
}

impl Default for Spool {
    fn default() -> Self {
        Self::with_limits(MEMORY, LIMIT)
    }
}

impl Spool {
    fn with_limits(memory: u64, limit: u64) -> Self {
        Self {
            front: VecDeque::new(),
            front_cost: 0,
            segments: VecDeque::new(),
            tail: Vec::new(),
            behind: 0,
            memory,
            limit,
        }
    }

    /// Keeps a chunk behind all others.
    pub(crate) fn push(&mut self, chunk: Chunk) -> Result<(), Full> {
        let cost = cost(&chunk);
        if self.behind == 0 && self.front_cost + cost <= self.memory {
            self.front_cost += cost;
            self.front.push_back(chunk);
            return Ok(());
        }
        let (stream, bytes) = match &chunk {
            Chunk::Stdout(bytes) => (1, bytes),
            Chunk::Stderr(bytes) => (2, bytes),
        };
        for bytes in bytes.chunks(PIECE) {
            // No longer than a piece, so the length fits.
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            self.tail.push(stream);
            self.tail.extend_from_slice(&length.to_be_bytes());
            self.tail.extend_from_slice(bytes);
            self.behind += (HEADER + bytes.len()) as u64;
        }
        if self.behind > self.limit {
            return Err(Full::Limit(self.limit));
        }
        if self.tail.len() >= PIECE {
            self.spill().map_err(Full::File)?;
        }
        Ok(())
    }

    /// Takes the oldest chunk.
    pub(crate) fn pop(&mut self) -> io::Result<Option<Chunk>> {
        if self.front.is_empty() && self.behind > 0 {
            self.refill()?;
        }
        let chunk = self.front.pop_front();
        if let Some(chunk) = &chunk {
            self.front_cost -= cost(chunk);
        }
        Ok(chunk)
    }

    fn spill(&mut self) -> io::Result<()> {
        if self.segments.back().is_none_or(|last| last.written >= SEGMENT) {
            let file = tempfile::tempfile()?;
            self.segments.push_back(Segment { file, read: 0, written: 0 });
        }
        if let Some(last) = self.segments.back_mut() {
            last.file.seek(SeekFrom::Start(last.written))?;
            last.file.write_all(&self.tail)?;
            last.written += self.tail.len() as u64;
            self.tail.clear();
        }
        Ok(())
    }

    /// Takes the next block of what was written, or else the tail, into memory.
    fn refill(&mut self) -> io::Result<()> {
        let Some(first) = self.segments.front_mut() else {
            let tail = Bytes::from(std::mem::take(&mut self.tail));
            return self.take_records(tail).map(|_| ());
        };
        let length = (first.written - first.read).min(BLOCK as u64);
        let mut block = BytesMut::zeroed(usize::try_from(length).unwrap_or(BLOCK));
        first.file.seek(SeekFrom::Start(first.read))?;
        first.file.read_exact(&mut block)?;
        let taken = self.take_records(block.freeze())?;
        if let Some(first) = self.segments.front_mut() {
            first.read += taken;
            if first.read == first.written {
                self.segments.pop_front();
            }
        }
        Ok(())
    }

    /// Takes whole records, and says how many bytes those were: never none.
    fn take_records(&mut self, mut block: Bytes) -> io::Result<u64> {
        let before = block.len();
        while let Some((header, rest)) = block.split_first_chunk::<HEADER>() {
            let [stream, length @ ..] = *header;
            let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            if rest.len() < length {
                break;
            }
            block.advance(HEADER);
            let bytes = block.split_to(length);
            let chunk = if stream == 1 { Chunk::Stdout(bytes) } else { Chunk::Stderr(bytes) };
            self.front_cost += cost(&chunk);
            self.front.push_back(chunk);
        }
        let taken = (before - block.len()) as u64;
        if taken == 0 {
            return Err(io::Error::other("somebody wrote to our file"));
        }
        self.behind = self.behind.saturating_sub(taken);
        Ok(taken)
    }
}

fn cost(chunk: &Chunk) -> u64 {
    chunk.bytes().len() as u64 + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::{Chunk, Full, MEMORY, SEGMENT, Spool};

    fn chunk(number: usize, length: usize) -> Chunk {
        let bytes = vec![(number % 251) as u8; length].into();
        if number.is_multiple_of(3) { Chunk::Stderr(bytes) } else { Chunk::Stdout(bytes) }
    }

    /// Both streams as they would have been read.
    #[derive(Default, PartialEq)]
    struct Read(Vec<(bool, Vec<u8>)>);

    impl Read {
        fn take(&mut self, chunk: &Chunk) {
            let is_error = matches!(chunk, Chunk::Stderr(_));
            match self.0.last_mut() {
                Some((last, bytes)) if *last == is_error => bytes.extend_from_slice(chunk.bytes()),
                _ => self.0.push((is_error, chunk.bytes().to_vec())),
            }
        }
    }

    #[test]
    fn chunks_come_back_whole_and_in_order_however_they_are_read() {
        // How many chunks come before one is read.
        for stride in [1, 2, 7, 400] {
            let mut spool = Spool::with_limits(10_000, u64::MAX);
            let (mut kept, mut read) = (Read::default(), Read::default());
            for number in 0..2000 {
                let chunk = chunk(number, 1 + number * 7919 % 70_000 % (1 + number));
                kept.take(&chunk);
                spool.push(chunk).expect("kept");
                if number.is_multiple_of(stride) {
                    read.take(&spool.pop().expect("read").expect("something"));
                }
            }
            while let Some(chunk) = spool.pop().expect("read") {
                read.take(&chunk);
            }
            assert!(kept == read, "every {stride}");
            assert!(spool.segments.is_empty() && spool.behind == 0 && spool.front_cost == 0);
        }
    }

    #[test]
    fn memory_holds_a_little_and_files_are_given_back() {
        let mut spool = Spool::default();
        for number in 0..5000 {
            spool.push(chunk(number, 32_768)).expect("kept");
        }
        let in_memory: usize = spool.front.iter().map(|chunk| chunk.bytes().len()).sum();
        assert!(in_memory as u64 <= MEMORY && spool.tail.len() < 100_000);
        assert_eq!(spool.segments.len(), 3, "of {SEGMENT} bytes");
        for _ in 0..2500 {
            assert!(spool.pop().expect("read").is_some());
        }
        assert_eq!(spool.segments.len(), 2);
    }

    #[test]
    fn there_is_a_limit() {
        let mut spool = Spool::with_limits(1000, 5000);
        let full = (0..100).find_map(|number| spool.push(chunk(number, 500)).err());
        assert!(matches!(full, Some(Full::Limit(5000))), "{full:?}");
    }
}
