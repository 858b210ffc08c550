//! A followed file and its handle.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Ask, Follower, Look, TailOptions, Tailed};
use crate::sftp::answer::{Answer, Status};
use crate::sftp::asking::{is_kind, wire};
use crate::sftp::attributes::Metadata;
use crate::sftp::client::Client;
use crate::sftp::handle::Handle;
use crate::sftp::reading::Reading;
use crate::sftp::reply::Reply;
use crate::sftp::request::Request;
use crate::streams::Splitter;
use crate::{Line, SshError};

/// A file that is followed, with what was read of it and not handed on. Dropped, it is closed on the
/// server with the next call on its SFTP channel.
pub struct TailFile {
    path: PathBuf,
    follower: Follower,
    handle: Option<Handle>,
    lines: Splitter,
}

impl TailFile {
    /// A file that is to be followed.
    pub fn new(path: impl AsRef<Path>, options: &TailOptions) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            follower: Follower::new(options.from, options.text),
            handle: None,
            lines: Splitter::new(options.max_line),
        }
    }

    /// Where the next byte is that was not handed on, from the start of the file that is followed now.
    pub fn position(&self) -> u64 {
        self.follower.position()
    }

    /// What came next.
    pub fn pop(&mut self) -> Option<Tailed> {
        self.follower.pop()
    }

    /// The next line.
    pub fn pop_line(&mut self) -> Option<Line> {
        self.split();
        self.lines.pop_line()
    }

    /// Cuts what has come into lines, until there is one.
    fn split(&mut self) {
        while !self.lines.is_ready()
            && let Some(tailed) = self.follower.pop()
        {
            match tailed {
                Tailed::Data { bytes, .. } => self.lines.feed(&bytes),
                // What follows is no part of a line that was begun before.
                Tailed::Truncated | Tailed::Replaced => self.lines.flush(),
            }
        }
    }

    /// What is left of a line, or a character, that was begun: no more of it will come.
    pub fn give_up_held(&mut self) {
        self.follower.give_up_held();
    }

    /// As [`give_up_held`](Self::give_up_held), for lines.
    pub fn last_line(&mut self) -> Option<Line> {
        self.give_up_held();
        self.pop_line().or_else(|| {
            self.lines.flush();
            self.lines.pop_line()
        })
    }

    /// Whether something has come. In lines, whether one has come whole.
    pub(super) fn is_ready(&mut self, in_lines: bool) -> bool {
        if !in_lines {
            return self.follower.is_ready();
        }
        self.split();
        self.lines.is_ready()
    }

    /// Time has passed since the last look.
    pub(super) fn waited(&mut self) {
        self.follower.waited();
    }
}

impl Client {
    /// Finds out where to begin with a file.
    ///
    /// # Errors
    ///
    /// Those of opening and reading it; it can be called again.
    pub async fn begin(&self, tail: &mut TailFile) -> Result<(), SshError> {
        while !tail.follower.has_begun() {
            self.take_step(tail).await?;
        }
        Ok(())
    }

    /// Reads on in a file, until something has come or there is nothing new: whether something has.
    ///
    /// # Errors
    ///
    /// Those of opening and reading it; it can be called again, and nothing was lost.
    pub async fn follow(&self, tail: &mut TailFile) -> Result<bool, SshError> {
        loop {
            if tail.follower.is_ready() {
                return Ok(true);
            }
            if tail.follower.ask() == Ask::Wait {
                return Ok(false);
            }
            self.take_step(tail).await?;
        }
    }

    async fn take_step(&self, tail: &mut TailFile) -> Result<(), SshError> {
        let TailFile { path, follower, handle, .. } = tail;
        let ask = follower.ask();
        // One of a channel that is over is no good on this one.
        let good = |handle: &&Handle| Arc::ptr_eq(handle.conversation(), &self.conversation);
        let is_open = handle.as_ref().filter(good).is_some();
        if ask == Ask::Open || !is_open {
            let opened = match self.open_to_read(path).await {
                Err(error) if is_kind(&error, io::ErrorKind::NotFound) && follower.is_missing() => {
                    return Ok(());
                }
                other => other?,
            };
            if ask == Ask::Open {
                follower.opened(self.size_of(&opened).await);
            }
            *handle = Some(opened);
            return Ok(());
        }
        let Some(handle) = handle else { return Ok(()) };
        match ask {
            Ask::Read { offset, length, claimed } => {
                let stop = offset.saturating_add(length);
                let mut reading = Reading::new(self, handle, path, (offset, claimed, stop));
                let mut left = length;
                while left > 0 {
                    let piece = reading.next().await?;
                    let Some(read) = &piece else {
                        follower.read(None);
                        break;
                    };
                    left = left.saturating_sub(read.len() as u64);
                    follower.read(piece);
                }
            }
            Ask::Look { one_by_one } => {
                let look = self.look(path, handle, one_by_one).await?;
                follower.looked(&look);
            }
            Ask::Open | Ask::Wait => {}
        }
        Ok(())
    }

    async fn look(&self, path: &Path, handle: &Handle, in_turn: bool) -> Result<Look, SshError> {
        let mut answers = [None; 3];
        let mut replies: [Option<Reply>; 3] = [None, None, None];
        for (number, answer) in answers.iter_mut().enumerate() {
            let reply = self.send(look_request(number, path, handle)?).await?;
            if in_turn {
                *answer = self.metadata(path, number, reply).await?;
            } else {
                replies[number] = Some(reply);
            }
        }
        for (number, reply) in replies.into_iter().enumerate() {
            if let Some(reply) = reply {
                answers[number] = self.metadata(path, number, reply).await?;
            }
        }
        let [before, named, after] = answers;
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        Ok(Look { before, named, after })
    }

    async fn metadata(
        &self,
        path: &Path,
        number: usize,
        reply: Reply,
    ) -> Result<Option<Metadata>, SshError> {
        match reply.await? {
            Answer::Attributes(metadata) => Ok(Some(metadata)),
            Answer::Status(status) if number == 1 && status.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            Answer::Status(status) if status.code != Status::OK => Err(self.refused(path, &status)),
            _ => Err(self.nonsense()),
        }
    }
}

fn look_request<'a>(
    number: usize,
    path: &'a Path,
    handle: &'a Handle,
) -> Result<Request<'a>, SshError> {
    Ok(match number {
        1 => Request::Stat { path: wire(path)? },
        _ => Request::Fstat { handle: handle.bytes() },
    })
}

impl fmt::Debug for TailFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TailFile")
            .field("path", &self.path)
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}
