//! Files that stay open, and files that are replaced at once.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::answer::Answer;
use super::asking::{Doing, is_kind};
use super::attributes::Metadata;
use super::client::Client;
use super::files::Writing;
use super::handle::Handle;
use super::reading::Reading;
use super::request::{APPEND, CREATE, EXCLUSIVE, READ, Request, TRUNCATE, WRITE};
use super::transfer::temporary;
use crate::SshError;

/// A file that stays open on the server, until this is dropped.
///
/// It belongs to the channel it was opened on: where that ended, so did this.
pub struct OpenFile {
    handle: Handle,
    path: PathBuf,
    /// How much it was said to have in it when it was opened, where it may be read.
    claimed: u64,
}

/// How a file is opened, in the words of [`std::fs::OpenOptions`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct OpenOptions {
    flags: u32,
}

impl OpenOptions {
    /// Neither to read nor to write, which no server opens a file for.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens to read.
    #[must_use]
    pub fn read(self, read: bool) -> Self {
        self.flag(READ, read)
    }

    /// Opens to write.
    #[must_use]
    pub fn write(self, write: bool) -> Self {
        self.flag(WRITE, write)
    }

    /// Opens to write, and each write goes to the end that the file has then.
    #[must_use]
    pub fn append(self, append: bool) -> Self {
        self.flag(APPEND, append)
    }

    /// Empties what there is.
    #[must_use]
    pub fn truncate(self, truncate: bool) -> Self {
        self.flag(TRUNCATE, truncate)
    }

    /// Creates the file where there is none.
    #[must_use]
    pub fn create(self, create: bool) -> Self {
        self.flag(CREATE, create)
    }

    /// Creates the file; one that is there already is an error of kind `AlreadyExists`.
    #[must_use]
    pub fn create_new(self, create: bool) -> Self {
        self.flag(EXCLUSIVE, create)
    }

    fn on_the_wire(self) -> u32 {
        let implied = |by: u32, flag: u32| if self.flags & by == 0 { 0 } else { flag };
        self.flags | implied(APPEND, WRITE) | implied(EXCLUSIVE, CREATE)
    }

    fn flag(self, flag: u32, on: bool) -> Self {
        Self { flags: if on { self.flags | flag } else { self.flags & !flag } }
    }
}

impl OpenFile {
    /// The file, as it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.handle.conversation().lock().open_files -= 1;
    }
}

impl fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Client {
    /// Opens a file, which stays open until it is dropped.
    pub async fn open(
        &self,
        path: impl AsRef<Path>,
        options: &OpenOptions,
    ) -> Result<OpenFile, SshError> {
        let (path, flags) = (path.as_ref(), options.on_the_wire());
        let opened = self.open_to_write(path, flags, Metadata::default()).await;
        let handle = match opened {
            Err(SshError::File(error))
                if flags & EXCLUSIVE != 0
                    && matches!(error.kind, io::ErrorKind::Other | io::ErrorKind::IsADirectory)
                    && self.lstat(path).await.is_ok() =>
            {
                return Err(self.failed(path, io::ErrorKind::AlreadyExists, ""));
            }
            other => other?,
        };
        let claimed = match flags & READ {
            0 => None,
            _ => self.size_of(&handle).await,
        };
        self.conversation.lock().open_files += 1;
        Ok(OpenFile { handle, path: path.to_owned(), claimed: claimed.unwrap_or(0) })
    }

    /// Up to so many bytes of an open file, from an offset on; fewer only at its end. At most
    /// [`Bounds::bytes`](super::Bounds::bytes).
    pub async fn read_file(
        &self,
        file: &OpenFile,
        offset: u64,
        length: u64,
    ) -> Result<Vec<u8>, SshError> {
        self.check(file)?;
        if length > self.bounds.bytes {
            return Err(SshError::invalid("length", "is more than `Bounds::bytes`"));
        }
        let stop = offset.saturating_add(length);
        let claimed = file.claimed.clamp(offset, stop);
        let mut reading = Reading::new(self, &file.handle, &file.path, (offset, claimed, stop));
        let mut content = Vec::new();
        while let Some(piece) = reading.next().await? {
            content.extend_from_slice(&piece);
        }
        Ok(content)
    }

