//! From here to there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use rustix::fs::OFlags;

use super::super::asking::{Doing, is_kind, wire};
use super::super::attributes::Metadata;
use super::super::client::Client;
use super::super::files::{Behind, Writing};
use super::super::list::join;
use super::super::request::{CREATE, EXCLUSIVE, Request, TRUNCATE, WRITE};
use super::progress::Counter;
use super::report::{Outcome, Report, settle};
use super::{Links, MAX_DEPTH, Transfer};
use crate::SshError;

/// What is read of a file as it is opened: all of most.
const FIRST: usize = 64 * 1024;

/// One directory or file to do.
enum Task {
    /// With the numbers of those it is in.
    Directory {
        path: PathBuf,
        above: Vec<(u64, u64)>,
    },
    File {
        path: PathBuf,
    },
    Link {
        path: PathBuf,
    },
}

/// What came of one.
#[derive(Default)]
struct Done {
    entries: Vec<(PathBuf, Outcome)>,
    /// To be done next.
    tasks: Vec<Task>,
    /// A directory that was made, and what it is given in the end.
    folder: Option<(PathBuf, Metadata)>,
}

/// What is in a local directory.
struct Listing {
    metadata: Metadata,
    number: (u64, u64),
    entries: Vec<(PathBuf, Result<fs::Metadata, io::Error>)>,
}

impl Client {
    /// Transfers a file, or a directory with all that is in it, from this machine to the server.
    ///
    /// `remote` is what it is to be named there, not a directory to put it in. Files of the same
    /// names are written over; what else is in a directory there stays. Each file is read to its
    /// end, whatever its size.
    ///
    /// # Errors
    ///
    /// Where there is no such file, or the directory cannot be made, and where the connection ends
    /// or time is up. What else goes wrong with a file is in the [`Report`].
    pub async fn upload(
        &self,
        local: impl AsRef<Path>,
        remote: impl AsRef<Path>,
        transfer: &Transfer,
    ) -> Result<Report, SshError> {
        let (local, remote) = (local.as_ref(), remote.as_ref());
        wire(remote)?;
        let path = local.to_owned();
        let is_dir = self.here(local, move || Ok(fs::metadata(path)?.is_dir())).await?;
        let job = Upload { client: self, transfer, local, remote, counter: Counter::new(transfer) };
        if is_dir && transfer.one_file {
            return Err(self.failed_here(local, &io::ErrorKind::IsADirectory.into()));
        }
        if is_dir {
            return job.tree().await;
        }
        let mut report = Report::default();
        let outcome = job.file(Path::new(""), true).await?;
        report.add(PathBuf::new(), outcome);
        Ok(report)
    }
}

struct Upload<'c> {
    client: &'c Client,
    transfer: &'c Transfer,
    local: &'c Path,
    remote: &'c Path,
    counter: Counter,
}

