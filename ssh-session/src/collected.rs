//! What a command writes, kept until its end.

use std::fmt;

use crate::{Chunk, ExitStatus, Output, SshError, Target};

/// Both streams of a command that is read piece by piece, up to a limit for each.
pub struct Collected {
    target: Target,
    limit: usize,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Collected {
    /// Nothing yet. `limit` is for each stream, in bytes; `None` is none.
    pub fn new(target: &Target, limit: Option<usize>) -> Self {
        let limit = limit.unwrap_or(usize::MAX);
        Self { target: target.clone(), limit, stdout: Vec::new(), stderr: Vec::new() }
    }

    /// Takes in a piece.
    ///
    /// # Errors
    ///
    /// [`SshError::OutputLimit`] where it is more than wanted, without what came: that is in the
    /// error of [`finish`](Self::finish).
    pub fn push(&mut self, chunk: &Chunk) -> Result<(), SshError> {
        let (stream, bytes) = match chunk {
            Chunk::Stdout(bytes) => (&mut self.stdout, bytes),
            Chunk::Stderr(bytes) => (&mut self.stderr, bytes),
        };
        let room = self.limit.saturating_sub(stream.len());
        stream.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() <= room {
            return Ok(());
        }
        let (target, partial) = (self.target.clone(), Box::default());
        Err(SshError::OutputLimit { target, limit: self.limit, partial })
    }

    /// What the command left, by how it ended.
    ///
    /// # Errors
    ///
    /// That error, with what was collected.
    pub fn finish(self, ended: Result<ExitStatus, SshError>) -> Result<Output, SshError> {
        let Self { stdout, stderr, .. } = self;
        match ended {
            Ok(status) => Ok(Output { stdout: stdout.into(), stderr: stderr.into(), status }),
            Err(error) => Err(error.with_output(stdout, stderr)),
        }
    }
}

/// Sizes only.
impl fmt::Debug for Collected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collected")
            .field("stdout_bytes", &self.stdout.len())
            .field("stderr_bytes", &self.stderr.len())
            .finish_non_exhaustive()
    }
}
