//! A command's streams for tokio.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::keep;
use crate::{AsyncProcess, Chunk, SshError};

/// As much of a write is taken at once.
const PIECE: usize = 64 * 1024;

type Work<'p, T> = Pin<Box<dyn Future<Output = Result<T, SshError>> + Send + 'p>>;

/// Reads a command's standard output. Of what it writes to standard error meanwhile the first 64 KiB
/// are kept, and the rest is dropped.
pub struct AsyncProcessReader<'p, P> {
    process: &'p P,
    reading: Option<Work<'p, Option<Chunk>>>,
    left: Bytes,
    stderr: Vec<u8>,
}

/// Writes to a command's standard input, which has to be piped: shutting it down ends the input,
/// dropping it leaves it open. One piece of what is written, 64 KiB at most, may be on its way when a
/// write is done; `flush` waits until it is taken.
pub struct AsyncProcessWriter<'p, P> {
    process: &'p P,
    writing: Option<Work<'p, ()>>,
    closing: bool,
}

impl<'p, P> AsyncProcessReader<'p, P> {
    /// Reads a process, from here on.
    pub fn new(process: &'p P) -> Self {
        Self { process, reading: None, left: Bytes::new(), stderr: Vec::new() }
    }

    /// What came on standard error so far.
    pub fn stderr(&self) -> &[u8] {
        &self.stderr
    }
}

impl<'p, P> AsyncProcessWriter<'p, P> {
    /// Writes to a process.
    pub fn new(process: &'p P) -> Self {
        Self { process, writing: None, closing: false }
    }

    fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(writing) = &mut self.writing else { return Poll::Ready(Ok(())) };
        let written = ready!(writing.as_mut().poll(context));
        self.writing = None;
        Poll::Ready(written.map_err(io::Error::from))
    }
}

impl<P: AsyncProcess> AsyncRead for AsyncProcessReader<'_, P> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.left.is_empty() && buffer.remaining() > 0 {
            let process = this.process;
            let reading = this.reading.get_or_insert_with(|| Box::pin(process.read()));
            let read = ready!(reading.as_mut().poll(context));
            this.reading = None;
            match read? {
                Some(Chunk::Stdout(bytes)) => this.left = bytes,
                Some(Chunk::Stderr(bytes)) => keep(&mut this.stderr, &bytes),
                None => break,
            }
        }
        let count = this.left.len().min(buffer.remaining());
        buffer.put_slice(&this.left[..count]);
        this.left.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<P: AsyncProcess> AsyncWrite for AsyncProcessWriter<'_, P> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_written(context))?;
        let process = this.process;
        let piece = Bytes::copy_from_slice(&bytes[..bytes.len().min(PIECE)]);
        let count = piece.len();
        this.writing = Some(Box::pin(async move { process.write(&piece).await }));
        match this.poll_written(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(count)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_written(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_written(context))?;
        if !std::mem::replace(&mut this.closing, true) {
            let process = this.process;
            this.writing = Some(Box::pin(process.close_stdin()));
        }
        this.poll_written(context)
    }
}

impl<P> fmt::Debug for AsyncProcessReader<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncProcessReader").finish_non_exhaustive()
    }
}

impl<P> fmt::Debug for AsyncProcessWriter<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncProcessWriter").finish_non_exhaustive()
    }
}
