//! What is said before the command starts: a state machine without I/O.

use std::fmt::Write as _;
use std::hash::{BuildHasher as _, RandomState};

use super::{Become, BecomeProblem, BecomeRefused};
use crate::{Chunk, Command, ExitStatus, Process, SshError, Target};

/// As much of what a program says before it runs the command is kept, in bytes: its end.
const KEPT: usize = 16 << 10;

/// A conversation with `sudo` or its like, on one channel, up to the command's start.
///
/// [`command`](Self::command) is spawned with its input piped; what it writes goes to
/// [`read`](Self::read), which says what to do next.
#[derive(Debug)]
pub struct Talk {
    from: Become,
    prompt: String,
    ready: String,
    /// What was said and is no prompt that was answered.
    said: Vec<u8>,
    answered: bool,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Read on.
    Read,
    /// Write [`Become::answer`] to standard input, and read on.
    Answer,
    /// Write an empty line to standard input: the command starts with that, and all else is its own.
    Start,
}

impl Talk {
    /// With markers that nobody can guess.
    pub fn new(from: &Become) -> Self {
        let (prompt, ready) = (marker("ask"), marker("run"));
        Self { from: from.clone(), prompt, ready, said: Vec::new(), answered: false }
    }

    /// As whom and how.
    pub fn become_user(&self) -> &Become {
        &self.from
    }

    /// The command that runs another one, with its input piped.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] where that makes no sense, or is too long together.
    pub fn command(&self, command: &Command) -> Result<Command, SshError> {
        command.validate()?;
        let line = self.from.line(&self.prompt, &self.ready, command.command());
        let command = command.clone().into_plain(line);
        command.validate()?;
        Ok(command)
    }

    /// Takes in what was written.
    ///
    /// # Errors
    ///
    /// [`SshError::Become`] where it asks for a password again: the first was wrong.
    pub fn read(&mut self, target: &Target, chunk: &Chunk) -> Result<Step, SshError> {
        // Before the command starts, standard output has what start-up files of the login shell say.
        let Chunk::Stderr(bytes) = chunk else { return Ok(Step::Read) };
        self.said.extend_from_slice(bytes);
        if find(&self.said, &self.ready).is_some() {
            return Ok(Step::Start);
        }
        if let Some(at) = find(&self.said, &self.prompt) {
            self.said.drain(at..at + self.prompt.len());
            if std::mem::replace(&mut self.answered, true) {
                let problem = BecomeProblem::WrongPassword;
                return Err(BecomeRefused::error(&self.from, target, problem, &self.said));
            }
            return Ok(Step::Answer);
        }
        let surplus = self.said.len().saturating_sub(KEPT);
        self.said.drain(..surplus);
        Ok(Step::Read)
    }

    /// The error where it ended before the command started.
    pub fn ended(&self, target: &Target, ended: Result<ExitStatus, SshError>) -> SshError {
        let code = match ended {
            Ok(status) => Some(status.code()),
            Err(SshError::NoExitStatus { .. }) => None,
            Err(error) => return self.not_started(error),
        };
        let problem = match BecomeProblem::of_end(code, &self.said) {
            BecomeProblem::Other if self.answered => BecomeProblem::WrongPassword,
            problem => problem,
        };
        BecomeRefused::error(&self.from, target, problem, &self.said)
    }

    /// An error of the channel, before the command started.
    pub fn not_started(&self, mut error: SshError) -> SshError {
        if let SshError::Timeout { maybe_started, partial, .. }
        | SshError::ConnectionLost { maybe_started, partial, .. } = &mut error
        {
            (*maybe_started, *partial) = (false, None);
        }
        if let SshError::Closed { maybe_started, .. } = &mut error {
            *maybe_started = false;
        }
        error
    }
}

/// 128 bits that the system draws at random, in letters that no shell and no prompt gives a meaning.
fn marker(what: &str) -> String {
    let mut marker = format!("hussh-{what}-");
    for part in 0..2 {
        let _ = write!(marker, "{:016x}", RandomState::new().hash_one(part));
    }
    marker
}

fn find(bytes: &[u8], marker: &str) -> Option<usize> {
    bytes.windows(marker.len()).position(|window| window == marker.as_bytes())
}

/// Holds the conversation, on a thread that waits, up to where the command can be started.
///
/// # Errors
///
/// [`SshError::Become`], or that of the channel. The command has not started.
pub fn settle<P: Process>(process: P, talk: &mut Talk, target: &Target) -> Result<P, SshError> {
    loop {
        let chunk = match process.read() {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Err(talk.ended(target, process.wait())),
            Err(error) => return Err(talk.not_started(error)),
        };
        match talk.read(target, &chunk)? {
            Step::Read => {}
            Step::Answer => {
                let answer = talk.become_user().answer(target)?;
                process.write(&answer).map_err(|error| talk.not_started(error))?;
            }
            Step::Start => return Ok(process),
        }
    }
}
