//! Files on the server, for tasks.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use backend_russh::FileChannel;
use ssh_session::sftp::{
    Bounds, Entry, FileSystem, Metadata, OpenFile, OpenOptions, Report, Transfer,
};
use ssh_session::{SshError, sftp_verbs};

use super::AsyncConnection;
use crate::Error;

/// Files on the server, over SFTP: [`AsyncConnection::sftp`].
///
/// Requests are pipelined, and the files of a directory are in flight together; so are the calls of
/// any number of tasks. A future that is dropped ends its call, and nothing else. The SFTP channel
/// is kept with the connection, also over loans by a pool, so that only its first use sets it up.
///
/// ```no_run
/// use hussh::{AsyncConnection, Transfer};
///
/// # async fn run() -> Result<(), hussh::Error> {
/// let builder = AsyncConnection::builder("myserver.example.com", "deploy").agent();
/// let connection = builder.connect().await?;
/// let sftp = connection.sftp().await?;
/// sftp.write("motd", "be nice\n").await?;
/// let report = sftp.download("/var/log", "logs", &Transfer::new()).await?;
/// println!("{} files, {} bytes", report.files(), report.bytes());
/// # Ok(())
/// # }
/// ```
pub struct AsyncSftp<'c> {
    connection: &'c AsyncConnection,
    bounds: Bounds,
}

impl<'c> AsyncSftp<'c> {
    pub(super) async fn new(
        connection: &'c AsyncConnection,
        bounds: Bounds,
    ) -> Result<Self, Error> {
        let sftp = Self { connection, bounds };
        sftp.channel().await?;
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

    pub(super) async fn channel(&self) -> Result<Arc<FileChannel>, Error> {
        self.connection.learn(self.connection.session().files(&self.bounds).await)
    }

    /// Lets go of a channel that is no good, so that it takes none of the server's slots.
    pub(super) fn learn<T>(
        &self,
        result: Result<T, SshError>,
        channel: &Arc<FileChannel>,
    ) -> Result<T, Error> {
        if result.is_err() {
            self.connection.session().drop_bad_files(channel);
        }
        Ok(result?)
    }
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),* $(,)?) -> $result:ty;)*) => {
        /// The operations. Relative paths start where the server does, in the user's home as a rule.
        ///
        /// Errors that are about a file are [`SshError::File`]: whose, which, and what kind.
        impl AsyncSftp<'_> {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                ///
                /// Where the server refuses it, the connection ends, or time is up.
                pub async fn $name(&self, $($argument: $type),*) -> Result<$result, Error> {
                    let channel = self.channel().await?;
                    let client = channel.client(self.bounds);
                    let operation = client.$name($($argument),*);
                    self.learn(channel.run(&self.bounds, operation).await, &channel)
                }
            )*
        }
    };
}

sftp_verbs!(methods);

impl fmt::Debug for AsyncSftp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncSftp")
            .field("target", self.connection.target())
            .field("bounds", &self.bounds)
            .finish()
    }
}
