//! The operations on files, each an async function that knows no runtime.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::answer::{Answer, Status};
use super::asking::{Doing, is_kind, said, wire};
use super::attributes::Metadata;
use super::bounds::Bounds;
use super::conversation::Conversation;
use super::offload::Offload;
use super::request::Request;
use super::wire::Fields;
use crate::SshError;

/// The operations on the files of a server. Clones are handles to the same channel.
///
/// Paths are bytes to the server; relative ones start where it starts, in the user's home as a rule.
/// Its methods are to be run by whoever has the channel: see [`Channel::run`](super::Channel::run).
#[derive(Debug, Clone)]
pub struct Client {
    pub(super) conversation: Arc<Conversation>,
    pub(super) local: Arc<dyn Offload>,
    pub(super) bounds: Bounds,
}

/// A file system of the server's (`statvfs@openssh.com`), as `statvfs(3)` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileSystem {
    /// The size of a block, in bytes.
    pub block_size: u64,
    /// Blocks in all.
    pub blocks: u64,
    /// Blocks free.
    pub blocks_free: u64,
    /// Blocks free to users.
    pub blocks_available: u64,
    /// Files in all.
    pub files: u64,
    /// Files that could be made.
    pub files_free: u64,
    /// Whether it is read-only.
    pub read_only: bool,
    /// The longest name, in bytes.
    pub name_max: u64,
}

impl Client {
    /// The operations over a conversation.
    pub fn new(conversation: &Arc<Conversation>, local: Arc<dyn Offload>, bounds: Bounds) -> Self {
        Self { conversation: Arc::clone(conversation), local, bounds }
    }

    /// Waits until the server has said which version it speaks.
    ///
    /// # Errors
    ///
    /// Where it speaks none that we do, or the conversation is over.
    pub async fn greet(&self) -> Result<(), SshError> {
        self.conversation.greeting().await
    }

    /// What is known of a file; of what a link leads to.
    pub async fn stat(&self, path: impl AsRef<Path>) -> Result<Metadata, SshError> {
        let path = path.as_ref();
        self.attributes(path, Request::Stat { path: wire(path)? }).await
    }

    /// What is known of a file; of a link itself.
    pub async fn lstat(&self, path: impl AsRef<Path>) -> Result<Metadata, SshError> {
        let path = path.as_ref();
        self.attributes(path, Request::Lstat { path: wire(path)? }).await
    }

