//! Files on the server, for threads.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ssh_session::sftp::{
    self, Bounds, Channel, Client, Entry, FileSystem, Metadata, OpenFile, OpenOptions, Report,
    Transfer,
};
use ssh_session::{Session, SshError, sftp_verbs};

use super::{Connection, Library};
use crate::Error;

/// Files on the server, over SFTP: [`Connection::sftp`].
///
/// Requests are pipelined, and the files of a directory are in flight together. The SFTP channel is
/// kept with the connection, also over loans by a pool, so that only its first use sets it up. Any
/// number of threads may use it at once.
///
/// ```no_run
/// use hussh::{Connection, Transfer};
///
/// let connection = Connection::builder("myserver.example.com", "deploy").agent().connect()?;
/// let sftp = connection.sftp()?;
/// sftp.write("motd", "be nice\n")?;
/// let report = sftp.upload("site", "/srv/site", &Transfer::new())?;
/// for entry in report.failed() {
///     eprintln!("{}: {:?}", entry.path.display(), entry.outcome);
/// }
/// # Ok::<(), hussh::Error>(())
/// ```
pub struct Sftp<'c, L: Library> {
    connection: &'c Connection<L>,
    bounds: Bounds,
}

type FileChannel<L> = Channel<<<L as Library>::Session as Session>::KeptProcess>;

impl<'c, L: Library> Sftp<'c, L> {
    pub(super) fn new(connection: &'c Connection<L>, bounds: Bounds) -> Result<Self, Error> {
        let sftp = Self { connection, bounds };
        sftp.channel()?;
        Ok(sftp)
    }

    /// Sets a deadline for each call. Default: none; see [`Bounds::idle`].
    #[must_use]
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.bounds.deadline = timeout.into();
        self
    }

    /// Sets what each call may cost.
    #[must_use]
    pub fn bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    fn channel(&self) -> Result<Arc<FileChannel<L>>, Error> {
        self.connection.learn(sftp::open(self.connection.session(), &self.bounds))
    }

    /// Lets go of a channel that is no good after that, so that it takes none of the server's slots.
    pub(super) fn run<T>(
        &self,
        operation: impl AsyncFnOnce(&Client) -> Result<T, SshError>,
    ) -> Result<T, Error> {
        let channel = self.channel()?;
        let client = channel.client(self.bounds);
        let result = channel.run(&self.bounds, operation(&client));
        if result.is_err() && !channel.is_good() {
            self.connection.session().files().drop_kept(&channel);
        }
        Ok(result?)
    }
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),* $(,)?) -> $result:ty;)*) => {
        /// The operations. Relative paths start where the server does, in the user's home as a rule.
        ///
        /// Errors that are about a file are [`SshError::File`]: whose, which, and what kind.
        impl<L: Library> Sftp<'_, L> {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                ///
                /// Where the server refuses it, the connection ends, or time is up.
                pub fn $name(&self, $($argument: $type),*) -> Result<$result, Error> {
                    self.run(async |client| client.$name($($argument),*).await)
                }
            )*
        }
    };
}

sftp_verbs!(methods);

impl<L: Library> fmt::Debug for Sftp<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sftp")
            .field("target", self.connection.target())
            .field("bounds", &self.bounds)
            .finish()
    }
}
