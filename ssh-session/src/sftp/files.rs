//! The content of one file: read and written.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use super::answer::Answer;
use super::asking::{Doing, wire};
use super::attributes::Metadata;
use super::client::Client;
use super::handle::Handle;
use super::reading::Reading;
use super::reply::Reply;
use super::request::{CREATE, EXCLUSIVE, READ, Request, TRUNCATE, WRITE};
use crate::SshError;

/// Writes under way for one file, at most.
const MOST_WRITES: usize = 128;

impl Client {
    /// All that is in a file.
    ///
    /// Up to [`Bounds::bytes`](super::Bounds::bytes); more is an error of kind `FileTooLarge`.
    pub async fn read(&self, path: impl AsRef<Path>) -> Result<Vec<u8>, SshError> {
        let path = path.as_ref();
        let bound = self.bounds.bytes;
        let read = self.read_range(path, 0, bound.saturating_add(1)).await?;
        if read.len() as u64 > bound {
            let detail = format!("it has more than {bound} bytes (see `Bounds::bytes`)");
            return Err(self.failed(path, io::ErrorKind::FileTooLarge, &detail));
        }
        Ok(read)
    }

    /// All that is in a file, which must be UTF-8: anything else is an error of kind `InvalidData`.
    pub async fn read_text(&self, path: impl AsRef<Path>) -> Result<String, SshError> {
        let path = path.as_ref();
        String::from_utf8(self.read(path).await?)
            .map_err(|_| self.failed(path, io::ErrorKind::InvalidData, "it is not UTF-8"))
    }

    /// Up to so many bytes of a file, from an offset on; fewer only at its end.
    pub async fn read_at(
        &self,
        path: impl AsRef<Path>,
        offset: u64,
        length: u64,
    ) -> Result<Vec<u8>, SshError> {
        if length > self.bounds.bytes {
            return Err(SshError::invalid("length", "is more than `Bounds::bytes`"));
        }
        self.read_range(path.as_ref(), offset, length).await
    }

    async fn read_range(&self, path: &Path, offset: u64, length: u64) -> Result<Vec<u8>, SshError> {
        let handle = self.open_to_read(path).await?;
        let stop = offset.saturating_add(length);
        // One read asks for the size, and another for what most files have in all.
        let claimed = self.size_of(&handle).await.unwrap_or(0);
        let mut content = Vec::new();
        let mut reading = Reading::new(self, &handle, path, (offset, claimed, stop));
        while let Some(piece) = reading.next().await? {
            content.extend_from_slice(&piece);
        }
        Ok(content)
    }

    /// Makes these the content of a file, which is created where there is none.
    pub async fn write(
        &self,
        path: impl AsRef<Path>,
        content: impl AsRef<[u8]>,
    ) -> Result<(), SshError> {
        let flags = WRITE | CREATE | TRUNCATE;
        self.write_from(path.as_ref(), flags, 0, content.as_ref()).await
    }

    /// As [`write`](Self::write), but a file of that name is an error of kind `AlreadyExists`.
    pub async fn write_new(
        &self,
        path: impl AsRef<Path>,
        content: impl AsRef<[u8]>,
    ) -> Result<(), SshError> {
        let path = path.as_ref();
        let flags = WRITE | CREATE | EXCLUSIVE;
        match self.write_from(path, flags, 0, content.as_ref()).await {
            Err(SshError::File(error))
                if error.kind == io::ErrorKind::Other && self.lstat(path).await.is_ok() =>
            {
                Err(self.failed(path, io::ErrorKind::AlreadyExists, ""))
            }
            other => other,
        }
    }

    /// Writes these into a file from an offset on, and leaves the rest of it as it is. It is created
    /// where there is none.
    pub async fn write_at(
        &self,
        path: impl AsRef<Path>,
        offset: u64,
        content: impl AsRef<[u8]>,
    ) -> Result<(), SshError> {
        self.write_from(path.as_ref(), WRITE | CREATE, offset, content.as_ref()).await
    }

