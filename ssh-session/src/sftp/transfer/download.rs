//! From there to here.

use std::ffi::{OsStr, OsString};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use super::super::answer::Name;
use super::super::attributes::{FileKind, Metadata};
use super::super::client::Client;
use super::super::list::{file_name, join};
use super::super::reading::Reading;
use super::local::{Folder, NewFile};
use super::progress::Counter;
use super::report::{Outcome, Report, settle};
use super::{Links, MAX_DEPTH, Transfer};
use crate::SshError;

/// What is written to a local file at once.
const PIECE: usize = 128 * 1024;

/// One directory or file to do.
enum Task {
    Directory { remote: PathBuf, path: PathBuf, folder: Arc<Folder>, real: Vec<PathBuf> },
    File { remote: PathBuf, path: PathBuf, folder: Arc<Folder>, metadata: Metadata },
    Link { remote: PathBuf, path: PathBuf, folder: Arc<Folder> },
}

/// What came of one: entries of the report, and what is to be done next.
type Done = Result<(Vec<(PathBuf, Outcome)>, Vec<Task>), SshError>;

impl Client {
    /// Transfers a file, or a directory with all that is in it, from the server to this machine.
    ///
    /// `local` is what it is to be named here, not a directory to put it in. Files of the same names
    /// are replaced, each when its successor is whole; what else is in a local directory stays.
    /// Nothing is written outside `local`, whatever the server says: names that are none are left
    /// out, and links in it are not followed.
    ///
    /// # Errors
    ///
    /// Where there is no such file, or `local` cannot be made, and where the connection ends or time
    /// is up. What else goes wrong with a file is in the [`Report`].
    pub async fn download(
        &self,
        remote: impl AsRef<Path>,
        local: impl AsRef<Path>,
        transfer: &Transfer,
    ) -> Result<Report, SshError> {
        let (remote, local) = (remote.as_ref(), local.as_ref());
        let metadata = self.stat(remote).await?;
        let job = Download { client: self, transfer, local, counter: Counter::new(transfer) };
        if metadata.is_dir() && transfer.one_file {
            return Err(self.failed(remote, io::ErrorKind::IsADirectory, ""));
        }
        if metadata.is_dir() {
            return job.tree(remote, metadata).await;
        }
        let mut report = Report::default();
        // A link of the user's own is followed, as it is to a directory.
        let path = local.to_owned();
        let (folder, name, special) = self
            .here(local, move || {
                let path = path.canonicalize().unwrap_or(path);
                let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?.to_owned();
                let folder = Folder::parent(&path)?;
                let special = folder.special(&name)?;
                Ok((folder, name, special))
            })
            .await?;
        let outcome = job.file(remote, (Path::new(""), &name), &folder, metadata, special).await?;
        report.add(PathBuf::new(), outcome);
        Ok(report)
    }
}

struct Download<'c> {
    client: &'c Client,
    transfer: &'c Transfer,
    local: &'c Path,
    counter: Counter,
}

