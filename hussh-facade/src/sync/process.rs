//! A command whose output is read, and input written, while it runs.

use std::fmt;

use ssh_session::{Chunk, ExitStatus, Lines, Process as _, ProcessReader, ProcessWriter, Session};

use super::Library;
use crate::Error;

/// A command under way, started by [`Connection::spawn`](super::Connection::spawn). Two threads may
/// use it at once: one that writes while the other reads.
///
/// Dropped before its end, the command is killed as far as the server allows and its channel
/// closed; nothing waits for that. What it writes and nobody reads is kept within bounds: with
/// libssh2 the command waits (RFC 4254, 5.2), with russh too, as long as nobody else uses the
/// connection; one of which 64 MiB lie unread is stopped.
///
/// ```no_run
/// use hussh::{Chunk, Command, Connection};
///
/// let connection = Connection::builder("myserver.example.com", "deploy").agent().connect()?;
/// let process = connection.spawn(&Command::new("sort").stdin_piped())?;
/// process.write(b"pear\napple\n")?;
/// process.close_stdin()?;
/// while let Some(chunk) = process.read()? {
///     if let Chunk::Stdout(bytes) = chunk {
///         print!("{}", String::from_utf8_lossy(&bytes));
///     }
/// }
/// assert!(process.wait()?.success());
/// # Ok::<(), hussh::Error>(())
/// ```
pub struct Process<'s, L: Library> {
    inner: <L::Session as Session>::Process<'s>,
}

impl<'s, L: Library> Process<'s, L> {
    pub(super) fn new(inner: <L::Session as Session>::Process<'s>) -> Self {
        Self { inner }
    }

    /// The next piece of what it writes; `None` when it has ended and all of it was read.
    ///
    /// # Errors
    ///
    /// When the command's deadline passes or the connection is lost.
    pub fn read(&self) -> Result<Option<Chunk>, Error> {
        Ok(self.inner.read()?)
    }

    /// The lines of both of its streams, each as its end has come. [`Lines::max_line`] says how long
    /// they may be.
    ///
    /// ```no_run
    /// # use hussh::{Command, Connection};
    /// # let connection = Connection::builder("myserver.example.com", "deploy").agent().connect()?;
    /// let process = connection.spawn(&Command::new("journalctl --follow"))?;
    /// for line in process.lines() {
    ///     println!("{}", line?.to_text());
    /// }
    /// # Ok::<(), hussh::Error>(())
    /// ```
    pub fn lines(&self) -> Lines<'_, impl ssh_session::Process + use<'s, L>> {
        Lines::new(&self.inner)
    }

    /// Its standard output for whatever reads from [`std::io::Read`] or
    /// [`BufRead`](std::io::BufRead). Errors of that are the same, by their kinds, with an
    /// [`SshError`](crate::SshError) within.
    pub fn reader(&self) -> ProcessReader<'_, impl ssh_session::Process + use<'s, L>> {
        ProcessReader::new(&self.inner)
    }

    /// Its standard input for whatever writes to [`std::io::Write`]. Dropping the writer leaves the
    /// input open.
    pub fn writer(&self) -> ProcessWriter<'_, impl ssh_session::Process + use<'s, L>> {
        ProcessWriter::new(&self.inner)
    }

    /// Writes all of this to its standard input, waiting while the command reads nothing.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); and where its input is not piped
    /// ([`Command::stdin_piped`](crate::Command::stdin_piped)) or was closed.
    pub fn write(&self, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
        Ok(self.inner.write(bytes.as_ref())?)
    }

    /// Ends its standard input.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn close_stdin(&self) -> Result<(), Error> {
        Ok(self.inner.close_stdin()?)
    }

    /// Sends it a signal, by its name without `SIG`, such as `TERM`. Servers may ignore it.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); and where the name is none of RFC 4254's.
    pub fn signal(&self, name: &str) -> Result<(), Error> {
        Ok(self.inner.signal(name)?)
    }

    /// Ends its input, drops what it still writes, waits for its end and says how it came.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); and where the server does not say how it ended.
    pub fn wait(self) -> Result<ExitStatus, Error> {
        Ok(self.inner.wait()?)
    }
}

impl<L: Library> fmt::Debug for Process<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").finish_non_exhaustive()
    }
}
