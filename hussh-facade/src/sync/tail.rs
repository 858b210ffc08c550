//! Files that are followed, for threads.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use ssh_session::Line;
use ssh_session::sftp::{Bounds, TailFile, TailOptions, TailRead, TailStep, Tailed};

use super::{Connection, Library, Sftp};
use crate::Error;

/// A file on the server that is followed while it grows, as `tail -F` does, over SFTP:
/// [`Connection::tail`].
///
/// The file is kept open, and looked at now and then. Where it is truncated, reading goes on at its
/// start; where it is renamed and another one has its name, what is left of it is read first, and
/// then the other one from its start ([`Tailed`]). SFTP tells no identity of files: another one is
/// recognised by its size, time of change, owner or mode, which differ from those of the one that is
/// open. What happened and was undone between two looks is not seen: a file that was truncated and
/// has grown beyond where it was, one that had the name in between.
///
/// As an iterator it waits for what comes, and ends as [`TailOptions::ends_after`] and
/// [`TailOptions::ends_when_idle`] say; by default, it does not. After an error it goes on where it
/// was.
///
/// ```no_run
/// use std::time::Duration;
///
/// use hussh::{Connection, TailFrom, TailOptions};
///
/// let connection = Connection::builder("myserver.example.com", "deploy").agent().connect()?;
/// let options = TailOptions::new().from(TailFrom::Lines(10)).ends_after(Duration::from_secs(60));
/// for line in connection.tail("/var/log/syslog", &options)?.lines() {
///     println!("{}", line?.to_text());
/// }
/// # Ok::<(), hussh::Error>(())
/// ```
pub struct Tail<'c, L: Library> {
    sftp: Sftp<'c, L>,
    file: TailFile,
    options: TailOptions,
    reading: TailRead,
    begun: Instant,
}

/// The lines of a file that is followed: [`Tail::lines`].
#[derive(Debug)]
pub struct TailLines<'c, L: Library> {
    tail: Tail<'c, L>,
}

impl<'c, L: Library> Tail<'c, L> {
    pub(super) fn begin(
        connection: &'c Connection<L>,
        path: &Path,
        options: &TailOptions,
    ) -> Result<Self, Error> {
        let sftp = Sftp::new(connection, Bounds::default())?.bounds(options.bounds());
        let mut file = TailFile::new(path, options);
        sftp.run(async |client| client.begin(&mut file).await)?;
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
    pub fn read(&mut self, timeout: Duration) -> Result<Option<Tailed>, Error> {
        Ok(if self.wait(timeout, false)? { self.file.pop() } else { None })
    }

    /// The next line, `None` where none comes whole within this time. What was begun is kept. Not to
    /// be mixed with [`read`](Self::read), which takes lines in parts.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_line(&mut self, timeout: Duration) -> Result<Option<Line>, Error> {
        Ok(if self.wait(timeout, true)? { self.file.pop_line() } else { None })
    }

    /// Its lines, as they come whole. What is left of one at the end of the iteration is the last.
    pub fn lines(self) -> TailLines<'c, L> {
        TailLines { tail: self }
    }

    /// Where in the file the next byte is that was not handed on. A [`TailFrom::Offset`] begins there
    /// later.
    ///
    /// [`TailFrom::Offset`]: crate::TailFrom::Offset
    pub fn position(&self) -> u64 {
        self.file.position()
    }

    /// Waits until something has come, or time is up: whether something has.
    fn wait(&mut self, timeout: Duration, in_lines: bool) -> Result<bool, Error> {
        let Self { sftp, file, reading, .. } = self;
        reading.begin(timeout, in_lines, Instant::now());
        loop {
            match reading.step(file, Instant::now()) {
                TailStep::Ready => return Ok(true),
                TailStep::Late => return Ok(false),
                TailStep::Sleep(time) => std::thread::sleep(time),
                TailStep::Look => {
                    let came = sftp.run(async |client| client.follow(file).await)?;
                    reading.looked(came, Instant::now());
                }
            }
        }
    }
}

impl<L: Library> Iterator for Tail<'_, L> {
    type Item = Result<Tailed, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(patience) = self.options.patience(self.begun.elapsed())
            && let Some(read) = self.read(patience).transpose()
        {
            return Some(read);
        }
        self.file.give_up_held();
        self.file.pop().map(Ok)
    }
}

impl<L: Library> Iterator for TailLines<'_, L> {
    type Item = Result<Line, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(patience) = self.tail.options.patience(self.tail.begun.elapsed())
            && let Some(line) = self.tail.read_line(patience).transpose()
        {
            return Some(line);
        }
        self.tail.file.last_line().map(Ok)
    }
}

impl<L: Library> fmt::Debug for Tail<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tail").field("file", &self.file).finish_non_exhaustive()
    }
}
