//! From there to here.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::pipe::{Answers, last_words};
use super::{Job, MAX_DEPTH, MAX_ENTRIES, Pipe, Said, Source, here};
use crate::SshError;
use crate::sftp::transfer::local::{Folder, NewFile};
use crate::sftp::transfer::progress::Counter;
use crate::sftp::{Metadata, Offload, Outcome, Report};

/// Receives a file, or a directory with all that is in it, from [`Job::sends`].
///
/// `local` is what it is to be named here. A file gets its name when it is whole. Nothing is written
/// outside `local`, whatever the server says, and links in it are not followed.
///
/// # Errors
///
/// Where there is no such file, `local` cannot be made, the connection ends, or the server says what
/// no `scp` does. What else goes wrong with a file is in the [`Report`].
pub async fn download(
    pipe: &impl Pipe,
    offload: &dyn Offload,
    job: Job<'_>,
) -> Result<Report, SshError> {
    let mut answers = Answers::new(pipe);
    let mut source = Source::default();
    let counter = Counter::new(job.transfer);
    let (report, times) = (Report::default(), None);
    let mut sink =
        Sink { job, offload, counter, report, above: Vec::new(), file: None, times, begun: false };
    pipe.write(&[0]).await?;
    loop {
        let said = source.read().map_err(|what| job.violated(&sink.path(), &what))?;
        let answer = match said {
            Said::Incomplete => match answers.piece().await? {
                Some(piece) => {
                    source.give(&piece);
                    continue;
                }
                None => break,
            },
            Said::Content(bytes) => {
                sink.write(bytes).await;
                continue;
            }
            Said::Warning(text) | Said::Fatal(text) => {
                sink.failed(&text)?;
                continue;
            }
            Said::Times(changed, read) => {
                let seconds = |time: u64| u32::try_from(time).unwrap_or(u32::MAX);
                sink.times = Some((seconds(read), seconds(changed)));
                Ok(())
            }
            Said::Directory { mode, name } => sink.enter(mode, &name).await?,
            Said::Leave => sink.leave().await?,
            Said::File { mode, size: _, name } => sink.start(mode, &name).await?,
            Said::Complete(problem) => sink.finish(problem).await?,
        };
        match answer {
            Ok(()) => pipe.write(&[0]).await?,
            // The server leaves out what cannot be put here.
            Err(text) => pipe.write(format!("\x01{text}\n").as_bytes()).await?,
        }
    }
    if !sink.begun {
        return Err(job.remote_failed(Path::new(""), &last_words(&answers.stderr)));
    }
    if !source.is_between() || !sink.above.is_empty() || sink.file.is_some() {
        let words = last_words(&answers.stderr);
        return Err(job.remote_error(&sink.path(), io::ErrorKind::UnexpectedEof, &words));
    }
    Ok(sink.report)
}

/// What is told to the server of something that cannot be put here.
type Told = Result<(), String>;

struct Sink<'a> {
    job: Job<'a>,
    offload: &'a dyn Offload,
    counter: Counter,
    report: Report,
    /// The directories that we are in, with their paths below the first.
    above: Vec<(Arc<Folder>, PathBuf)>,
    file: Option<Receiving>,
    times: Option<(u32, u32)>,
    /// What was asked for has begun: nothing else is.
    begun: bool,
}

/// A file that comes.
struct Receiving {
    path: PathBuf,
    /// `None` where it cannot be written; what comes is dropped.
    file: Result<NewFile, io::Error>,
    metadata: Option<Metadata>,
    bytes: u64,
}

