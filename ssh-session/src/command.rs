//! What to run.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::{Become, Pty, SshError};

/// A command for the remote user's shell, with what it needs.
#[derive(Clone)]
pub struct Command {
    command: Vec<u8>,
    request: Request,
    env: Vec<(String, String)>,
    stdin: Stdin,
    pty: Option<Pty>,
    timeout: Option<Duration>,
    /// Within, `None` is no limit; without, nothing was said of it.
    max_output: Option<Option<usize>>,
    wait_for_channel: bool,
    become_user: Option<Become>,
}

/// What a server is asked to start in a channel (RFC 4254, 6.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Request {
    /// A command line, for the user's shell: `exec`.
    Exec,
    /// The user's shell itself: `shell`.
    Shell,
    /// A subsystem, by its name: `subsystem`.
    Subsystem,
}

/// Where a command's standard input comes from.
#[derive(Clone)]
pub enum Stdin {
    /// These bytes, then the end of input.
    Bytes(Bytes),
    /// Whatever [`Process::write`](crate::Process::write) gives it, until
    /// [`close_stdin`](crate::Process::close_stdin).
    Piped,
}

impl Command {
    /// As long as a command, or a variable with its name, may be, in bytes: what libssh2 puts into
    /// one packet, less what stands around it there. The same for all backends.
    pub const LONGEST: usize = 34_000;

    /// A command line, as the remote user's shell reads it. Its standard input is empty.
    pub fn new(command: impl AsRef<[u8]>) -> Self {
        Self {
            command: command.as_ref().to_vec(),
            request: Request::Exec,
            env: Vec::new(),
            stdin: Stdin::Bytes(Bytes::new()),
            pty: None,
            timeout: None,
            max_output: None,
            wait_for_channel: true,
            become_user: None,
        }
    }

    /// A subsystem of the server's, such as `sftp` (RFC 4254, 6.5), instead of a command line. Its
    /// standard input is piped.
    pub fn subsystem(name: impl AsRef<[u8]>) -> Self {
        Self { request: Request::Subsystem, stdin: Stdin::Piped, ..Self::new(name) }
    }

    /// The user's shell, or whatever a device talks to its users with, instead of a command line. Its
    /// standard input is piped, and its [deadline](Self::timeout) is for its start alone.
    pub fn shell() -> Self {
        Self { request: Request::Shell, stdin: Stdin::Piped, ..Self::new("") }
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
        self.stdin = Stdin::Bytes(stdin.into());
        self
    }

    /// Leaves standard input open for [`Process::write`](crate::Process::write): for commands that
    /// are spawned, not for those whose output is collected.
    #[must_use]
    pub fn stdin_piped(mut self) -> Self {
        self.stdin = Stdin::Piped;
        self
    }

    /// Runs the command as another user of the server, by `sudo` or `doas`: in `/bin/sh`, with the
    /// environment that those leave it. It costs a round trip more, and one more where a password is
    /// asked for. Where it is refused the command has not started, and the error is
    /// [`SshError::Become`]. What the program says before the command starts, such as its prompt, is
    /// not in the command's output.
    #[must_use]
    pub fn become_user(mut self, user: Become) -> Self {
        self.become_user = Some(user);
        self
    }

    /// As whom it runs, where that is another than the user who is logged in.
    pub fn becoming(&self) -> Option<&Become> {
        self.become_user.as_ref()
    }

    /// The same with another command line, as the user who is logged in, and with its input piped.
    pub(crate) fn into_plain(mut self, line: Vec<u8>) -> Self {
        (self.command, self.become_user, self.stdin) = (line, None, Stdin::Piped);
        self
    }

    /// Runs the command in a terminal; `Pty::default()` is an `xterm` of 80 × 24.
    #[must_use]
    pub fn pty(mut self, pty: Pty) -> Self {
        self.pty = Some(pty);
        self
    }

    /// As [`pty`](Self::pty), or without a terminal.
    pub(crate) fn terminal_or_none(self, pty: Option<Pty>) -> Self {
        Self { pty, ..self }
    }

