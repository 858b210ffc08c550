//! What all operations use: asking, and saying what a refusal means.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::answer::{Answer, Status};
use super::client::Client;
use super::handle::Handle;
use super::offload::blocking;
use super::reply::Reply;
use super::request::Request;
use crate::{FileError, SshError, printable};

/// The longest path, in bytes: four times what Linux takes.
const MAX_PATH: usize = 16 * 1024;

/// What a general failure (`SSH_FX_FAILURE`) may mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    /// Opening, reading or writing a file.
    File,
    /// Making something under a new name.
    Making,
    /// Removing a file.
    Removing,
    /// Removing a directory.
    RemovingDirectory,
    /// Listing a directory.
    Listing,
    /// Whatever else.
    Other,
}

/// What all operations use.
impl Client {
    pub(super) async fn send(&self, request: Request<'_>) -> Result<Reply, SshError> {
        let room = self.conversation.room(request.cost()).await?;
        Ok(self.conversation.send(&request, room))
    }

    pub(super) async fn ask(&self, request: Request<'_>) -> Result<Answer, SshError> {
        self.send(request).await?.await
    }

    /// Asks for something that has no answer but that it was done.
    pub(super) async fn done(
        &self,
        path: &Path,
        doing: Doing,
        request: Request<'_>,
    ) -> Result<(), SshError> {
        let answer = self.ask(request).await?;
        self.was_done(path, doing, answer).await
    }

    pub(super) async fn was_done(
        &self,
        path: &Path,
        doing: Doing,
        answer: Answer,
    ) -> Result<(), SshError> {
        match answer {
            Answer::Status(status) if status.code == Status::OK => Ok(()),
            Answer::Status(status) => Err(self.refined(path, &status, doing).await),
            _ => Err(self.nonsense()),
        }
    }

    pub(super) async fn opened(
        &self,
        path: &Path,
        doing: Doing,
        request: Request<'_>,
    ) -> Result<Handle, SshError> {
        match self.ask(request).await? {
            Answer::Handle(bytes) => Ok(Handle::new(&self.conversation, bytes)),
            Answer::Status(status) => Err(self.refined(path, &status, doing).await),
            _ => Err(self.nonsense()),
        }
    }

    /// A refusal in words that say more than "failure", where a look can tell.
    async fn refined(&self, path: &Path, status: &Status, doing: Doing) -> SshError {
        let vague = status.code == Status::FAILURE
            || (doing == Doing::Listing && status.kind() == io::ErrorKind::NotFound);
        let kind = match (vague, doing) {
            (false, _) | (_, Doing::Other) => None,
            (true, doing) => match (doing, self.lstat(path).await) {
                (Doing::Making, Ok(_)) => Some(io::ErrorKind::AlreadyExists),
                (Doing::Listing | Doing::RemovingDirectory, Ok(found)) if !found.is_dir() => {
                    Some(io::ErrorKind::NotADirectory)
                }
                (Doing::RemovingDirectory, Ok(_)) => Some(io::ErrorKind::DirectoryNotEmpty),
                (Doing::File | Doing::Removing, Ok(found)) if found.is_dir() => {
                    Some(io::ErrorKind::IsADirectory)
                }
                _ => None,
            },
        };
        match kind {
            Some(kind) => self.failed(path, kind, ""),
            None => self.refused(path, status),
        }
    }

    pub(super) fn refused(&self, path: &Path, status: &Status) -> SshError {
        self.failed(path, status.kind(), &said(status))
    }

    pub(super) fn failed(&self, path: &Path, kind: io::ErrorKind, detail: &str) -> SshError {
        let error = FileError::remote(self.conversation.target(), path, kind, detail);
        SshError::File(Box::new(error))
    }

    pub(super) fn failed_here(&self, path: &Path, error: &io::Error) -> SshError {
        SshError::File(Box::new(FileError::local(self.conversation.target(), path, error)))
    }

    /// The server answers something else than it was asked. Nothing it says makes sense after that.
    pub(super) fn nonsense(&self) -> SshError {
        let error = self.conversation.lost("the server answers another question than was asked");
        self.conversation.fail(error.clone());
        error
    }

    /// Does something with local files.
    pub(super) async fn here<T: Send + 'static>(
        &self,
        path: &Path,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, SshError> {
        let done = blocking(&*self.local, work).await;
        let done = done.unwrap_or_else(|| Err(io::Error::other("this program is ending")));
        done.map_err(|error| self.failed_here(path, &error))
    }
}

/// A path as it is sent.
pub(super) fn wire(path: &Path) -> Result<&[u8], SshError> {
    let bytes = path.as_os_str().as_bytes();
    let problem = match bytes {
        [] => "is empty",
        _ if bytes.contains(&0) => "has a NUL in it",
        _ if bytes.len() > MAX_PATH => "is longer than 16 KiB",
        _ => return Ok(bytes),
    };
    Err(SshError::invalid("path", problem))
}

pub(super) fn is_kind(error: &SshError, kind: io::ErrorKind) -> bool {
    matches!(error, SshError::File(error) if error.kind == kind)
}

pub(super) fn said(status: &Status) -> String {
    printable(&status.message)
}