impl Download<'_> {
    async fn tree(&self, remote: &Path, metadata: Metadata) -> Result<Report, SshError> {
        let mut report = Report::default();
        let (path, metadata) = (self.local.to_owned(), self.kept(metadata));
        let folder = self.client.here(self.local, move || Folder::root(&path, metadata)).await?;
        let real = match self.transfer.links {
            Links::Follow => vec![self.client.real_path(remote).await?],
            Links::Keep | Links::Skip => Vec::new(),
        };
        report.add(PathBuf::new(), Outcome::Directory);
        let (remote, path) = (remote.to_owned(), PathBuf::new());
        let mut tasks = vec![Task::Directory { remote, path, folder, real }];
        let at_once = self.transfer.at_once.min(self.client.conversation.limits().handles / 2);
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < at_once.max(1)
                && let Some(task) = tasks.pop()
            {
                running.push(self.task(task));
            }
            let Some(done) = running.next().await else { return Ok(report) };
            let (entries, more) = done?;
            tasks.extend(more);
            for (path, outcome) in entries {
                report.add_done(path, outcome, self.transfer)?;
            }
            if report.entries.len() + tasks.len() > self.client.bounds.entries {
                let detail = "it has more in it than may be (see `Bounds::entries`)";
                return Err(self.client.failed(Path::new(""), io::ErrorKind::InvalidData, detail));
            }
        }
    }

    fn task(&self, task: Task) -> BoxFuture<'_, Done> {
        Box::pin(async move {
            let (path, folder, outcome) = match task {
                Task::Directory { remote, path, folder, real } => {
                    return self.directory(&remote, path, folder, &real).await;
                }
                Task::File { remote, path, folder, metadata } => {
                    let name = path.file_name().unwrap_or_default().to_owned();
                    let file = self.file(&remote, (&path, &name), &folder, metadata, None).await;
                    (path, folder, settle(file)?)
                }
                Task::Link { remote, path, folder } => {
                    let link = self.link(&remote, &path, &folder).await;
                    (path, folder, settle(link)?)
                }
            };
            self.leave(folder).await?;
            Ok((vec![(path, outcome)], Vec::new()))
        })
    }

    async fn directory(
        &self,
        remote: &Path,
        path: PathBuf,
        folder: Arc<Folder>,
        real: &[PathBuf],
    ) -> Done {
        let (mut entries, mut tasks) = (Vec::new(), Vec::new());
        let names = match self.client.names(remote).await {
            Ok(names) => names,
            Err(error) => {
                let failed = settle(Err(error))?;
                self.leave(folder).await?;
                return Ok((vec![(path, failed)], tasks));
            }
        };
        for Name { name, metadata } in names {
            let name = match file_name(&name) {
                Ok(name) => name,
                Err(why) => {
                    // Not joined to a path: it would be another one.
                    let shown = path.join(crate::printable(&name).replace('/', "\u{2215}"));
                    entries.push((shown, Outcome::Skipped(why)));
                    continue;
                }
            };
            let below = (join(remote, Path::new(&name)), path.join(&name));
            match self.entry(below.clone(), name, metadata, &folder, real).await {
                Ok(Ok(Some(task))) => tasks.push(task),
                Ok(Ok(None)) => {}
                Ok(Err(why)) => entries.push((below.1, Outcome::Skipped(why))),
                Err(error) => entries.push((below.1, settle(Err(error))?)),
            }
        }
        let made = tasks.iter().filter_map(|task| match task {
            Task::Directory { path, .. } => Some((path.clone(), Outcome::Directory)),
            _ => None,
        });
        entries.extend(made);
        self.leave(folder).await?;
        Ok((entries, tasks))
    }

    /// What is to be done with something in a directory; within, why nothing is.
    async fn entry(
        &self,
        (remote, path): (PathBuf, PathBuf),
        name: OsString,
        mut metadata: Metadata,
        folder: &Arc<Folder>,
        real: &[PathBuf],
    ) -> Result<Result<Option<Task>, String>, SshError> {
        if metadata.kind() == FileKind::Unknown {
            metadata = self.client.lstat(&remote).await?;
        }
        let mut real = real.to_vec();
        let is_link = metadata.is_symlink();
        if is_link {
            match self.transfer.links {
                Links::Skip => return Ok(Err("a symbolic link".into())),
                Links::Keep => {
                    let folder = Arc::clone(folder);
                    return Ok(Ok(Some(Task::Link { remote, path, folder })));
                }
                Links::Follow => metadata = self.client.stat(&remote).await?,
            }
        }
        match metadata.kind() {
            FileKind::Directory if real.len().max(path.components().count()) > MAX_DEPTH => {
                Ok(Err(format!("it is more than {MAX_DEPTH} directories deep")))
            }
            FileKind::Directory => {
                if self.transfer.links == Links::Follow {
                    let found = match is_link {
                        true => self.client.real_path(&remote).await?,
                        false => real.last().map_or_else(PathBuf::new, |above| above.join(&name)),
                    };
                    if real.contains(&found) {
                        return Ok(Err("a symbolic link to a directory that it is in".into()));
                    }
                    real.push(found);
                }
                let (above, kept) = (Arc::clone(folder), self.kept(metadata));
                let here = self.local.join(&path);
                let inside = self.client.here(&here, move || above.inside(&name, kept)).await?;
                Ok(Ok(Some(Task::Directory { remote, path, folder: inside, real })))
            }
            FileKind::File => {
                let folder = Arc::clone(folder);
                Ok(Ok(Some(Task::File { remote, path, folder, metadata })))
            }
            FileKind::Symlink | FileKind::Special | FileKind::Unknown => {
                Ok(Err("it is a pipe, a socket or a device".into()))
            }
        }
    }

    async fn link(
        &self,
        remote: &Path,
        path: &Path,
        folder: &Arc<Folder>,
    ) -> Result<Outcome, SshError> {
        let target = self.client.read_link(remote).await?;
        if !stays_inside(&target, path) {
            let shown = crate::printable(target.as_os_str().as_bytes());
            return Ok(Outcome::Skipped(format!("a symbolic link that may lead out: {shown:?}")));
        }
        let name = path.file_name().unwrap_or_default().to_owned();
        let folder = Arc::clone(folder);
        let make = move || folder.link(target.as_os_str(), &name);
        self.client.here(&self.local.join(path), make).await?;
        Ok(Outcome::Link)
    }

    async fn file(
        &self,
        remote: &Path,
        (path, name): (&Path, &OsStr),
        folder: &Arc<Folder>,
        metadata: Metadata,
        special: Option<NewFile>,
    ) -> Result<Outcome, SshError> {
        let here = join(self.local, path);
        let handle = self.client.open_to_read(remote).await?;
        let (resume, private) = (self.transfer.resume && special.is_none(), self.transfer.preserve);
        let start = {
            let (folder, name) = (Arc::clone(folder), name.to_owned());
            move || folder.start(&name, resume, private)
        };
        let (mut file, mut start, mut begun) = (special, Some(start), 0);
        if resume && let Some(start) = start.take() {
            let (resumed, there) = self.client.here(&here, start).await?;
            let claimed = metadata.size.unwrap_or(0);
            // What is there is not the beginning of this.
            begun = if there > claimed { 0 } else { there };
            file = Some(resumed);
        }
        let span = (begun, metadata.size.unwrap_or(0).max(begun), u64::MAX);
        let mut reading = Reading::new(self.client, &handle, remote, span);
        let (mut bytes, mut position) = (0, begun);
        let mut buffer = Vec::new();
        loop {
            let piece = reading.next().await?;
            let ended = piece.is_none();
            if let Some(piece) = piece {
                bytes += piece.len() as u64;
                self.counter.bytes(piece.len());
                buffer.extend_from_slice(&piece);
            }
            if !ended && buffer.len() < PIECE {
                continue;
            }
            // One piece of work for all that a small file needs.
            let (content, at) = (std::mem::take(&mut buffer), position);
            position += content.len() as u64;
            let (current, start) = (file.take(), start.take());
            let kept = self.kept(metadata);
            let write = move || {
                let mut current = match (current, start) {
                    (Some(current), _) => current,
                    (None, Some(start)) => start()?.0,
                    (None, None) => return Err(io::Error::from(io::ErrorKind::NotFound)),
                };
                if begun > 0 || resume {
                    current.file().seek(SeekFrom::Start(at))?;
                }
                current.file().write_all(&content)?;
                if !ended {
                    return Ok(Some(current));
                }
                if resume {
                    current.file().set_len(at + content.len() as u64)?;
                }
                current.finish(kept.as_ref())?;
                Ok(None)
            };
            file = self.client.here(&here, write).await?;
            if ended {
                self.counter.file();
                return Ok(Outcome::File(bytes));
            }
        }
    }

    /// What a file is given of the original's.
    fn kept(&self, metadata: Metadata) -> Option<Metadata> {
        self.transfer.preserve.then_some(metadata)
    }

    async fn leave(&self, folder: Arc<Folder>) -> Result<(), SshError> {
        let left = self.client.here(self.local, move || folder.leave()).await;
        settle(left.map(|()| Outcome::Directory)).map(drop)
    }
}

/// Whether a link at this path below a directory leads to something below it, whatever other links
/// there are: `..` only in front, and not above the directory.
fn stays_inside(target: &Path, path: &Path) -> bool {
    let mut depth = path.components().count().saturating_sub(1);
    let mut named = false;
    for part in target.components() {
        match part {
            Component::Normal(_) => named = true,
            Component::CurDir => {}
            Component::ParentDir if !named && depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::{Path, stays_inside};

    #[test]
    fn links_that_may_lead_out_are_known() {
        for (target, path, inside) in [
            ("x", "l", true),
            ("./x/y", "l", true),
            ("..", "d/l", true),
            ("../x", "d/l", true),
            ("", "l", true),
            ("..", "l", false),
            ("../..", "d/l", false),
            ("/etc", "l", false),
            ("x/..", "l", false),
            ("x/../..", "d/l", false),
        ] {
            assert_eq!(stays_inside(Path::new(target), Path::new(path)), inside, "{target} {path}");
        }
    }
}
