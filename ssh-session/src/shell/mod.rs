//! Interactive shells: what is typed into them, and reading until a prompt has come.
//!
//! A shell is a [`Process`] whose request is [`Command::shell`]. What is added here is a [`Buffer`]
//! between the process and its reader, and the decision what to do next: [`Reading`], which knows
//! neither I/O nor a clock. [`Shell`] runs it for threads; tasks have a timer of their own.

mod buffer;
mod pattern;
mod reading;

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use buffer::{Buffer, Match};
pub use pattern::Pattern;
pub use reading::{ReadUntil, Reading, Step};

use crate::{Command, ExitStatus, Process, Pty, SshError};

/// What an interactive shell is to be like.
#[derive(Debug, Clone)]
pub struct ShellOptions {
    command: Command,
    max_buffer: usize,
    timeout: Duration,
}

impl ShellOptions {
    /// A shell in an `xterm` of 80 × 24.
    pub fn new() -> Self {
        Self {
            command: Command::shell().pty(Pty::default()),
            max_buffer: 1 << 20,
            timeout: Duration::from_secs(30),
        }
    }

    /// The terminal; `None` for none: then nothing is echoed, and shells show no prompt.
    #[must_use]
    pub fn pty(mut self, pty: impl Into<Option<Pty>>) -> Self {
        self.command = self.command.terminal_or_none(pty.into());
        self
    }

    /// Sets an environment variable, as [`Command::env`].
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.command = self.command.env(name, value);
        self
    }

    /// Once so many bytes wait to be taken, no more are read: 1 and up, 1 MiB by default. A pattern
    /// is looked for in as much.
    #[must_use]
    pub fn max_buffer(mut self, bytes: usize) -> Self {
        self.max_buffer = bytes.max(1);
        self
    }

    /// How long starting the shell may take, and each time something is sent; 30 s by default.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What is asked of the server.
    pub fn command(&self) -> Command {
        self.command.clone().timeout(self.timeout)
    }

    /// How long each time something is sent may take.
    pub fn send_timeout(&self) -> Duration {
        self.timeout
    }

    /// What is kept until it is taken.
    pub fn buffer(&self) -> Buffer {
        Buffer::new(self.max_buffer)
    }
}

impl Default for ShellOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// An interactive shell, for threads. Dropped before its end, it is given up, as its process.
pub struct Shell<P> {
    process: P,
    buffer: Buffer,
    send_timeout: Duration,
}

impl<P: Process> Shell<P> {
    /// Over the process that [`ShellOptions::command`] asked for.
    pub fn new(process: P, options: &ShellOptions) -> Self {
        Self { process, buffer: options.buffer(), send_timeout: options.send_timeout() }
    }

    /// Sends this, as if it were typed: a line ends with `\n`.
    ///
    /// # Errors
    ///
    /// [`SshError::Timeout`] where the other side takes nothing; the shell is given up then. As
    /// [`Process::write`].
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), SshError> {
        let sent = self.process.write_within(bytes, self.send_timeout);
        sent.inspect_err(|error| self.buffer.sending_failed(error))
    }

    /// What is there now, or comes first within this time: empty where nothing does, `None` when the
    /// shell has ended and all of it was read.
    ///
    /// # Errors
    ///
    /// As [`Process::read`], once all that came before was read.
    pub fn read(&mut self, timeout: Duration) -> Result<Option<Bytes>, SshError> {
        let step = self.run(Reading::anything(timeout, Instant::now()));
        self.buffer.taken(step)
    }

    /// Reads until a pattern is found, for so long at most. What was read and is not part of a match,
    /// or before it, is kept for the next call.
    ///
    /// # Errors
    ///
    /// As [`Process::read`].
    pub fn read_until(
        &mut self,
        pattern: &Pattern,
        timeout: Duration,
    ) -> Result<ReadUntil, SshError> {
        self.run(Reading::until(pattern, timeout, Instant::now()))
    }

    /// What was read and not taken yet.
    pub fn buffered(&self) -> &[u8] {
        self.buffer.bytes()
    }

    /// Says that its terminal has another size now, in characters and lines.
    ///
    /// # Errors
    ///
    /// As [`Process::resize`].
    pub fn resize(&self, columns: u32, rows: u32) -> Result<(), SshError> {
        self.process.resize(columns, rows)
    }

    /// Sends it a signal, as [`Process::signal`]. Many servers know none for shells; in a terminal
    /// `\x03` is what interrupts.
    ///
    /// # Errors
    ///
    /// As [`Process::signal`].
    pub fn signal(&self, name: &str) -> Result<(), SshError> {
        self.process.signal(name)
    }

    /// Ends its input. A shell without a terminal ends at that.
    ///
    /// # Errors
    ///
    /// As [`Process::close_stdin`].
    pub fn close_stdin(&self) -> Result<(), SshError> {
        self.process.close_stdin()
    }

    /// Ends its input, drops what it still writes, waits for its end, so long at most, and says how
    /// it came. In a terminal, send `exit` first: many shells don't end with their input there.
    ///
    /// # Errors
    ///
    /// As [`Process::wait_within`].
    pub fn wait(self, timeout: Duration) -> Result<ExitStatus, SshError> {
        self.process.wait_within(timeout)
    }

    fn run(&mut self, mut reading: Reading<'_>) -> Result<ReadUntil, SshError> {
        loop {
            match reading.step(&mut self.buffer, Instant::now())? {
                Step::Done(found) => return Ok(found),
                Step::Read(patience) => {
                    let read = self.process.read_within(patience);
                    reading.push(&mut self.buffer, read, Instant::now());
                }
            }
        }
    }
}

impl<P> fmt::Debug for Shell<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shell").field("buffer", &self.buffer).finish_non_exhaustive()
    }
}
