//! What became of each file.

use std::path::PathBuf;

use super::Transfer;
use crate::SshError;

/// What became of each file of a transfer.
#[derive(Debug, Clone, Default)]
#[must_use = "a file that was not transferred is in here, and not an error of the call"]
pub struct Report {
    /// In the order in which they were done.
    pub entries: Vec<Transferred>,
}

/// What became of one file.
#[derive(Debug, Clone)]
pub struct Transferred {
    /// Its path below the directory that was transferred; empty for that itself, and for a single
    /// file.
    pub path: PathBuf,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a file.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It was transferred whole: so many bytes, fewer than the file has where it was resumed.
    File(u64),
    /// It is a directory, and there now.
    Directory,
    /// It is a symbolic link, and there now.
    Link,
    /// It was left out, and why.
    Skipped(String),
    /// It is not there, or not whole.
    Failed(SshError),
}

impl Report {
    /// Whether nothing was left out and nothing failed.
    pub fn is_complete(&self) -> bool {
        self.skipped().next().is_none() && self.failed().next().is_none()
    }

    /// How many files were transferred.
    pub fn files(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry.outcome, Outcome::File(_))).count()
    }

    /// How many bytes of files were transferred.
    pub fn bytes(&self) -> u64 {
        let bytes = self.entries.iter().map(|entry| match entry.outcome {
            Outcome::File(bytes) => bytes,
            _ => 0,
        });
        bytes.sum()
    }

    /// What was left out.
    pub fn skipped(&self) -> impl Iterator<Item = &Transferred> {
        self.entries.iter().filter(|entry| matches!(entry.outcome, Outcome::Skipped(_)))
    }

    /// What failed.
    pub fn failed(&self) -> impl Iterator<Item = &Transferred> {
        self.entries.iter().filter(|entry| matches!(entry.outcome, Outcome::Failed(_)))
    }

    /// The first error, for those who want all or nothing. What was left out is none.
    ///
    /// # Errors
    ///
    /// That of the first file that failed.
    pub fn all_or_error(self) -> Result<Self, SshError> {
        let error = self.failed().find_map(|entry| match &entry.outcome {
            Outcome::Failed(error) => Some(error.clone()),
            _ => None,
        });
        match error {
            Some(error) => Err(error),
            None => Ok(self),
        }
    }

    /// As [`add`](Self::add); a failure is the error where it is to end the transfer.
    pub(super) fn add_done(
        &mut self,
        path: PathBuf,
        outcome: Outcome,
        transfer: &Transfer,
    ) -> Result<(), SshError> {
        match outcome {
            Outcome::Failed(error) if transfer.fail_fast => Err(error),
            outcome => {
                self.add(path, outcome);
                Ok(())
            }
        }
    }

    pub(crate) fn add(&mut self, path: PathBuf, outcome: Outcome) {
        self.entries.push(Transferred { path, outcome });
    }
}

/// One file's end: an error that is about it goes into the report, and any other ends the transfer.
pub(super) fn settle(result: Result<Outcome, SshError>) -> Result<Outcome, SshError> {
    match result {
        Err(error @ SshError::File(_)) => Ok(Outcome::Failed(error)),
        other => other,
    }
}
