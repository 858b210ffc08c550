//! Why a command could not become another user's.

use std::fmt;

use super::Become;
use crate::{SshError, Target, printable};

/// `sudo` or its like did not run the command. It has not started.
#[derive(Debug, Clone)]
pub struct BecomeRefused {
    /// Whom it was about.
    pub target: Target,
    /// The program's name.
    pub program: &'static str,
    /// As whom the command was to run.
    pub user: String,
    /// Why it does not.
    pub problem: BecomeProblem,
    /// What the program said, escaped and cut; without prompts.
    pub said: String,
}

/// Why a command does not run as another user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BecomeProblem {
    /// The password was refused. It was sent once.
    WrongPassword,
    /// A password is wanted, and none was given.
    PasswordNeeded,
    /// A password was asked for, and the caller gave none.
    NoPassword,
    /// There is no such program on the server.
    Missing,
    /// The rules (`sudoers`, `doas.conf`) don't allow it.
    NotAllowed,
    /// The rules want a terminal (`requiretty`).
    TerminalNeeded,
    /// There is no user of that name.
    NoSuchUser,
    /// Something else: see what it said.
    Other,
}

impl BecomeRefused {
    pub(super) fn error(
        from: &Become,
        target: &Target,
        problem: BecomeProblem,
        said: &[u8],
    ) -> SshError {
        let said = printable(said.trim_ascii());
        let (target, user) = (target.clone(), from.user.clone());
        SshError::Become(Box::new(Self { target, program: from.program(), user, problem, said }))
    }
}

impl BecomeProblem {
    /// By what a program said that ended with this code before it ran anything. Codes are sure;
    /// texts are those of English systems, and where none fits it is [`Other`](Self::Other).
    pub(super) fn of_end(code: Option<u32>, said: &[u8]) -> Self {
        let said = String::from_utf8_lossy(said).to_lowercase();
        let says = |texts: &[&str]| texts.iter().any(|text| said.contains(text));
        if says(&["must have a tty"]) {
            Self::TerminalNeeded
        } else if says(&["unknown user", "user does not exist"]) {
            Self::NoSuchUser
        } else if says(&[
            "not in the sudoers",
            "is not allowed to",
            "may not run",
            "operation not permitted",
        ]) {
            Self::NotAllowed
        } else if says(&[
            "password is required",
            "authentication required",
            "authorization required",
        ]) {
            Self::PasswordNeeded
        } else if matches!(code, Some(126 | 127)) {
            Self::Missing
        } else {
            Self::Other
        }
    }
}

impl fmt::Display for BecomeRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, program, user, problem, said } = self;
        write!(f, "{target}: {program} did not run the command as {user:?}: ")?;
        f.write_str(match problem {
            BecomeProblem::WrongPassword => "the password was refused",
            BecomeProblem::PasswordNeeded => "it wants a password; give one to `become_user`",
            BecomeProblem::NoPassword => "it asked for a password, and there is none",
            BecomeProblem::Missing => "there is no such program; install it on the server",
            BecomeProblem::NotAllowed => {
                "its rules do not allow that; it has to be allowed to run /bin/sh as that user"
            }
            BecomeProblem::TerminalNeeded => {
                "its rules want a terminal; turn requiretty off for this user in sudoers"
            }
            BecomeProblem::NoSuchUser => "there is no such user on the server",
            BecomeProblem::Other => "it ended",
        })?;
        if said.is_empty() { Ok(()) } else { write!(f, " (it said \"{said}\")") }
    }
}
