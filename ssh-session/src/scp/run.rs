//! A whole transfer over a session.

use std::path::Path;
use std::time::Duration;

use super::pipe::{Tasks, Threads, finish};
use super::{Job, Pipe, download, upload};
use crate::sftp::{Inline, Offload, Report};
use crate::{
    AsyncProcess as _, AsyncSession, Command, ExitStatus, Process as _, Session, SshError,
};

/// Which way files go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the server to here.
    Download,
    /// From here to the server.
    Upload,
}

impl Direction {
    fn command(self, job: &Job<'_>, timeout: Option<Duration>) -> Result<Command, SshError> {
        let command = match self {
            Self::Download => job.sends(),
            Self::Upload => job.receives(),
        };
        Ok(command?.timeout(timeout))
    }

    async fn run(
        self,
        pipe: &impl Pipe,
        offload: &dyn Offload,
        job: Job<'_>,
    ) -> Result<Report, SshError> {
        match self {
            Self::Download => download(pipe, offload, job).await,
            Self::Upload => upload(pipe, offload, job).await,
        }
    }
}

/// Transfers over a session whose calls wait, within this time.
///
/// # Errors
///
/// Those of [`download`] and [`upload`], and of starting a command.
pub fn on_threads<S: Session>(
    session: &S,
    direction: Direction,
    job: Job<'_>,
    timeout: Option<Duration>,
) -> Result<Report, SshError> {
    let process = session.spawn(&direction.command(&job, timeout)?)?;
    // Dropped where it fails, which ends the server's side, too.
    let report = finish(direction.run(&Threads(&process), &Inline, job))?;
    settle(job, report, &process.wait()?)
}

/// Transfers over a session for tasks, within this time. Dropping the future ends it; no file is left
/// here in part.
///
/// # Errors
///
/// As [`on_threads`].
pub async fn in_tasks<S: AsyncSession>(
    session: &S,
    offload: &dyn Offload,
    direction: Direction,
    job: Job<'_>,
    timeout: Option<Duration>,
) -> Result<Report, SshError> {
    let process = session.spawn(&direction.command(&job, timeout)?).await?;
    let report = direction.run(&Tasks(&process), offload, job).await?;
    settle(job, report, &process.wait().await?)
}

/// A server's `scp` that is content says so by its status, and one that is not has said why.
fn settle(job: Job<'_>, report: Report, status: &ExitStatus) -> Result<Report, SshError> {
    if *status == ExitStatus::Code(0) || !report.is_complete() {
        return Ok(report);
    }
    Err(job.remote_failed(Path::new(""), "the server's scp ended with an error of no words"))
}
