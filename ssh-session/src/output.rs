//! What came back.

use std::borrow::Cow;
use std::fmt;
use std::str::Utf8Error;

use bytes::Bytes;

use crate::{PartialOutput, Phase, SshError};

/// What a finished command left: every byte of both streams, and how it ended.
#[derive(Clone, PartialEq, Eq)]
pub struct Output {
    /// What it wrote to standard output.
    pub stdout: Bytes,
    /// What it wrote to standard error.
    pub stderr: Bytes,
    /// How it ended.
    pub status: ExitStatus,
}

impl Output {
    /// Standard output as text.
    ///
    /// # Errors
    ///
    /// Where it is not UTF-8.
    pub fn stdout_text(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(&self.stdout)
    }

    /// Standard error as text.
    ///
    /// # Errors
    ///
    /// Where it is not UTF-8.
    pub fn stderr_text(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(&self.stderr)
    }

    /// Standard output as text, with `U+FFFD` for what is not UTF-8.
    pub fn stdout_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stdout)
    }

    /// Standard error as text, with `U+FFFD` for what is not UTF-8.
    pub fn stderr_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stderr)
    }

    /// Whether the command exited with code 0.
    pub fn success(&self) -> bool {
        self.status.success()
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("stdout", &crate::printable(&self.stdout))
            .field("stdout_bytes", &self.stdout.len())
            .field("stderr", &crate::printable(&self.stderr))
            .field("stderr_bytes", &self.stderr.len())
            .field("status", &self.status)
            .finish()
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitStatus {
    /// By itself, with this code.
    Code(u32),
    /// By a signal.
    Signal {
        /// The signal's name without `SIG`, such as `KILL`.
        name: String,
        /// Whether it left a core dump.
        core_dumped: bool,
        /// What the server says about it, if anything.
        message: String,
    },
}

impl ExitStatus {
    /// Whether the command exited with code 0.
    pub fn success(&self) -> bool {
        *self == Self::Code(0)
    }

    /// The exit code as a shell reports it: 128 + N for signal N; 255 for a signal without a
    /// number that all systems share.
    pub fn code(&self) -> u32 {
        match self {
            Self::Code(code) => *code,
            Self::Signal { name, .. } => signal_number(name).map_or(255, |number| 128 + number),
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal { name, core_dumped, .. } => {
                write!(f, "killed by signal {}", crate::printable(name.as_bytes()))?;
                if *core_dumped { f.write_str(" (core dumped)") } else { Ok(()) }
            }
        }
    }
}

impl SshError {
    /// The error of a command that ran, with what it had written.
    #[must_use]
    pub fn with_output(mut self, stdout: impl Into<Bytes>, stderr: impl Into<Bytes>) -> Self {
        let output = PartialOutput { stdout: stdout.into(), stderr: stderr.into() };
        match &mut self {
            Self::Timeout { partial, phase: Phase::Run, .. }
            | Self::ConnectionLost { partial, phase: Phase::Run, .. } => {
                *partial = Some(Box::new(output));
            }
            Self::NoExitStatus { partial, .. } | Self::OutputLimit { partial, .. } => {
                **partial = output;
            }
            _ => {}
        }
        self
    }
}

/// Numbers of the signals that RFC 4254 names, as all systems we know have them.
fn signal_number(name: &str) -> Option<u32> {
    Some(match name {
        "HUP" => 1,
        "INT" => 2,
        "QUIT" => 3,
        "ILL" => 4,
        "TRAP" => 5,
        "ABRT" => 6,
        "FPE" => 8,
        "KILL" => 9,
        "SEGV" => 11,
        "PIPE" => 13,
        "ALRM" => 14,
        "TERM" => 15,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::ExitStatus;

    #[test]
    fn a_signal_is_no_success_and_has_the_shells_code() {
        let signal = |name: &str| ExitStatus::Signal {
            name: name.into(),
            core_dumped: false,
            message: String::new(),
        };
        assert!(!signal("KILL").success());
        assert_eq!(signal("KILL").code(), 137);
        assert_eq!(signal("TERM").code(), 143);
        assert_eq!(signal("WINCH@openssh.com").code(), 255);
    }
}
