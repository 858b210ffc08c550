//! Interactive shells, for tasks.

use std::fmt;
use std::time::{Duration, Instant};

use backend_russh::RusshSession;
use bytes::Bytes;
use ssh_session::shell::{Buffer, Pattern, ReadUntil, Reading, ShellOptions, Step};
use ssh_session::{AsyncProcess as _, AsyncSession, ExitStatus, Phase, SshError, Target};
use tokio::time::timeout;

use super::AsyncConnection;
use crate::Error;

/// An interactive shell, started by [`AsyncConnection::shell`]: the user's own, or whatever a device
/// talks to its users with.
///
/// Dropped before its end, it is killed as far as the server allows and its channel closed; nothing
/// waits for that. A connection on loan can't be given back before. What is sent is written to no
/// log, and neither is what comes back. A future that is dropped loses nothing of what was read; what
/// was being sent may have been sent in part.
///
/// ```no_run
/// use std::time::Duration;
///
/// use hussh::{AsyncConnection, Pattern, ReadUntil, ShellOptions};
///
/// # async fn run() -> Result<(), hussh::Error> {
/// let builder = AsyncConnection::builder("switch.example.com", "admin").agent();
/// let connection = builder.connect().await?;
/// let mut shell = connection.shell(&ShellOptions::new()).await?;
/// let prompt = Pattern::regex(r"[#>] $")?;
/// let patience = Duration::from_secs(10);
/// let _ = shell.read_until(&prompt, patience).await?;
/// shell.send("show version\n").await?;
/// if let ReadUntil::Match(shown) = shell.read_until(&prompt, patience).await? {
///     println!("{}", shown.before_text());
/// }
/// # Ok(())
/// # }
/// ```
pub struct AsyncShell<'s> {
    process: <RusshSession as AsyncSession>::Process<'s>,
    buffer: Buffer,
    send_timeout: Duration,
    target: Target,
}

impl<'s> AsyncShell<'s> {
    pub(super) async fn start(
        connection: &'s AsyncConnection,
        options: &ShellOptions,
    ) -> Result<Self, Error> {
        let process = connection.learn(connection.session().spawn(&options.command()).await)?;
        let (buffer, send_timeout) = (options.buffer(), options.send_timeout());
        Ok(Self { process, buffer, send_timeout, target: connection.target().clone() })
    }

    /// Sends this, as if it were typed: a line ends with `\n`. Waits while the other side takes
    /// nothing, as long as [`ShellOptions::timeout`] says; the shell is of no more use after that.
    ///
    /// # Errors
    ///
    /// Where that time is over, or the connection lost.
    pub async fn send(&mut self, text: impl AsRef<[u8]>) -> Result<(), Error> {
        let sent = within(&self.target, self.send_timeout, self.process.write(text.as_ref())).await;
        Ok(sent.inspect_err(|error| self.buffer.sending_failed(error))?)
    }

    /// What is there now, or comes first within this time: empty where nothing does, `None` when the
    /// shell has ended and all of it was read. `Duration::ZERO` never waits.
    ///
    /// # Errors
    ///
    /// Where the connection is lost, once all that came before was read.
    pub async fn read(&mut self, timeout: Duration) -> Result<Option<Bytes>, Error> {
        let read = self.run(Reading::anything(timeout, Instant::now())).await;
        Ok(self.buffer.taken(read)?)
    }

    /// Reads until a pattern is found, for so long at most. A match is cut off with all that came
    /// before it; what follows it, and all that was read where there is none, is kept for the next
    /// call.
    ///
    /// # Errors
    ///
    /// Where the connection is lost.
    pub async fn read_until(
        &mut self,
        pattern: &Pattern,
        timeout: Duration,
    ) -> Result<ReadUntil, Error> {
        Ok(self.run(Reading::until(pattern, timeout, Instant::now())).await?)
    }

    /// What was read and not taken yet.
    pub fn buffered(&self) -> &[u8] {
        self.buffer.bytes()
    }

    /// Says that its terminal has another size now, in characters and lines.
    ///
    /// # Errors
    ///
    /// Where the connection is lost.
    pub async fn resize(&self, columns: u32, rows: u32) -> Result<(), Error> {
        Ok(self.process.resize(columns, rows).await?)
    }

    /// Sends it a signal, by its name without `SIG`. Many servers know none for shells; in a terminal
    /// `\x03` interrupts.
    ///
    /// # Errors
    ///
    /// Where the connection is lost, or the name is none of RFC 4254's.
    pub async fn signal(&self, name: &str) -> Result<(), Error> {
        Ok(self.process.signal(name).await?)
    }

    /// Ends its input. A shell without a terminal ends at that.
    ///
    /// # Errors
    ///
    /// Where the connection is lost.
    pub async fn close_stdin(&self) -> Result<(), Error> {
        Ok(self.process.close_stdin().await?)
    }

    /// Ends its input, drops what it still writes, waits for its end, so long at most, and says how
    /// it came. In a terminal, send `exit` first: many shells don't end with their input there.
    ///
    /// # Errors
    ///
    /// Where it has not ended in time, and is given up; where the connection is lost, or the server
    /// does not say how it ended.
    pub async fn wait(self, timeout: Duration) -> Result<ExitStatus, Error> {
        Ok(within(&self.target, timeout, self.process.wait()).await?)
    }

    async fn run(&mut self, mut reading: Reading<'_>) -> Result<ReadUntil, SshError> {
        loop {
            match reading.step(&mut self.buffer, Instant::now())? {
                Step::Done(found) => return Ok(found),
                Step::Read(patience) => {
                    let read = within(&self.target, patience, self.process.read()).await;
                    reading.push(&mut self.buffer, read, Instant::now());
                }
            }
        }
    }
}

/// A call within this time.
async fn within<T>(
    target: &Target,
    patience: Duration,
    call: impl Future<Output = Result<T, SshError>>,
) -> Result<T, SshError> {
    timeout(patience, call).await.unwrap_or_else(|_| {
        Err(SshError::Timeout {
            target: target.clone(),
            phase: Phase::Run,
            elapsed: patience,
            partial: None,
            maybe_started: true,
        })
    })
}

impl fmt::Debug for AsyncShell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncShell").field("buffer", &self.buffer).finish_non_exhaustive()
    }
}
