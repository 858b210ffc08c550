//! A command's streams for `std::io`.

use std::fmt;
use std::io::{self, BufRead, Read, Write};

use bytes::{Buf as _, Bytes};

use super::keep;
use crate::{Chunk, Process};

/// Reads a command's standard output. Of what it writes to standard error meanwhile the first 64 KiB
/// are kept, and the rest is dropped.
pub struct ProcessReader<'p, P> {
    process: &'p P,
    left: Bytes,
    stderr: Vec<u8>,
}

/// Writes to a command's standard input, which has to be piped. What is written is sent before the
/// call returns, which waits while the command reads nothing. Dropping it leaves the input open.
pub struct ProcessWriter<'p, P> {
    process: &'p P,
}

impl<'p, P> ProcessReader<'p, P> {
    /// Reads a process, from here on.
    pub fn new(process: &'p P) -> Self {
        Self { process, left: Bytes::new(), stderr: Vec::new() }
    }

    /// What came on standard error so far.
    pub fn stderr(&self) -> &[u8] {
        &self.stderr
    }
}

impl<'p, P: Process> ProcessWriter<'p, P> {
    /// Writes to a process.
    pub fn new(process: &'p P) -> Self {
        Self { process }
    }

    /// Ends standard input.
    ///
    /// # Errors
    ///
    /// As [`Process::close_stdin`].
    pub fn close(self) -> io::Result<()> {
        Ok(self.process.close_stdin()?)
    }
}

impl<P: Process> Read for ProcessReader<'_, P> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl<P: Process> BufRead for ProcessReader<'_, P> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.left.is_empty() {
            match self.process.read()? {
                Some(Chunk::Stdout(bytes)) => self.left = bytes,
                Some(Chunk::Stderr(bytes)) => keep(&mut self.stderr, &bytes),
                None => break,
            }
        }
        Ok(&self.left)
    }

    fn consume(&mut self, count: usize) {
        self.left.advance(count.min(self.left.len()));
    }
}

impl<P: Process> Write for ProcessWriter<'_, P> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.process.write(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<P> fmt::Debug for ProcessReader<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessReader").finish_non_exhaustive()
    }
}

impl<P> fmt::Debug for ProcessWriter<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessWriter").finish_non_exhaustive()
    }
}
