//! Directories: listed, walked, removed with all that is in them.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use super::answer::{Answer, Name, Status};
use super::asking::{Doing, is_kind, wire};
use super::attributes::Metadata;
use super::client::Client;
use super::request::Request;
use crate::{SshError, printable};

/// Pieces of one listing asked for at once, once it has proved to be long.
const MOST_AHEAD: usize = 16;

/// Directories listed, or files removed, at once.
const AT_ONCE: usize = 64;

/// A deeper tree than this is none that somebody made on purpose; a path has room for no more.
pub(super) const MAX_DEPTH: usize = 1_000;

/// Something in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the directory for [`Client::list`]; for [`Client::walk`] its path below where the
    /// walk began.
    pub path: PathBuf,
    /// What the listing says of it; of a link itself.
    pub metadata: Metadata,
}

impl Client {
    /// What is in a directory, but for `.` and `..`, in the server's order.
    ///
    /// A name that is none (empty, or with `/` or NUL in it) is an error of kind `InvalidData`: no
    /// honest server has one.
    pub async fn list(&self, path: impl AsRef<Path>) -> Result<Vec<Entry>, SshError> {
        let path = path.as_ref();
        let mut entries = Vec::new();
        for name in self.names(path).await? {
            let file = file_name(&name.name)
                .map_err(|problem| self.failed(path, io::ErrorKind::InvalidData, &problem))?;
            entries.push(Entry { path: file.into(), metadata: name.metadata });
        }
        Ok(entries)
    }

    /// All that is below a directory, each directory before what is in it. Links are not followed.
    pub async fn walk(&self, path: impl AsRef<Path>) -> Result<Vec<Entry>, SshError> {
        let root = path.as_ref();
        let mut found: Vec<Entry> = Vec::new();
        let mut waiting = VecDeque::from([PathBuf::new()]);
        let mut listing = FuturesUnordered::new();
        loop {
            while listing.len() < AT_ONCE
                && let Some(folder) = waiting.pop_front()
            {
                listing.push(async move {
                    let path = join(root, &folder);
                    (self.list(&path).await, folder)
                });
            }
            let Some((listed, folder)) = listing.next().await else { return Ok(found) };
            let listed = match listed {
                // It went away meanwhile.
                Err(error)
                    if is_kind(&error, io::ErrorKind::NotFound) && folder.parent().is_some() =>
                {
                    continue;
                }
                other => other?,
            };
            for Entry { path, metadata } in listed {
                let path = folder.join(path);
                if metadata.is_dir() {
                    waiting.push_back(path.clone());
                }
                found.push(Entry { path, metadata });
            }
            let deep = folder.components().count() > MAX_DEPTH;
            if deep || found.len() > self.bounds.entries {
                let detail = "it has more in it than may be (see `Bounds::entries`)";
                return Err(self.failed(root, io::ErrorKind::InvalidData, detail));
            }
        }
    }

    /// Removes a directory and all that is in it. Links are removed, and not followed; of a path
    /// that is no directory, that alone is removed.
    pub async fn remove_all(&self, path: impl AsRef<Path>) -> Result<(), SshError> {
        let root = path.as_ref();
        if !self.lstat(root).await?.is_dir() {
            return self.remove(root).await;
        }
        let (folders, files): (Vec<_>, Vec<_>) =
            self.walk(root).await?.into_iter().partition(|entry| entry.metadata.is_dir());
        let file = |entry: Entry| -> BoxFuture<'_, _> {
            Box::pin(async move { self.remove(root.join(entry.path)).await })
        };
        self.all(files.into_iter().map(file)).await?;
        // In the order of a channel, so that what is deeper comes first.
        let mut folders: Vec<_> = folders.into_iter().map(|entry| entry.path).collect();
        folders.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
        let mut replies = VecDeque::new();
        for folder in folders.into_iter().chain([PathBuf::new()]) {
            let path = join(root, &folder);
            replies.push_back((self.send(Request::Rmdir { path: wire(&path)? }).await?, path));
        }
        for (reply, path) in replies {
            self.was_done(&path, Doing::RemovingDirectory, reply.await?).await?;
        }
        Ok(())
    }

    /// Does all of this, some at once; the first error ends it.
    async fn all<'f>(
        &self,
        mut jobs: impl Iterator<Item = BoxFuture<'f, Result<(), SshError>>>,
    ) -> Result<(), SshError> {
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < AT_ONCE
                && let Some(job) = jobs.next()
            {
                running.push(job);
            }
            match running.next().await {
                Some(result) => result?,
                None => return Ok(()),
            }
        }
    }

    /// The names in a directory as the server gives them, but for `.` and `..`.
    pub(super) async fn names(&self, path: &Path) -> Result<Vec<Name>, SshError> {
        let opened = self.opened(path, Doing::Listing, Request::Opendir { path: wire(path)? });
        let handle = opened.await?;
        let read = Request::Readdir { handle: handle.bytes() };
        let mut found = Vec::new();
        // The second finds the end of most.
        let mut ahead = VecDeque::from([self.send(read).await?]);
        let mut most_ahead = 2;
        loop {
            while ahead.len() < most_ahead
                && let Some(room) = self.conversation.room_now(read.cost())
            {
                ahead.push_back(self.conversation.send(&read, room));
            }
            let reply = match ahead.pop_front() {
                Some(reply) => reply,
                None => self.send(read).await?,
            };
            match reply.await? {
                Answer::Names(names) => {
                    found.extend(names.into_iter().filter(|n| !matches!(&*n.name, b"." | b"..")));
                    most_ahead = (most_ahead * 2).min(MOST_AHEAD);
                }
                Answer::Status(status) if status.code == Status::EOF => return Ok(found),
                Answer::Status(status) => return Err(self.refused(path, &status)),
                _ => return Err(self.nonsense()),
            }
            if found.len() > self.bounds.entries {
                let detail = "it has more in it than may be (see `Bounds::entries`)";
                return Err(self.failed(path, io::ErrorKind::InvalidData, detail));
            }
        }
    }
}

/// A name that a server gives as that of a file in a directory.
pub(super) fn file_name(name: &[u8]) -> Result<OsString, String> {
    let problem = match name {
        [] => "an empty name",
        b"." | b".." => "a name that leads elsewhere",
        _ if name.contains(&b'/') => "a path for a name",
        _ if name.contains(&0) => "a name with a NUL in it",
        _ => return Ok(OsString::from_vec(name.to_vec())),
    };
    Err(format!("the server lists {problem}: {:?}", printable(name)))
}

/// A path below another; an empty one is that itself.
pub(super) fn join(root: &Path, below: &Path) -> PathBuf {
    if below.as_os_str() == OsStr::from_bytes(b"") { root.to_owned() } else { root.join(below) }
}
