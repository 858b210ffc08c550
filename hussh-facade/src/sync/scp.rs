//! Files by SCP, for threads.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use ssh_session::scp::{Direction, Job, on_threads};
use ssh_session::sftp::{Report, Transfer};

use super::{Connection, Library};
use crate::Error;

/// Files on servers without SFTP, by their `scp`: [`Connection::scp`]. Where there is SFTP,
/// [`Sftp`](super::Sftp) does all of this, faster, and more.
///
/// ```no_run
/// use hussh::{Connection, Transfer};
///
/// let connection = Connection::builder("router.example.com", "admin").agent().connect()?;
/// connection.scp().download("/cfg/startup.cfg", "startup.cfg", &Transfer::new())?.all_or_error()?;
/// # Ok::<(), hussh::Error>(())
/// ```
pub struct Scp<'c, L: Library> {
    connection: &'c Connection<L>,
    timeout: Option<Duration>,
}

impl<L: Library> Connection<L> {
    /// Files on servers without SFTP. Each transfer is a command of its own.
    pub fn scp(&self) -> Scp<'_, L> {
        Scp { connection: self, timeout: None }
    }
}

impl<L: Library> Scp<'_, L> {
    /// Sets a deadline for each transfer. Default: none.
    #[must_use]
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
        self
    }

    /// Transfers a file, or a directory with all that is in it, from the server to this machine.
    /// `local` is what it is to be named here. Each file gets its name when it is whole; nothing is
    /// written outside `local`, whatever the server says. Links are followed there.
    ///
    /// # Errors
    ///
    /// Where there is no such file, no `scp`, the connection ends, or time is up. What else goes wrong
    /// with a file is in the [`Report`].
    pub fn download(
        &self,
        remote: impl AsRef<Path>,
        local: impl AsRef<Path>,
        transfer: &Transfer,
    ) -> Result<Report, Error> {
        self.run(Direction::Download, remote.as_ref(), local.as_ref(), transfer)
    }

    /// Transfers a file, or a directory with all that is in it, from this machine to the server.
    /// `remote` is what it is to be named there; the directory that it is in has to be there. Links are
    /// followed. A file whose upload fails stays there in part, and so does one that becomes shorter
    /// meanwhile, which ends the transfer.
    ///
    /// # Errors
    ///
    /// As [`download`](Self::download).
    pub fn upload(
        &self,
        local: impl AsRef<Path>,
        remote: impl AsRef<Path>,
        transfer: &Transfer,
    ) -> Result<Report, Error> {
        self.run(Direction::Upload, remote.as_ref(), local.as_ref(), transfer)
    }

    fn run(
        &self,
        direction: Direction,
        remote: &Path,
        local: &Path,
        transfer: &Transfer,
    ) -> Result<Report, Error> {
        let job = Job { target: self.connection.target(), remote, local, transfer };
        let session = self.connection.session();
        self.connection.learn(on_threads(session, direction, job, self.timeout))
    }
}

impl<L: Library> fmt::Debug for Scp<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scp")
            .field("target", self.connection.target())
            .field("timeout", &self.timeout)
            .finish()
    }
}