    /// A deadline for the whole call, from opening the channel to the last byte. When it passes,
    /// the remote command is killed as far as the server allows and the error holds the output
    /// read so far. `None`, the default, waits for ever.
    #[must_use]
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
        self
    }

    /// How much of each stream is collected at most, in bytes; `None` is no limit. A command that
    /// writes more is killed as far as the server allows, and the error holds what came. Default:
    /// what the session was opened with ([`Options::max_output`](crate::Options::max_output)).
    /// Nothing is collected of commands that are spawned or streamed.
    #[must_use]
    pub fn max_output(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.max_output = Some(bytes.into());
        self
    }

    /// Whether the command waits where the server opens no further channel on its connection
    /// (`MaxSessions` of sshd, 10), until one of the connection's other commands has ended, in the
    /// order they came; default true. Its time goes on meanwhile. Where it does not wait, or no
    /// other command runs whose end could make room, it fails with
    /// [`SshError::ChannelRefused`], and was not sent.
    #[must_use]
    pub fn wait_for_channel(mut self, wait: bool) -> Self {
        self.wait_for_channel = wait;
        self
    }

    /// Whether it waits until another command has ended.
    pub fn waits_for_channel(&self) -> bool {
        self.wait_for_channel
    }

    /// The limit of each stream, where a session's own is `usual`.
    pub fn output_limit(&self, usual: Option<usize>) -> Option<usize> {
        self.max_output.unwrap_or(usual)
    }

    /// The command line, or the subsystem's name.
    pub fn command(&self) -> &[u8] {
        &self.command
    }

    /// What a server is asked to start.
    pub fn request_type(&self) -> Request {
        self.request
    }

    /// What is asked of a server, as in "the server refused …".
    pub fn request(&self) -> String {
        match self.request {
            Request::Subsystem => format!("the subsystem {}", crate::printable(&self.command)),
            Request::Shell => "to start a shell".into(),
            Request::Exec => "to run the command".into(),
        }
    }

    /// The environment variables, in the order they were given.
    pub fn envs(&self) -> &[(String, String)] {
        &self.env
    }

    /// What the command reads.
    pub fn input(&self) -> &Stdin {
        &self.stdin
    }

    /// The terminal it runs in, if any.
    pub fn terminal(&self) -> Option<&Pty> {
        self.pty.as_ref()
    }

    /// The deadline for the whole call.
    pub fn time_limit(&self) -> Option<Duration> {
        self.timeout
    }

    /// As [`validate`](Self::validate), for a command that stays with its session.
    ///
    /// # Errors
    ///
    /// As [`validate`](Self::validate), and where it is to run as another user.
    pub fn validate_kept(&self) -> Result<(), SshError> {
        match self.become_user {
            Some(_) => Err(SshError::invalid("become_user", "is not for what is kept")),
            None => self.validate(),
        }
    }

    /// Checks what no server could make sense of. Backends call this first.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] if there is a NUL in the command, the environment or the
    /// terminal's type, a variable's name is empty or has `=` in it, or any of them is longer than
    /// [`LONGEST`](Self::LONGEST).
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
        let longest = self.env.iter().map(|(name, value)| name.len() + value.len()).max();
        if self.command.len().max(longest.unwrap_or(0)) > Self::LONGEST {
            return Err(SshError::invalid(
                "command",
                format!(
                    "or its environment is longer than {} bytes; send it through stdin",
                    Self::LONGEST
                ),
            ));
        }
        self.pty.as_ref().map_or(Ok(()), Pty::validate)?;
        self.become_user.as_ref().map_or(Ok(()), |user| user.validate(self))
    }

    /// As [`validate`](Self::validate), for a command whose output is collected.
    ///
    /// # Errors
    ///
    /// As [`validate`](Self::validate), and where standard input is piped: nobody could write to
    /// it, and the command would wait for ever.
    pub fn validate_collected(&self) -> Result<(), SshError> {
        match self.stdin {
            Stdin::Piped => Err(SshError::invalid(
                "stdin",
                "is piped: spawn the command and write to it, or give it all its input",
            )),
            Stdin::Bytes(_) => self.validate(),
        }
    }
}

impl<T: AsRef<[u8]> + ?Sized> From<&T> for Command {
    fn from(command: &T) -> Self {
        Self::new(command)
    }
}

impl From<String> for Command {
    fn from(command: String) -> Self {
        Self::new(command)
    }
}

/// Sizes only: commands and environments hold secrets more often than not.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("command_bytes", &self.command.len())
            .field("request", &self.request)
            .field("env_count", &self.env.len())
            .field("stdin", &self.stdin)
            .field("pty", &self.pty)
            .field("timeout", &self.timeout)
            .field("max_output", &self.max_output)
            .field("become_user", &self.become_user)
            .finish()
    }
}

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Piped => f.write_str("piped"),
        }
    }
}