impl Upload<'_> {
    async fn tree(&self) -> Result<Report, SshError> {
        let mut report = Report::default();
        self.make(self.remote).await?;
        let mut tasks = vec![Task::Directory { path: PathBuf::new(), above: Vec::new() }];
        let at_once = self.transfer.at_once.min(self.client.conversation.limits().handles / 2);
        let mut running = FuturesUnordered::new();
        // Set when all is in them.
        let mut folders = Vec::new();
        loop {
            while running.len() < at_once.max(1)
                && let Some(task) = tasks.pop()
            {
                running.push(self.task(task));
            }
            let Some(done) = running.next().await else { break };
            let Done { entries, tasks: more, folder } = done?;
            tasks.extend(more);
            folders.extend(folder);
            for (path, outcome) in entries {
                report.add_done(path, outcome, self.transfer)?;
            }
        }
        drop(running);
        let mut replies = Vec::new();
        for (path, metadata) in folders.into_iter().rev().filter(|_| self.transfer.preserve) {
            let remote = join(self.remote, &path);
            let request = Request::Setstat { path: wire(&remote)?, attributes: kept(&metadata) };
            replies.push((self.client.send(request).await?, remote, path));
        }
        for (reply, remote, path) in replies {
            let set = self.client.was_done(&remote, Doing::Other, reply.await?).await;
            if let Outcome::Failed(error) = settle(set.map(|()| Outcome::Directory))? {
                report.add(path, Outcome::Failed(error));
            }
        }
        Ok(report)
    }

    fn task(&self, task: Task) -> BoxFuture<'_, Result<Done, SshError>> {
        Box::pin(async move {
            let (path, outcome) = match task {
                Task::Directory { path, above } => return self.directory(path, above).await,
                Task::File { path } => {
                    let follow = self.transfer.links == Links::Follow;
                    let outcome = settle(self.file(&path, follow).await)?;
                    (path, outcome)
                }
                Task::Link { path } => {
                    let outcome = settle(self.link(&path).await)?;
                    (path, outcome)
                }
            };
            Ok(Done { entries: vec![(path, outcome)], ..Done::default() })
        })
    }

    async fn directory(&self, path: PathBuf, above: Vec<(u64, u64)>) -> Result<Done, SshError> {
        let (here, there) = (join(self.local, &path), join(self.remote, &path));
        let mut done = Done::default();
        let (folder, follow) = (here.clone(), self.transfer.links == Links::Follow);
        let listed = self.client.here(&here, move || list(&folder, follow)).await;
        let made = match &listed {
            // The one above all is there.
            Ok(_) if path != Path::new("") => self.make(&there).await,
            _ => Ok(()),
        };
        let listing = match (listed, made) {
            (Ok(listing), Ok(())) => listing,
            (Err(error), _) | (_, Err(error)) => {
                done.entries.push((path, settle(Err(error))?));
                return Ok(done);
            }
        };
        if above.contains(&listing.number) {
            let why = "a symbolic link to a directory that it is in";
            done.entries.push((path, Outcome::Skipped(why.into())));
            return Ok(done);
        }
        let mut inside = above;
        inside.push(listing.number);
        for (name, metadata) in listing.entries {
            let path = path.join(name);
            let metadata = match metadata {
                Ok(metadata) => metadata,
                Err(error) => {
                    let failed = self.client.failed_here(&self.local.join(&path), &error);
                    done.entries.push((path, Outcome::Failed(failed)));
                    continue;
                }
            };
            let skipped = match metadata.file_type() {
                kind if kind.is_file() => {
                    done.tasks.push(Task::File { path });
                    continue;
                }
                kind if kind.is_dir() && inside.len() <= MAX_DEPTH => {
                    done.tasks.push(Task::Directory { path, above: inside.clone() });
                    continue;
                }
                kind if kind.is_symlink() && self.transfer.links == Links::Keep => {
                    done.tasks.push(Task::Link { path });
                    continue;
                }
                kind if kind.is_dir() => format!("it is more than {MAX_DEPTH} directories deep"),
                kind if kind.is_symlink() => "a symbolic link".into(),
                _ => "it is a pipe, a socket or a device".into(),
            };
            done.entries.push((path, Outcome::Skipped(skipped)));
        }
        done.entries.push((path.clone(), Outcome::Directory));
        done.folder = Some((path, listing.metadata));
        Ok(done)
    }

    /// Makes a directory, or makes sure that there is one.
    async fn make(&self, remote: &Path) -> Result<(), SshError> {
        match self.client.mkdir(remote).await {
            Err(error) if is_kind(&error, io::ErrorKind::AlreadyExists) => {
                match self.client.stat(remote).await?.is_dir() {
                    true => Ok(()),
                    false => Err(error),
                }
            }
            other => other,
        }
    }

    async fn link(&self, path: &Path) -> Result<Outcome, SshError> {
        let (here, there) = (self.local.join(path), self.remote.join(path));
        let link = here.clone();
        let target = self.client.here(&here, move || fs::read_link(link)).await?;
        match self.client.symlink(&target, &there).await {
            Err(error)
                if is_kind(&error, io::ErrorKind::AlreadyExists)
                    && self.client.lstat(&there).await?.is_symlink() =>
            {
                self.client.remove(&there).await?;
                self.client.symlink(&target, &there).await?;
            }
            other => other?,
        }
        Ok(Outcome::Link)
    }

    async fn file(&self, path: &Path, follow: bool) -> Result<Outcome, SshError> {
        let (here, there) = (join(self.local, path), join(self.remote, path));
        let local = here.clone();
        let begun = match self.transfer.resume {
            true => self.client.stat(&there).await.ok().and_then(|found| found.size).unwrap_or(0),
            false => 0,
        };
        let opened = self.client.here(&here, move || Source::open(&local, follow, begun)).await?;
        let (mut source, mut piece, begun) = opened;
        let temporary = self.transfer.atomic.then(|| temporary(&there)).transpose();
        let temporary = temporary.map_err(|error| self.client.failed_here(&here, &error))?;
        let name = temporary.as_deref().unwrap_or(&there);
        let flags = WRITE
            | CREATE
            | if temporary.is_some() { EXCLUSIVE } else { 0 }
            | if begun == 0 { TRUNCATE } else { 0 };
        let metadata = kept(&source.metadata);
        let private = Metadata { mode: metadata.mode.map(|_| 0o600), ..Metadata::default() };
        let attributes = if self.transfer.preserve { private } else { Metadata::default() };
        let handle = self.client.open_to_write(name, flags, attributes).await?;
        let mut writing = Writing::new(self.client, &handle, name, begun);
        let largest = self.client.conversation.limits().write;
        let mut bytes = 0;
        let sent = async {
            loop {
                for part in piece.chunks(largest) {
                    writing.write(part).await?;
                    bytes += part.len() as u64;
                    self.counter.bytes(part.len());
                }
                if source.ended {
                    break;
                }
                let next = move || {
                    let piece = source.next(largest)?;
                    Ok((source, piece))
                };
                (source, piece) = self.client.here(&here, next).await?;
            }
            let mut behind = Vec::new();
            if self.transfer.preserve {
                behind.push(Behind::Set(metadata));
            }
            if self.transfer.sync && self.client.conversation.extensions().fsync {
                behind.push(Behind::Sync);
            }
            writing.finish(&behind).await
        };
        let sent = match (sent.await, &temporary) {
            (Ok(()), Some(temporary)) => self.client.rename(temporary, &there).await,
            (sent, _) => sent,
        };
        if let (Err(SshError::File(_)), Some(temporary)) = (&sent, &temporary) {
            // Its own error is no news.
            let _ = self.client.remove(temporary).await;
        }
        sent?;
        self.counter.file();
        Ok(Outcome::File(bytes))
    }
}

