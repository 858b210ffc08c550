//! Files that are followed, for tasks.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use ssh_session::Line;
use ssh_session::sftp::{Bounds, TailFile, TailOptions, TailRead, TailStep, Tailed};

use super::{AsyncConnection, AsyncSftp};
use crate::Error;

/// A file on the server that is followed while it grows, as `tail -F` does, over SFTP:
/// [`AsyncConnection::tail`].
///
/// What [`sync::Tail`](crate::sync::Tail) says of truncation, of other files under the same name, and
/// of what can't be seen, goes for this. A future that is dropped loses nothing: the next call goes
/// on where it was.
///
/// ```no_run
/// use hussh::{AsyncConnection, TailFrom, TailOptions};
///
/// # async fn run(connection: AsyncConnection) -> Result<(), hussh::Error> {
/// let options = TailOptions::new().from(TailFrom::Lines(10));
/// let mut tail = connection.tail("/var/log/syslog", &options).await?;
/// while let Some(line) = tail.next_line().await? {
///     println!("{}", line.to_text());
/// }
/// # Ok(())
/// # }
/// ```
pub struct AsyncTail<'c> {
    sftp: AsyncSftp<'c>,
    file: TailFile,
    options: TailOptions,
    reading: TailRead,
    begun: Instant,
}

impl<'c> AsyncTail<'c> {
    pub(super) async fn begin(
        connection: &'c AsyncConnection,
        path: &Path,
        options: &TailOptions,
    ) -> Result<Self, Error> {
        let bounds = options.bounds();
        let sftp = AsyncSftp::new(connection, Bounds::default()).await?.bounds(bounds);
        let mut file = TailFile::new(path, options);
        let channel = sftp.channel().await?;
        let client = channel.client(bounds);
        sftp.learn(channel.run(&bounds, client.begin(&mut file)).await, &channel)?;
        let (reading, options) = (TailRead::new(options), options.clone());
        Ok(Self { sftp, file, options, reading, begun: Instant::now() })
    }

    /// What came next, `None` where nothing does within this time. `Duration::ZERO` looks at the file
    /// at once; otherwise that is done no more often than [`TailOptions::interval`] says. A look that
    /// is under way when time is up is waited for, as long as [`TailOptions::answer_timeout`] says.
    ///
    /// # Errors
    ///
    /// Where the server refuses to read the file, does not answer, or the connection ends. The next
    /// call goes on where this one was.
    pub async fn read(&mut self, timeout: Duration) -> Result<Option<Tailed>, Error> {
        Ok(if self.wait(timeout, false).await? { self.file.pop() } else { None })
    }

    /// The next line, `None` where none comes whole within this time. What was begun is kept. Not to
    /// be mixed with [`read`](Self::read), which takes lines in parts.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub async fn read_line(&mut self, timeout: Duration) -> Result<Option<Line>, Error> {
        Ok(if self.wait(timeout, true).await? { self.file.pop_line() } else { None })
    }

    /// What comes next, until the end that [`TailOptions::ends_after`] and
    /// [`TailOptions::ends_when_idle`] say; by default there is none.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub async fn next(&mut self) -> Result<Option<Tailed>, Error> {
        if let Some(patience) = self.options.patience(self.begun.elapsed())
            && let Some(tailed) = self.read(patience).await?
        {
            return Ok(Some(tailed));
        }
        self.file.give_up_held();
        Ok(self.file.pop())
    }

    /// The next line, until the end, as of [`next`](Self::next). What is left of one there is the
    /// last.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub async fn next_line(&mut self) -> Result<Option<Line>, Error> {
        if let Some(patience) = self.options.patience(self.begun.elapsed())
            && let Some(line) = self.read_line(patience).await?
        {
            return Ok(Some(line));
        }
        Ok(self.file.last_line())
    }

    /// Where in the file the next byte is that was not handed on.
    pub fn position(&self) -> u64 {
        self.file.position()
    }

    /// Waits until something has come, or time is up: whether something has.
    async fn wait(&mut self, timeout: Duration, in_lines: bool) -> Result<bool, Error> {
        let Self { sftp, file, options, reading, .. } = self;
        reading.begin(timeout, in_lines, Instant::now());
        loop {
            match reading.step(file, Instant::now()) {
                TailStep::Ready => return Ok(true),
                TailStep::Late => return Ok(false),
                TailStep::Sleep(time) => tokio::time::sleep(time).await,
                TailStep::Look => {
                    let bounds = options.bounds();
                    let channel = sftp.channel().await?;
                    let client = channel.client(bounds);
                    let followed = channel.run(&bounds, client.follow(file)).await;
                    let came = sftp.learn(followed, &channel)?;
                    reading.looked(came, Instant::now());
                }
            }
        }
    }
}

impl fmt::Debug for AsyncTail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncTail").field("file", &self.file).finish_non_exhaustive()
    }
}
