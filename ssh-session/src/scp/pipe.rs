//! The input and output of an `scp` that runs on the server.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;

use crate::{AsyncProcess, Chunk, Process, SshError};

/// The input and output of a command under way.
pub trait Pipe: Sync {
    /// The next piece of what it writes; `None` when it has ended.
    fn read(&self) -> impl Future<Output = Result<Option<Chunk>, SshError>> + Send;

    /// Writes all of this.
    fn write(&self, bytes: &[u8]) -> impl Future<Output = Result<(), SshError>> + Send;

    /// Ends its input.
    fn end(&self) -> impl Future<Output = Result<(), SshError>> + Send;
}

/// That of a command whose calls wait. Its futures are ready when they are first polled.
#[derive(Debug)]
pub struct Threads<'p, P>(pub &'p P);

/// That of a command for tasks.
#[derive(Debug)]
pub struct Tasks<'p, P>(pub &'p P);

impl<P: Process> Pipe for Threads<'_, P> {
    async fn read(&self) -> Result<Option<Chunk>, SshError> {
        self.0.read()
    }

    async fn write(&self, bytes: &[u8]) -> Result<(), SshError> {
        self.0.write(bytes)
    }

    async fn end(&self) -> Result<(), SshError> {
        self.0.close_stdin()
    }
}

impl<P: AsyncProcess> Pipe for Tasks<'_, P> {
    async fn read(&self) -> Result<Option<Chunk>, SshError> {
        self.0.read().await
    }

    async fn write(&self, bytes: &[u8]) -> Result<(), SshError> {
        self.0.write(bytes).await
    }

    async fn end(&self) -> Result<(), SshError> {
        self.0.close_stdin().await
    }
}

/// Runs a transfer over [`Threads`] and [`Inline`](crate::sftp::Inline) to its end: whatever it waits
/// for is waited for within.
pub(super) fn finish<T>(transfer: impl Future<Output = T>) -> T {
    let mut transfer = pin!(transfer);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match transfer.as_mut().poll(&mut context) {
            Poll::Ready(done) => return done,
            Poll::Pending => thread::yield_now(),
        }
    }
}

/// Reads what there is to read one byte or line at a time.
pub(super) struct Answers<'p, P> {
    pipe: &'p P,
    unread: bytes::Bytes,
    /// The beginning of what it wrote to standard error.
    pub(super) stderr: Vec<u8>,
}

/// As much of what it writes to standard error is kept.
const KEPT_STDERR: usize = 4096;

/// What the receiving side answers.
pub(super) enum Answer {
    Well,
    /// Not this file, and why.
    Refused(String),
    /// Nothing more.
    Fatal(String),
    /// It has ended.
    Ended,
}

impl<'p, P: Pipe> Answers<'p, P> {
    pub(super) fn new(pipe: &'p P) -> Self {
        Self { pipe, unread: bytes::Bytes::new(), stderr: Vec::new() }
    }

    /// The next piece of its output.
    pub(super) async fn piece(&mut self) -> Result<Option<bytes::Bytes>, SshError> {
        loop {
            match self.pipe.read().await? {
                Some(Chunk::Stdout(bytes)) => return Ok(Some(bytes)),
                Some(Chunk::Stderr(bytes)) => {
                    let room = KEPT_STDERR.saturating_sub(self.stderr.len());
                    self.stderr.extend_from_slice(&bytes[..bytes.len().min(room)]);
                }
                None => return Ok(None),
            }
        }
    }

    async fn byte(&mut self) -> Result<Option<u8>, SshError> {
        if self.unread.is_empty() {
            match self.piece().await? {
                Some(piece) => self.unread = piece,
                None => return Ok(None),
            }
        }
        Ok((!self.unread.is_empty()).then(|| self.unread.split_to(1)[0]))
    }

    /// The next answer.
    pub(super) async fn next(&mut self) -> Result<Answer, SshError> {
        let Some(first) = self.byte().await? else { return Ok(Answer::Ended) };
        if first == 0 {
            return Ok(Answer::Well);
        }
        let mut line = Vec::new();
        // What is no answer is a line, too, as of a shell that greets.
        if !matches!(first, 1 | 2) {
            line.push(first);
        }
        while line.len() < super::MAX_LINE {
            match self.byte().await? {
                Some(b'\n') | None => break,
                Some(byte) => line.push(byte),
            }
        }
        let text = crate::printable(&line);
        Ok(if first == 1 { Answer::Refused(text) } else { Answer::Fatal(text) })
    }
}

/// What to say where it ended badly, and nothing else tells.
pub(super) fn last_words(stderr: &[u8]) -> String {
    let text = crate::printable(stderr.trim_ascii());
    if text.is_empty() { "the server's scp ended in the middle".into() } else { text }
}