    /// Writes these to the end of a file, as its size says. It is created where there is none. Two
    /// that do this at once may overwrite each other.
    pub async fn append(
        &self,
        path: impl AsRef<Path>,
        content: impl AsRef<[u8]>,
    ) -> Result<(), SshError> {
        let path = path.as_ref();
        let handle = self.open_to_write(path, WRITE | CREATE, Metadata::default()).await?;
        let offset = self.size_of(&handle).await.unwrap_or(0);
        self.write_to(path, handle, offset, content.as_ref()).await
    }

    async fn write_from(
        &self,
        path: &Path,
        flags: u32,
        offset: u64,
        content: &[u8],
    ) -> Result<(), SshError> {
        let handle = self.open_to_write(path, flags, Metadata::default()).await?;
        self.write_to(path, handle, offset, content).await
    }

    async fn write_to(
        &self,
        path: &Path,
        handle: Handle,
        offset: u64,
        content: &[u8],
    ) -> Result<(), SshError> {
        let mut writing = Writing::new(self, &handle, path, offset);
        writing.write_all(content).await?;
        writing.finish(&[]).await
    }

    pub(super) async fn open_to_read(&self, path: &Path) -> Result<Handle, SshError> {
        let attributes = Metadata::default();
        let request = Request::Open { path: wire(path)?, flags: READ, attributes };
        self.opened(path, Doing::File, request).await
    }

    pub(super) async fn open_to_write(
        &self,
        path: &Path,
        flags: u32,
        attributes: Metadata,
    ) -> Result<Handle, SshError> {
        let request = Request::Open { path: wire(path)?, flags, attributes };
        self.opened(path, Doing::File, request).await
    }

    /// What an open file claims to have in it.
    pub(super) async fn size_of(&self, handle: &Handle) -> Option<u64> {
        match self.ask(Request::Fstat { handle: handle.bytes() }).await {
            Ok(Answer::Attributes(metadata)) => metadata.size,
            _ => None,
        }
    }
}

/// An open file that is written from some place on.
pub(super) struct Writing<'c> {
    client: &'c Client,
    handle: &'c Handle,
    path: &'c Path,
    offset: u64,
    replies: VecDeque<Reply>,
}

impl<'c> Writing<'c> {
    pub(super) fn new(client: &'c Client, handle: &'c Handle, path: &'c Path, offset: u64) -> Self {
        Self { client, handle, path, offset, replies: VecDeque::new() }
    }

    /// Sends all this, a piece after the other.
    pub(super) async fn write_all(&mut self, content: &[u8]) -> Result<(), SshError> {
        for piece in content.chunks(self.client.conversation.limits().write) {
            self.write(piece).await?;
        }
        Ok(())
    }

    /// Sends a piece, no larger than the server takes, once there is room for it.
    pub(super) async fn write(&mut self, data: &[u8]) -> Result<(), SshError> {
        if self.replies.len() >= MOST_WRITES {
            self.next_reply().await?;
        }
        let request = Request::Write { handle: self.handle.bytes(), offset: self.offset, data };
        self.replies.push_back(self.client.send(request).await?);
        self.offset += data.len() as u64;
        Ok(())
    }

    /// Asks for all this behind what was written, and for the file to be closed; waits until all is
    /// done. One round trip.
    pub(super) async fn finish(mut self, behind: &[Behind]) -> Result<(), SshError> {
        for what in behind {
            let handle = self.handle.bytes();
            let request = match what {
                Behind::Set(attributes) => Request::Fsetstat { handle, attributes: *attributes },
                Behind::Sync => Request::Fsync { handle },
            };
            self.replies.push_back(self.client.send(request).await?);
        }
        let close = self.client.send(Request::Close { handle: self.handle.bytes() }).await?;
        self.handle.was_closed();
        self.replies.push_back(close);
        self.settle().await
    }

    /// Waits until all that was sent is done.
    pub(super) async fn settle(&mut self) -> Result<(), SshError> {
        while !self.replies.is_empty() {
            self.next_reply().await?;
        }
        Ok(())
    }

    async fn next_reply(&mut self) -> Result<(), SshError> {
        let Some(reply) = self.replies.pop_front() else { return Ok(()) };
        self.client.was_done(self.path, Doing::File, reply.await?).await
    }
}

/// What comes behind what is written to a file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Behind {
    Set(Metadata),
    /// `fsync@openssh.com`
    Sync,
}
