//! Interactive shells, for threads.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use ssh_session::shell::{self, Pattern, ReadUntil, ShellOptions};
use ssh_session::{ExitStatus, Session};

use super::Library;
use crate::Error;

/// An interactive shell, started by [`Connection::shell`](super::Connection::shell): the user's own,
/// or whatever a device talks to its users with.
///
/// Dropped before its end, it is killed as far as the server allows and its channel closed; nothing
/// waits for that. A connection on loan can't be given back before.
///
/// What is sent is written to no log, and neither is what comes back. In a terminal, what is sent is
/// echoed by most shells, and so it is read again.
///
/// ```no_run
/// use std::time::Duration;
///
/// use hussh::{Connection, Pattern, ReadUntil, ShellOptions};
///
/// let connection = Connection::builder("switch.example.com", "admin").agent().connect()?;
/// let mut shell = connection.shell(&ShellOptions::new())?;
/// let prompt = Pattern::regex(r"[#>] $")?;
/// let patience = Duration::from_secs(10);
/// let _ = shell.read_until(&prompt, patience)?;
/// shell.send("show version\n")?;
/// if let ReadUntil::Match(shown) = shell.read_until(&prompt, patience)? {
///     println!("{}", shown.before_text());
/// }
/// shell.send("exit\n")?;
/// println!("{}", shell.wait(patience)?);
/// # Ok::<(), hussh::Error>(())
/// ```
pub struct Shell<'s, L: Library> {
    inner: shell::Shell<<L::Session as Session>::Process<'s>>,
}

impl<'s, L: Library> Shell<'s, L> {
    pub(super) fn new(
        process: <L::Session as Session>::Process<'s>,
        options: &ShellOptions,
    ) -> Self {
        Self { inner: shell::Shell::new(process, options) }
    }

    /// Sends this, as if it were typed: a line ends with `\n`. Waits while the other side takes
    /// nothing, as long as [`ShellOptions::timeout`] says; the shell is given up after that.
    ///
    /// # Errors
    ///
    /// Where that time is over, or the connection lost.
    pub fn send(&mut self, text: impl AsRef<[u8]>) -> Result<(), Error> {
        Ok(self.inner.send(text.as_ref())?)
    }

    /// What is there now, or comes first within this time: empty where nothing does, `None` when the
    /// shell has ended and all of it was read. `Duration::ZERO` never waits.
    ///
    /// # Errors
    ///
    /// Where the connection is lost, once all that came before was read.
    pub fn read(&mut self, timeout: Duration) -> Result<Option<Bytes>, Error> {
        Ok(self.inner.read(timeout)?)
    }

    /// Reads until a pattern is found, for so long at most. A match is cut off with all that came
    /// before it; what follows it, and all that was read where there is none, is kept for the next
    /// call.
    ///
    /// # Errors
    ///
    /// Where the connection is lost.
    pub fn read_until(&mut self, pattern: &Pattern, timeout: Duration) -> Result<ReadUntil, Error> {
        Ok(self.inner.read_until(pattern, timeout)?)
    }

    /// What was read and not taken yet.
    pub fn buffered(&self) -> &[u8] {
        self.inner.buffered()
    }

    /// Says that its terminal has another size now, in characters and lines.
    ///
    /// # Errors
    ///
    /// Where the connection is lost.
    pub fn resize(&self, columns: u32, rows: u32) -> Result<(), Error> {
        Ok(self.inner.resize(columns, rows)?)
    }

    /// Sends it a signal, by its name without `SIG`. Many servers know none for shells; in a terminal
    /// `\x03` interrupts.
    ///
    /// # Errors
    ///
    /// Where the connection is lost, or the name is none of RFC 4254's.
    pub fn signal(&self, name: &str) -> Result<(), Error> {
        Ok(self.inner.signal(name)?)
    }

    /// Ends its input. A shell without a terminal ends at that.
    ///
    /// # Errors
    ///
    /// Where the connection is lost.
    pub fn close_stdin(&self) -> Result<(), Error> {
        Ok(self.inner.close_stdin()?)
    }

    /// Ends its input, drops what it still writes, waits for its end, so long at most, and says how
    /// it came. In a terminal, send `exit` first: many shells don't end with their input there.
    ///
    /// # Errors
    ///
    /// Where it has not ended in time, and is given up; where the connection is lost, or the server
    /// does not say how it ended.
    pub fn wait(self, timeout: Duration) -> Result<ExitStatus, Error> {
        Ok(self.inner.wait(timeout)?)
    }
}

impl<L: Library> fmt::Debug for Shell<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
