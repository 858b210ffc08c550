//! Files by SCP, for tasks.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use ssh_session::scp::{Direction, Job, in_tasks};
use ssh_session::sftp::{Report, Transfer};

use super::AsyncConnection;
use crate::Error;

/// Files on servers without SFTP, by their `scp`: [`AsyncConnection::scp`]. Where there is SFTP,
/// [`AsyncSftp`](super::AsyncSftp) does all of this, faster, and more.
///
/// ```no_run
/// # async fn run(connection: hussh::AsyncConnection) -> Result<(), hussh::Error> {
/// use hussh::Transfer;
///
/// let (scp, how) = (connection.scp(), Transfer::new());
/// scp.download("/cfg/startup.cfg", "startup.cfg", &how).await?.all_or_error()?;
/// # Ok(())
/// # }
/// ```
pub struct AsyncScp<'c> {
    connection: &'c AsyncConnection,
    timeout: Option<Duration>,
}

impl AsyncConnection {
    /// Files on servers without SFTP. Each transfer is a command of its own.
    pub fn scp(&self) -> AsyncScp<'_> {
        AsyncScp { connection: self, timeout: None }
    }
}

impl AsyncScp<'_> {
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
    pub async fn download(
        &self,
        remote: impl AsRef<Path>,
        local: impl AsRef<Path>,
        transfer: &Transfer,
    ) -> Result<Report, Error> {
        self.run(Direction::Download, remote.as_ref(), local.as_ref(), transfer).await
    }

    /// Transfers a file, or a directory with all that is in it, from this machine to the server.
    /// `remote` is what it is to be named there; the directory that it is in has to be there. Links are
    /// followed. A file whose upload fails stays there in part, and so does one that becomes shorter
    /// meanwhile, which ends the transfer.
    ///
    /// # Errors
    ///
    /// As [`download`](Self::download).
    pub async fn upload(
        &self,
        local: impl AsRef<Path>,
        remote: impl AsRef<Path>,
        transfer: &Transfer,
    ) -> Result<Report, Error> {
        self.run(Direction::Upload, remote.as_ref(), local.as_ref(), transfer).await
    }

    async fn run(
        &self,
        direction: Direction,
        remote: &Path,
        local: &Path,
        transfer: &Transfer,
    ) -> Result<Report, Error> {
        let job = Job { target: self.connection.target(), remote, local, transfer };
        let session = self.connection.session();
        let offload = session.offload();
        let done = in_tasks(session, &offload, direction, job, self.timeout).await;
        self.connection.learn(done)
    }
}

impl fmt::Debug for AsyncScp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncScp")
            .field("target", self.connection.target())
            .field("timeout", &self.timeout)
            .finish()
    }
}