    /// Writes these into an open file from an offset on, and waits until all is there. Where it was
    /// opened to [append](OpenOptions::append), they go to its end.
    pub async fn write_file(
        &self,
        file: &OpenFile,
        offset: u64,
        content: impl AsRef<[u8]>,
    ) -> Result<(), SshError> {
        self.check(file)?;
        let mut writing = Writing::new(self, &file.handle, &file.path, offset);
        writing.write_all(content.as_ref()).await?;
        writing.settle().await
    }

    /// What is known of an open file.
    pub async fn stat_file(&self, file: &OpenFile) -> Result<Metadata, SshError> {
        self.check(file)?;
        match self.ask(Request::Fstat { handle: file.handle.bytes() }).await? {
            Answer::Attributes(metadata) => Ok(metadata),
            Answer::Status(status) => Err(self.refused(&file.path, &status)),
            _ => Err(self.nonsense()),
        }
    }

    /// Cuts an open file to this length, or fills it up with zeros.
    pub async fn set_file_size(&self, file: &OpenFile, size: u64) -> Result<(), SshError> {
        self.check(file)?;
        let attributes = Metadata { size: Some(size), ..Metadata::default() };
        let request = Request::Fsetstat { handle: file.handle.bytes(), attributes };
        self.done(&file.path, Doing::File, request).await
    }

    /// Waits until the server has an open file on its disk (`fsync@openssh.com`).
    pub async fn sync_file(&self, file: &OpenFile) -> Result<(), SshError> {
        self.check(file)?;
        if !self.conversation.extensions().fsync {
            let detail = "the server has no fsync@openssh.com";
            return Err(self.failed(&file.path, io::ErrorKind::Unsupported, detail));
        }
        let request = Request::Fsync { handle: file.handle.bytes() };
        self.done(&file.path, Doing::File, request).await
    }

    /// Closes a file and hears whether all went well, which some file systems only say then.
    pub async fn close_file(&self, file: &OpenFile) -> Result<(), SshError> {
        self.check(file)?;
        let reply = self.send(Request::Close { handle: file.handle.bytes() }).await?;
        file.handle.was_closed();
        self.was_done(&file.path, Doing::File, reply.await?).await
    }

    /// Makes these the content of a file at once: whoever reads it sees what was there before or
    /// all of this. It keeps its permissions, and a link what it leads to; hard links are parted.
    ///
    /// A file in the same directory is written and renamed, which replaces a file where the server
    /// knows `posix-rename@openssh.com`.
    pub async fn replace(
        &self,
        path: impl AsRef<Path>,
        content: impl AsRef<[u8]>,
    ) -> Result<(), SshError> {
        let mut path = path.as_ref().to_owned();
        let mut found = self.lstat(&path).await;
        if found.as_ref().is_ok_and(Metadata::is_symlink) {
            path = self.real_path(&path).await?;
            found = self.lstat(&path).await;
        }
        let permissions = match found {
            Ok(found) if found.is_dir() => {
                return Err(self.failed(&path, io::ErrorKind::IsADirectory, ""));
            }
            Ok(found) => found.permissions(),
            Err(error) if is_kind(&error, io::ErrorKind::NotFound) => None,
            Err(error) => return Err(error),
        };
        let new = temporary(&path).map_err(|error| self.failed_here(&path, &error))?;
        let written = async {
            self.write_new(&new, content).await.map_err(|error| self.renamed(error, &path))?;
            if let Some(permissions) = permissions {
                self.set_permissions(&new, permissions & 0o777).await?;
            }
            self.rename(&new, &path).await
        };
        let written = written.await;
        if let Err(SshError::File(_)) = &written {
            // Its own error is no news.
            let _ = self.remove(&new).await;
        }
        written
    }

    /// The error of a temporary file, about the one that it was for.
    fn renamed(&self, error: SshError, path: &Path) -> SshError {
        match error {
            SshError::File(error) => self.failed(path, error.kind, &error.detail),
            other => other,
        }
    }

    fn check(&self, file: &OpenFile) -> Result<(), SshError> {
        if file.handle.is_closed() {
            return Err(self.failed(&file.path, io::ErrorKind::InvalidInput, "it was closed"));
        }
        // In another conversation its bytes mean another file, or none.
        if Arc::ptr_eq(file.handle.conversation(), &self.conversation) {
            return Ok(());
        }
        Err(self.conversation.lost("the SFTP channel that the file was open on has ended"))
    }
}
