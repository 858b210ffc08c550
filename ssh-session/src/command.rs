//! What to run.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::SshError;

/// A command for the remote user's shell, with what it needs.
#[derive(Clone)]
pub struct Command {
    command: Vec<u8>,
    env: Vec<(String, String)>,
    stdin: Bytes,
    timeout: Option<Duration>,
}

impl Command {
    /// A command line, as the remote user's shell reads it. Its standard input is empty.
    pub fn new(command: impl AsRef<[u8]>) -> Self {
        Self {
            command: command.as_ref().to_vec(),
            env: Vec::new(),
            stdin: Bytes::new(),
            timeout: None,
        }
    }

    /// Sets an environment variable. sshd refuses names that its `AcceptEnv` doesn't list, and
    /// the command then fails instead of running without it.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Gives the command this on its standard input, then the end of it.
    #[must_use]
    pub fn stdin(mut self, stdin: impl Into<Bytes>) -> Self {
        self.stdin = stdin.into();
        self
    }

    /// A deadline for the whole call, from opening the channel to the last byte. When it passes,
    /// the remote command is killed as far as the server allows and the error holds the output
    /// read so far. `None`, the default, waits for ever.
    #[must_use]
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
        self
    }

    /// The command line.
    pub fn command(&self) -> &[u8] {
        &self.command
    }

    /// The environment variables, in the order they were given.
    pub fn envs(&self) -> &[(String, String)] {
        &self.env
    }

    /// What the command reads.
    pub fn stdin_bytes(&self) -> &Bytes {
        &self.stdin
    }

    /// The deadline for the whole call.
    pub fn time_limit(&self) -> Option<Duration> {
        self.timeout
    }

    /// Checks what no server could make sense of. Backends call this first.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] if there is a NUL in the command or the environment, or a
    /// variable's name is empty or has `=` in it.
    pub fn validate(&self) -> Result<(), SshError> {
        if self.command.contains(&0) {
            return Err(SshError::invalid("command", "has a NUL character in it"));
        }
        for (name, value) in &self.env {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(SshError::invalid(
                    "env",
                    "has a variable whose name is empty or has `=` or NUL in it",
                ));
            }
            if value.contains('\0') {
                return Err(SshError::invalid("env", "has a value with a NUL character in it"));
            }
        }
        Ok(())
    }
}

impl<T: AsRef<[u8]> + ?Sized> From<&T> for Command {
    fn from(command: &T) -> Self {
        Self::new(command)
    }
}

/// Sizes only: commands and environments hold secrets more often than not.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("command_bytes", &self.command.len())
            .field("env_count", &self.env.len())
            .field("stdin_bytes", &self.stdin.len())
            .field("timeout", &self.timeout)
            .finish()
    }
}