impl Sink<'_> {
    /// What is being transferred, below the first directory.
    fn path(&self) -> PathBuf {
        let directory = || self.above.last().map(|(_, path)| path.clone());
        self.file.as_ref().map(|file| file.path.clone()).or_else(directory).unwrap_or_default()
    }

    /// Where something of this name goes: `None` for the first, whose name is the caller's choice.
    fn place(&mut self, name: &OsStr) -> Result<Option<(Arc<Folder>, PathBuf)>, SshError> {
        if let Some((folder, path)) = self.above.last() {
            let place = (Arc::clone(folder), path.join(name));
            if self.above.len() >= MAX_DEPTH || self.report.entries.len() >= MAX_ENTRIES {
                let what = "it has more in it, or deeper, than is taken";
                return Err(self.job.violated(&place.1, what));
            }
            return Ok(Some(place));
        }
        let asked = self.job.remote.file_name();
        if std::mem::replace(&mut self.begun, true) || asked.is_some_and(|asked| asked != name) {
            let name = crate::printable(name.as_bytes());
            let what = format!("it sends {name:?}, which was not asked for");
            return Err(self.job.violated(Path::new(""), &what));
        }
        Ok(None)
    }

    fn metadata(&mut self, mode: u32) -> Option<Metadata> {
        let times = self.times.take();
        let metadata = Metadata { mode: Some(mode), times, ..Metadata::default() };
        self.job.transfer.preserve.then_some(metadata)
    }

    async fn enter(&mut self, mode: u32, name: &OsStr) -> Result<Told, SshError> {
        let metadata = self.metadata(mode);
        let (folder, path) = match self.place(name)? {
            None => {
                let local = self.job.local.to_owned();
                let made = here(self.offload, move || Folder::root(&local, metadata)).await;
                (made.map_err(|error| self.job.local_error(Path::new(""), &error))?, PathBuf::new())
            }
            Some((parent, path)) => {
                let name = name.to_owned();
                match here(self.offload, move || parent.inside(&name, metadata)).await {
                    Ok(folder) => (folder, path),
                    Err(error) => return Ok(Err(self.lost(path, &error))),
                }
            }
        };
        self.report.add(path.clone(), Outcome::Directory);
        self.above.push((folder, path));
        Ok(Ok(()))
    }

    async fn leave(&mut self) -> Result<Told, SshError> {
        let Some((folder, path)) = self.above.pop() else {
            return Err(self.job.violated(Path::new(""), "it leaves what it has not entered"));
        };
        match here(self.offload, move || folder.leave()).await {
            Ok(()) => Ok(Ok(())),
            Err(error) => Ok(Err(self.lost(path, &error))),
        }
    }

    async fn start(&mut self, mode: u32, name: &OsStr) -> Result<Told, SshError> {
        let metadata = self.metadata(mode);
        let private = metadata.is_some();
        let (file, path) = match self.place(name)? {
            None => {
                let local = self.job.local.to_owned();
                let started = here(self.offload, move || start_first(&local, private)).await;
                let failed = |error| self.job.local_error(Path::new(""), &error);
                (started.map_err(failed)?, PathBuf::new())
            }
            Some((folder, path)) => {
                let name = name.to_owned();
                let start = move || Ok(folder.start(&name, false, private)?.0);
                match here(self.offload, start).await {
                    Ok(file) => (file, path),
                    Err(error) => return Ok(Err(self.lost(path, &error))),
                }
            }
        };
        self.file = Some(Receiving { path, file: Ok(file), metadata, bytes: 0 });
        Ok(Ok(()))
    }

    async fn write(&mut self, bytes: Bytes) {
        let Some(mut receiving) = self.file.take() else { return };
        receiving.bytes += bytes.len() as u64;
        self.counter.bytes(bytes.len());
        if let Ok(mut file) = receiving.file {
            let written = move || {
                file.file().write_all(&bytes)?;
                Ok(file)
            };
            receiving.file = here(self.offload, written).await;
        }
        self.file = Some(receiving);
    }

    async fn finish(&mut self, problem: Option<String>) -> Result<Told, SshError> {
        let Some(Receiving { path, file, metadata, bytes }) = self.file.take() else {
            return Err(self.job.violated(Path::new(""), "it ends a file that it has not begun"));
        };
        if let Some(problem) = problem {
            let error = self.job.remote_failed(&path, &problem);
            self.report.add(path, Outcome::Failed(error));
            return Ok(Ok(()));
        }
        let finished = match file {
            Ok(file) => here(self.offload, move || file.finish(metadata.as_ref())).await,
            Err(error) => Err(error),
        };
        match finished {
            Ok(()) => {
                self.counter.file();
                self.report.add(path, Outcome::File(bytes));
                Ok(Ok(()))
            }
            Err(error) => Ok(Err(self.lost(path, &error))),
        }
    }

    /// Something that the server could not send: an error of the whole where nothing has come.
    fn failed(&mut self, text: &str) -> Result<(), SshError> {
        let path = self.path();
        let error = self.job.remote_failed(&path, text);
        if !self.begun {
            return Err(error);
        }
        if self.report.entries.len() >= MAX_ENTRIES {
            return Err(self.job.violated(&path, "it has more to say than is taken"));
        }
        self.report.add(path, Outcome::Failed(error));
        Ok(())
    }

    /// Something that cannot be put here, and what the server is told of it.
    fn lost(&mut self, path: PathBuf, error: &io::Error) -> String {
        let text = error.to_string().replace('\n', " ");
        let failed = self.job.local_error(&path, error);
        self.report.add(path, Outcome::Failed(failed));
        text
    }
}

/// The file that was asked for, as the caller has named it; a link of the caller's own is followed.
fn start_first(local: &Path, private: bool) -> io::Result<NewFile> {
    let path = local.canonicalize().unwrap_or_else(|_| local.to_owned());
    let name: OsString = path.file_name().ok_or(io::ErrorKind::IsADirectory)?.to_owned();
    let folder = Folder::parent(&path)?;
    match folder.special(&name)? {
        Some(special) => Ok(special),
        None => Ok(folder.start(&name, false, private)?.0),
    }
}