/// A local file that is read to its end.
struct Source {
    /// Closed at the end.
    file: Option<File>,
    metadata: Metadata,
    ended: bool,
}

impl Source {
    /// Opens a file behind what was transferred of it, and reads the first piece.
    fn open(path: &Path, follow: bool, begun: u64) -> io::Result<(Self, Vec<u8>, u64)> {
        // A pipe would wait for its other end.
        let links = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
        let flags = OFlags::NONBLOCK | links;
        let file =
            OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
        }
        // What is there is not the beginning of this.
        let begun = if begun > found.len() { 0 } else { begun };
        let mut source = Self { file: Some(file), metadata: of(&found), ended: false };
        if begun > 0
            && let Some(file) = &mut source.file
        {
            file.seek(SeekFrom::Start(begun))?;
        }
        let piece = source.next(FIRST)?;
        Ok((source, piece, begun))
    }

    /// The next piece: fewer bytes only at the end, which a file that has less is at.
    fn next(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut piece = Vec::new();
        if let Some(file) = &mut self.file {
            file.take(length as u64).read_to_end(&mut piece)?;
        }
        self.ended = piece.len() < length;
        if self.ended {
            self.file = None;
        }
        Ok(piece)
    }
}

fn list(folder: &Path, follow: bool) -> io::Result<Listing> {
    let found = fs::metadata(folder)?;
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = if follow { fs::metadata(entry.path()) } else { entry.metadata() };
        entries.push((PathBuf::from(entry.file_name()), metadata));
    }
    Ok(Listing { metadata: of(&found), number: (found.dev(), found.ino()), entries })
}

fn of(found: &fs::Metadata) -> Metadata {
    let time = |seconds: i64| u32::try_from(seconds.max(0)).unwrap_or(u32::MAX);
    Metadata {
        size: Some(found.len()),
        owner: None,
        mode: Some(found.mode()),
        times: Some((time(found.atime()), time(found.mtime()))),
    }
}

/// What a file or directory is given of the original's: no set-id bits.
fn kept(metadata: &Metadata) -> Metadata {
    let mode = metadata.mode.map(|mode| mode & 0o777);
    Metadata { size: None, owner: None, mode, times: metadata.times }
}

/// A name that nobody has, beside this one.
pub(in crate::sftp) fn temporary(path: &Path) -> io::Result<PathBuf> {
    let mut random = [0; 8];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let name = path.file_name().unwrap_or_default().as_bytes();
    let mut new = std::ffi::OsString::from(".");
    new.push(std::ffi::OsStr::from_bytes(&name[..name.len().min(200)]));
    new.push(format!(".{:016x}.part", u64::from_ne_bytes(random)));
    Ok(path.with_file_name(new))
}
