//! From here to there.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::pipe::{Answer, Answers, last_words};
use super::{Job, MAX_DEPTH, Pipe, here};
use crate::SshError;
use crate::sftp::transfer::progress::Counter;
use crate::sftp::{Offload, Outcome, Report};

/// What is read of a file at once.
const PIECE: usize = 128 * 1024;

/// What is to be done next, the last first.
enum Step {
    Send { path: PathBuf, name: OsString, above: Vec<(u64, u64)> },
    Leave,
}

/// What is at a local path.
enum There {
    File(File, fs::Metadata),
    Directory(fs::Metadata, Vec<OsString>),
    Special,
}

/// Sends a file, or a directory with all that is in it, to [`Job::receives`].
///
/// `remote` is what it is to be named there. Links are followed. A file that becomes shorter while it
/// is sent ends the transfer: SCP says the size first, and the server must not take less for all.
///
/// # Errors
///
/// Where there is no such file, the connection ends, or the server gives up. What else goes wrong with
/// a file is in the [`Report`].
pub async fn upload(
    pipe: &impl Pipe,
    offload: &dyn Offload,
    job: Job<'_>,
) -> Result<Report, SshError> {
    let counter = Counter::new(job.transfer);
    let mut sending = Sending {
        job,
        offload,
        pipe,
        answers: Answers::new(pipe),
        counter,
        report: Report::default(),
    };
    if let Some(refused) = sending.answer(Path::new("")).await? {
        return Err(job.remote_failed(Path::new(""), &refused));
    }
    let name = job.remote.file_name().unwrap_or_default().to_owned();
    let mut steps = vec![Step::Send { path: PathBuf::new(), name, above: Vec::new() }];
    while let Some(step) = steps.pop() {
        match step {
            Step::Send { path, name, above } => {
                let result = sending.send(&path, &name, above, &mut steps).await;
                match result {
                    Ok(outcome) => sending.report.add(path, outcome),
                    Err(error) => return Err(error),
                }
            }
            Step::Leave => {
                pipe.write(b"E\n").await?;
                if let Some(refused) = sending.answer(Path::new("")).await? {
                    let error = job.remote_failed(Path::new(""), &refused);
                    sending.report.add(PathBuf::new(), Outcome::Failed(error));
                }
            }
        }
    }
    pipe.end().await?;
    while sending.answers.piece().await?.is_some() {}
    Ok(sending.report)
}

struct Sending<'a, P> {
    job: Job<'a>,
    offload: &'a dyn Offload,
    pipe: &'a P,
    answers: Answers<'a, P>,
    counter: Counter,
    report: Report,
}

impl<P: Pipe> Sending<'_, P> {
    /// Why the server does not take it, if it does not.
    async fn answer(&mut self, path: &Path) -> Result<Option<String>, SshError> {
        match self.answers.next().await? {
            Answer::Well => Ok(None),
            Answer::Refused(text) => Ok(Some(text)),
            Answer::Fatal(text) => Err(self.job.remote_failed(path, &text)),
            Answer::Ended => {
                let words = last_words(&self.answers.stderr);
                Err(self.job.remote_failed(path, &words))
            }
        }
    }

    async fn send(
        &mut self,
        path: &Path,
        name: &OsString,
        mut above: Vec<(u64, u64)>,
        steps: &mut Vec<Step>,
    ) -> Result<Outcome, SshError> {
        if name.as_bytes().contains(&b'\n') {
            return Ok(Outcome::Skipped("its name has a line's end in it".into()));
        }
        let first = path.as_os_str().is_empty();
        let local = if first { self.job.local.to_owned() } else { self.job.local.join(path) };
        let there = match here(self.offload, move || look(&local)).await {
            Ok(there) => there,
            Err(error) if first => return Err(self.job.local_error(path, &error)),
            Err(error) => return Ok(Outcome::Failed(self.job.local_error(path, &error))),
        };
        match there {
            There::Special => Ok(Outcome::Skipped("it is no regular file".into())),
            There::File(file, metadata) => self.file(path, name, file, &metadata).await,
            There::Directory(metadata, names) => {
                let number = (metadata.dev(), metadata.ino());
                if above.contains(&number) || above.len() >= MAX_DEPTH {
                    return Ok(Outcome::Skipped("it is in itself, or too deep".into()));
                }
                above.push(number);
                if let Some(failed) = self.header(path, 'D', 0, name, &metadata).await? {
                    return Ok(failed);
                }
                steps.push(Step::Leave);
                steps.extend(names.into_iter().rev().map(|name| Step::Send {
                    path: path.join(&name),
                    name,
                    above: above.clone(),
                }));
                Ok(Outcome::Directory)
            }
        }
    }

    /// Says what comes; what became of it where the server does not want it.
    async fn header(
        &mut self,
        path: &Path,
        kind: char,
        size: u64,
        name: &OsString,
        metadata: &fs::Metadata,
    ) -> Result<Option<Outcome>, SshError> {
        let mut refused = None;
        if self.job.transfer.preserve {
            let (changed, read) = (metadata.mtime().max(0), metadata.atime().max(0));
            self.pipe.write(format!("T{changed} 0 {read} 0\n").as_bytes()).await?;
            refused = self.answer(path).await?;
        }
        if refused.is_none() {
            let mut line = format!("{kind}{:04o} {size} ", metadata.mode() & 0o777).into_bytes();
            line.extend_from_slice(name.as_bytes());
            line.push(b'\n');
            self.pipe.write(&line).await?;
            refused = self.answer(path).await?;
        }
        Ok(refused.map(|text| Outcome::Failed(self.job.remote_failed(path, &text))))
    }

    async fn file(
        &mut self,
        path: &Path,
        name: &OsString,
        mut file: File,
        metadata: &fs::Metadata,
    ) -> Result<Outcome, SshError> {
        let size = metadata.len();
        if let Some(failed) = self.header(path, 'C', size, name, metadata).await? {
            return Ok(failed);
        }
        let mut left = size;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let read = move || {
                let mut piece = vec![0; wanted];
                file.read_exact(&mut piece)?;
                Ok((file, piece))
            };
            let read = here(self.offload, read).await;
            let (same, piece) = read.map_err(|error| self.job.local_error(path, &error))?;
            file = same;
            self.pipe.write(&piece).await?;
            self.counter.bytes(piece.len());
            left -= piece.len() as u64;
        }
        self.pipe.write(&[0]).await?;
        if let Some(text) = self.answer(path).await? {
            return Ok(Outcome::Failed(self.job.remote_failed(path, &text)));
        }
        self.counter.file();
        Ok(Outcome::File(size))
    }
}

/// What is at a path, links followed, opened without waiting for anybody.
fn look(path: &Path) -> io::Result<There> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            names.push(entry?.file_name());
        }
        names.sort();
        return Ok(There::Directory(metadata, names));
    }
    if !metadata.is_file() {
        return Ok(There::Special);
    }
    let flags = OFlags::NONBLOCK | OFlags::CLOEXEC;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    Ok(if metadata.is_file() { There::File(file, metadata) } else { There::Special })
}