    /// Whether there is something of that name; where a link leads nowhere, there is not.
    pub async fn exists(&self, path: impl AsRef<Path>) -> Result<bool, SshError> {
        match self.stat(path.as_ref()).await {
            Ok(_) => Ok(true),
            Err(error) if is_kind(&error, io::ErrorKind::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes a directory.
    pub async fn mkdir(&self, path: impl AsRef<Path>) -> Result<(), SshError> {
        let path = path.as_ref();
        let request = Request::Mkdir { path: wire(path)?, attributes: Metadata::default() };
        self.done(path, Doing::Making, request).await
    }

    /// Makes a directory and those above it; one that is there already will do. One round trip and
    /// a look.
    pub async fn mkdir_all(&self, path: impl AsRef<Path>) -> Result<(), SshError> {
        let path = path.as_ref();
        wire(path)?;
        let mut replies = Vec::new();
        let mut above: Vec<&Path> =
            path.ancestors().filter(|p| !p.as_os_str().is_empty()).collect();
        above.reverse();
        for folder in above.into_iter().filter(|folder| *folder != Path::new("/")) {
            let request = Request::Mkdir { path: wire(folder)?, attributes: Metadata::default() };
            replies.push((folder, self.send(request).await?));
        }
        let mut problem = None;
        for (folder, reply) in replies {
            let Answer::Status(status) = reply.await? else { return Err(self.nonsense()) };
            if status.code != Status::OK {
                problem = Some((folder, status));
            }
        }
        match (self.stat(path).await, problem) {
            (Ok(found), _) if found.is_dir() => Ok(()),
            (Ok(_), _) => Err(self.failed(path, io::ErrorKind::AlreadyExists, "")),
            (Err(_), Some((folder, status))) => Err(self.refused(folder, &status)),
            (Err(error), None) => Err(error),
        }
    }

    /// Removes a file or a link.
    pub async fn remove(&self, path: impl AsRef<Path>) -> Result<(), SshError> {
        let path = path.as_ref();
        self.done(path, Doing::Removing, Request::Remove { path: wire(path)? }).await
    }

    /// Removes an empty directory.
    pub async fn remove_dir(&self, path: impl AsRef<Path>) -> Result<(), SshError> {
        let path = path.as_ref();
        self.done(path, Doing::RemovingDirectory, Request::Rmdir { path: wire(path)? }).await
    }

    /// Renames a file or directory. A file that has the new name is replaced, at once, where the
    /// server knows `posix-rename@openssh.com`; elsewhere that is an error.
    pub async fn rename(
        &self,
        from: impl AsRef<Path>,
        to: impl AsRef<Path>,
    ) -> Result<(), SshError> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let (old, new) = (wire(from)?, wire(to)?);
        if self.conversation.extensions().posix_rename {
            return self
                .done(from, Doing::Other, Request::PosixRename { from: old, to: new })
                .await;
        }
        match self.done(from, Doing::Other, Request::Rename { from: old, to: new }).await {
            Err(error) if is_kind(&error, io::ErrorKind::Other) && self.lstat(to).await.is_ok() => {
                Err(self.failed(to, io::ErrorKind::AlreadyExists, ""))
            }
            other => other,
        }
    }

    /// Makes a link at `link` that leads to `target`.
    pub async fn symlink(
        &self,
        target: impl AsRef<Path>,
        link: impl AsRef<Path>,
    ) -> Result<(), SshError> {
        let (target, link) = (target.as_ref(), link.as_ref());
        let request = Request::Symlink { target: wire(target)?, link: wire(link)? };
        self.done(link, Doing::Making, request).await
    }

    /// Gives a file another name (`hardlink@openssh.com`).
    pub async fn hard_link(
        &self,
        original: impl AsRef<Path>,
        link: impl AsRef<Path>,
    ) -> Result<(), SshError> {
        let (original, link) = (original.as_ref(), link.as_ref());
        self.needs(self.conversation.extensions().hardlink, link, "hardlink@openssh.com")?;
        let request = Request::Hardlink { from: wire(original)?, to: wire(link)? };
        self.done(link, Doing::Making, request).await
    }

    /// Where a link leads, as it is written there.
    pub async fn read_link(&self, path: impl AsRef<Path>) -> Result<PathBuf, SshError> {
        let path = path.as_ref();
        self.one_name(path, Request::Readlink { path: wire(path)? }).await
    }

    /// The path from the root, without links on the way.
    pub async fn real_path(&self, path: impl AsRef<Path>) -> Result<PathBuf, SshError> {
        let path = path.as_ref();
        self.one_name(path, Request::Realpath { path: wire(path)? }).await
    }

    /// Sets permissions, such as `0o640`; at most `0o7777`.
    pub async fn set_permissions(
        &self,
        path: impl AsRef<Path>,
        permissions: u32,
    ) -> Result<(), SshError> {
        if permissions > 0o7777 {
            return Err(SshError::invalid("permissions", "are more than 0o7777"));
        }
        let attributes = Metadata { mode: Some(permissions), ..Metadata::default() };
        self.set(path.as_ref(), attributes).await
    }

    /// Sets the owner, by number: user and group.
    pub async fn set_owner(
        &self,
        path: impl AsRef<Path>,
        user: u32,
        group: u32,
    ) -> Result<(), SshError> {
        let attributes = Metadata { owner: Some((user, group)), ..Metadata::default() };
        self.set(path.as_ref(), attributes).await
    }

    /// Sets when the file was last read and last changed, in whole seconds from 1970 to 2106.
    pub async fn set_times(
        &self,
        path: impl AsRef<Path>,
        read: SystemTime,
        changed: SystemTime,
    ) -> Result<(), SshError> {
        let seconds = |time: SystemTime, field| {
            let since = time.duration_since(UNIX_EPOCH).ok();
            since
                .and_then(|since| u32::try_from(since.as_secs()).ok())
                .ok_or_else(|| SshError::invalid(field, "is before 1970 or after 2106"))
        };
        let times = Some((seconds(read, "read")?, seconds(changed, "changed")?));
        self.set(path.as_ref(), Metadata { times, ..Metadata::default() }).await
    }

    /// Cuts a file to this length, or fills it up with zeros.
    pub async fn set_size(&self, path: impl AsRef<Path>, size: u64) -> Result<(), SshError> {
        self.set(path.as_ref(), Metadata { size: Some(size), ..Metadata::default() }).await
    }

    /// What is known of the file system that a path is on.
    pub async fn stat_fs(&self, path: impl AsRef<Path>) -> Result<FileSystem, SshError> {
        let path = path.as_ref();
        self.needs(self.conversation.extensions().statvfs, path, "statvfs@openssh.com")?;
        match self.ask(Request::Statvfs { path: wire(path)? }).await? {
            Answer::Extended(bytes) => file_system(bytes).ok_or_else(|| self.nonsense()),
            Answer::Status(status) => Err(self.refused(path, &status)),
            _ => Err(self.nonsense()),
        }
    }

    async fn set(&self, path: &Path, attributes: Metadata) -> Result<(), SshError> {
        let request = Request::Setstat { path: wire(path)?, attributes };
        self.done(path, Doing::Other, request).await
    }

    async fn attributes(&self, path: &Path, request: Request<'_>) -> Result<Metadata, SshError> {
        match self.ask(request).await? {
            Answer::Attributes(metadata) => Ok(metadata),
            Answer::Status(status) => Err(self.refused(path, &status)),
            _ => Err(self.nonsense()),
        }
    }

    async fn one_name(&self, path: &Path, request: Request<'_>) -> Result<PathBuf, SshError> {
        match self.ask(request).await? {
            Answer::Names(names) => match <[_; 1]>::try_from(names) {
                Ok([one]) => Ok(PathBuf::from(OsString::from_vec(one.name.to_vec()))),
                Err(_) => Err(self.nonsense()),
            },
            Answer::Status(status) if status.code == Status::FAILURE => {
                // Of what is no link, `readlink(2)` says EINVAL.
                Err(self.failed(path, io::ErrorKind::InvalidInput, &said(&status)))
            }
            Answer::Status(status) => Err(self.refused(path, &status)),
            _ => Err(self.nonsense()),
        }
    }

    fn needs(&self, has: bool, path: &Path, what: &str) -> Result<(), SshError> {
        let detail = || format!("the server has no {what}");
        if has { Ok(()) } else { Err(self.failed(path, io::ErrorKind::Unsupported, &detail())) }
    }
}

fn file_system(bytes: Bytes) -> Option<FileSystem> {
    let mut fields = Fields(bytes);
    let mut values = [0; 11];
    for value in &mut values {
        *value = fields.u64().ok()?;
    }
    let [_, fragment, blocks, free, available, files, files_free, _, _, flags, name_max] = values;
    Some(FileSystem {
        block_size: fragment,
        blocks,
        blocks_free: free,
        blocks_available: available,
        files,
        files_free,
        read_only: flags & 1 != 0,
        name_max,
    })
}
