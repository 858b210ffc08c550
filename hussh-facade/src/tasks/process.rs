//! A command whose output is read, and input written, while it runs.

use std::fmt;

use backend_russh::RusshSession;
use ssh_session::{
    AsyncLines, AsyncProcess as _, AsyncProcessReader, AsyncProcessWriter, AsyncSession, Chunk,
    ExitStatus,
};

use crate::Error;

/// A command under way, started by [`AsyncConnection::spawn`](super::AsyncConnection::spawn). It
/// may be written to and read at once, by `tokio::join!` for instance.
///
/// Dropped before its end, the command is killed as far as the server allows and its channel
/// closed; nothing waits for that. What it writes and nobody reads is kept in memory up to a bound,
/// and beyond it the command waits, as long as nobody else uses the connection.
///
/// ```no_run
/// use hussh::{AsyncConnection, Chunk, Command};
///
/// # async fn run() -> Result<(), hussh::Error> {
/// let builder = AsyncConnection::builder("myserver.example.com", "deploy").agent();
/// let connection = builder.connect().await?;
/// let process = connection.spawn(&Command::new("sort").stdin_piped()).await?;
/// process.write(b"pear\napple\n").await?;
/// process.close_stdin().await?;
/// while let Some(chunk) = process.read().await? {
///     if let Chunk::Stdout(bytes) = chunk {
///         print!("{}", String::from_utf8_lossy(&bytes));
///     }
/// }
/// assert!(process.wait().await?.success());
/// # Ok(())
/// # }
/// ```
pub struct AsyncProcess<'s> {
    inner: <RusshSession as AsyncSession>::Process<'s>,
}

impl<'s> AsyncProcess<'s> {
    pub(super) fn new(inner: <RusshSession as AsyncSession>::Process<'s>) -> Self {
        Self { inner }
    }

    /// The next piece of what it writes; `None` when it has ended and all of it was read.
    ///
    /// # Errors
    ///
    /// When the command's deadline passes or the connection is lost.
    pub async fn read(&self) -> Result<Option<Chunk>, Error> {
        Ok(self.inner.read().await?)
    }

    /// The lines of both of its streams, each as its end has come. [`AsyncLines::max_line`] says how
    /// long they may be.
    ///
    /// ```no_run
    /// # async fn run(connection: hussh::AsyncConnection) -> Result<(), hussh::Error> {
    /// # use hussh::Command;
    /// let process = connection.spawn(&Command::new("journalctl --follow")).await?;
    /// let mut lines = process.lines();
    /// while let Some(line) = lines.next().await? {
    ///     println!("{}", line.to_text());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn lines(&self) -> AsyncLines<'_, impl ssh_session::AsyncProcess + use<'s>> {
        AsyncLines::new(&self.inner)
    }

    /// Its standard output for whatever reads from tokio's `AsyncRead`. Errors of that are the same,
    /// by their kinds, with an [`SshError`](crate::SshError) within.
    pub fn reader(&self) -> AsyncProcessReader<'_, impl ssh_session::AsyncProcess + use<'s>> {
        AsyncProcessReader::new(&self.inner)
    }

    /// Its standard input for whatever writes to tokio's `AsyncWrite`: shutting the writer down ends
    /// the input, dropping it leaves it open.
    pub fn writer(&self) -> AsyncProcessWriter<'_, impl ssh_session::AsyncProcess + use<'s>> {
        AsyncProcessWriter::new(&self.inner)
    }

    /// Writes all of this to its standard input, waiting while the command reads nothing.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); and where its input is not piped
    /// ([`Command::stdin_piped`](crate::Command::stdin_piped)) or was closed.
    pub async fn write(&self, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
        Ok(self.inner.write(bytes.as_ref()).await?)
    }

    /// Ends its standard input.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub async fn close_stdin(&self) -> Result<(), Error> {
        Ok(self.inner.close_stdin().await?)
    }

    /// Sends it a signal, by its name without `SIG`, such as `TERM`. Servers may ignore it.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); and where the name is none of RFC 4254's.
    pub async fn signal(&self, name: &str) -> Result<(), Error> {
        Ok(self.inner.signal(name).await?)
    }

    /// Ends its input, drops what it still writes, waits for its end and says how it came.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); and where the server does not say how it ended.
    pub async fn wait(self) -> Result<ExitStatus, Error> {
        Ok(self.inner.wait().await?)
    }
}

impl fmt::Debug for AsyncProcess<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncProcess").finish_non_exhaustive()
    }
}
