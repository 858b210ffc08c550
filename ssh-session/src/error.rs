//! What can go wrong, and whose fault it is.

mod detail;
mod file;
mod tunnel;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use self::detail::{ConnectProblem, KeyProblem, Outlook, PartialOutput, Phase};
pub use self::file::{FileError, Side};
pub use self::tunnel::{TunnelError, TunnelProblem};
use crate::{BecomeRefused, HostKeyRefused, Target};

/// Why something failed, in words that tell a user what to do. Cheap to clone.
///
/// Every variant names the target, or the parameter or file, it was about. Secrets are in none of
/// them; what a peer said is escaped and cut.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SshError {
    /// The caller's fault: a value that no server could make sense of. Nothing was sent.
    InvalidInput {
        /// The parameter's name.
        field: &'static str,
        /// What is wrong with it, as in "`field` `problem`".
        problem: String,
    },
    /// The host's name has no address.
    Resolve {
        /// Whom it was about.
        target: Target,
        /// Whether the name server, not the name, is at fault.
        temporary: bool,
        /// What the resolver said.
        source: Arc<io::Error>,
    },
    /// No TCP connection to any address of the host.
    Connect {
        /// Whom it was about.
        target: Target,
        /// What kind of refusal.
        problem: ConnectProblem,
        /// What the system said about the last address tried.
        source: Arc<io::Error>,
    },
    /// The server hung up before it said who it is, as sshd does at `MaxStartups` and for clients
    /// it penalises.
    Busy {
        /// Whom it was about.
        target: Target,
        /// What it said instead.
        said: String,
    },
    /// Not an SSH server, or one that shares no algorithm with us.
    Handshake {
        /// Whom it was about.
        target: Target,
        /// What went wrong.
        detail: String,
    },
    /// The server's key is not one we believe. No credential was sent.
    HostKey(Box<HostKeyRefused>),
    /// A known_hosts file could not be read or written.
    KnownHosts {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },
    /// An `ssh_config` file cannot be used.
    Config {
        /// The file.
        path: PathBuf,
        /// The line in it, from 1; 0 if it is about the whole file.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// The private key could not be used. Nothing was sent for it.
    KeyFile {
        /// Whom it was about.
        target: Target,
        /// The key's file; `None` for a key from memory.
        path: Option<PathBuf>,
        /// Why.
        problem: KeyProblem,
    },
    /// There is no agent, or it holds no usable key.
    Agent {
        /// Whom it was about.
        target: Target,
        /// Why.
        detail: String,
    },
    /// The server refused everything we have to prove who we are. Each was tried once.
    AuthenticationFailed {
        /// Whom it was about.
        target: Target,
        /// What was tried, in order.
        tried: Vec<String>,
        /// What the server said it takes, such as `publickey`; empty where it said nothing.
        offered: Vec<String>,
    },
    /// The deadline passed.
    Timeout {
        /// Whom it was about.
        target: Target,
        /// What was under way.
        phase: Phase,
        /// How long the whole call had taken.
        elapsed: Duration,
        /// What the command had written so far.
        partial: Option<Box<PartialOutput>>,
        /// Whether the command can have started.
        maybe_started: bool,
    },
    /// The connection ended under us.
    ConnectionLost {
        /// Whom it was about.
        target: Target,
        /// What was under way.
        phase: Phase,
        /// What is known about the end.
        detail: String,
        /// What the command had written so far.
        partial: Option<Box<PartialOutput>>,
        /// Whether the command can have started.
        maybe_started: bool,
    },
    /// The server opens no further channel on this connection (`MaxSessions`). The connection is
    /// good; the command was not sent.
    ChannelRefused {
        /// Whom it was about.
        target: Target,
        /// The reason it gave.
        detail: String,
    },
    /// The server refused to run the command, or to set it up. It did not start.
    RequestRefused {
        /// Whom it was about.
        target: Target,
        /// What it refused.
        request: String,
    },
    /// The server closed the channel without saying how the command ended.
    NoExitStatus {
        /// Whom it was about.
        target: Target,
        /// What the command had written.
        partial: Box<PartialOutput>,
    },
    /// The command wrote more to a stream than was to be collected, and was stopped.
    OutputLimit {
        /// Whom it was about.
        target: Target,
        /// How much of each stream was to be collected, in bytes.
        limit: usize,
        /// What it had written, up to that.
        partial: Box<PartialOutput>,
    },
    /// What the command wrote was not read and could not be kept any longer; the command was
    /// stopped. Where a channel has flow control of its own, the command waits instead.
    Unread {
        /// Whom it was about.
        target: Target,
        /// Why it could not be kept.
        detail: String,
    },
    /// A file operation failed, there or here. The session is good.
    File(Box<FileError>),
    /// The server opens no connection to a destination behind it, or that was closed. The session is
    /// good.
    Tunnel(Box<TunnelError>),
    /// The command was to run as another user, and `sudo` or its like refused that. It did not start.
    Become(Box<BecomeRefused>),
    /// The session was closed on our side.
    Closed {
        /// Whom it was about.
        target: Target,
        /// Whether the command can have started on the server.
        maybe_started: bool,
    },
}

/// The variants of [`SshError`], without their facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "named after the variants of SshError")]
pub enum Kind {
    InvalidInput,
    Resolve,
    Connect,
    Busy,
    Handshake,
    HostKey,
    KnownHosts,
    Config,
    KeyFile,
    Agent,
    AuthenticationFailed,
    Timeout,
    ConnectionLost,
    ChannelRefused,
    RequestRefused,
    NoExitStatus,
    OutputLimit,
    Unread,
    File,
    Tunnel,
    Become,
    Closed,
}

impl SshError {
    /// The caller gave a value that makes no sense.
    pub fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        Self::InvalidInput { field, problem: problem.into() }
    }

    /// A line of a configuration file makes no sense; line 0 is the whole file.
    pub(crate) fn config(path: &Path, line: usize, problem: impl Into<String>) -> Self {
        Self::Config { path: path.to_owned(), line, problem: problem.into() }
    }

    /// The variant, without its facts.
    pub fn kind(&self) -> Kind {
        match self {
            Self::InvalidInput { .. } => Kind::InvalidInput,
            Self::Resolve { .. } => Kind::Resolve,
            Self::Connect { .. } => Kind::Connect,
            Self::Busy { .. } => Kind::Busy,
            Self::Handshake { .. } => Kind::Handshake,
            Self::HostKey(_) => Kind::HostKey,
            Self::KnownHosts { .. } => Kind::KnownHosts,
            Self::Config { .. } => Kind::Config,
            Self::KeyFile { .. } => Kind::KeyFile,
            Self::Agent { .. } => Kind::Agent,
            Self::AuthenticationFailed { .. } => Kind::AuthenticationFailed,
            Self::Timeout { .. } => Kind::Timeout,
            Self::ConnectionLost { .. } => Kind::ConnectionLost,
            Self::ChannelRefused { .. } => Kind::ChannelRefused,
            Self::RequestRefused { .. } => Kind::RequestRefused,
            Self::NoExitStatus { .. } => Kind::NoExitStatus,
            Self::OutputLimit { .. } => Kind::OutputLimit,
            Self::Unread { .. } => Kind::Unread,
            Self::File(_) => Kind::File,
            Self::Tunnel(_) => Kind::Tunnel,
            Self::Become(_) => Kind::Become,
            Self::Closed { .. } => Kind::Closed,
        }
    }

    /// Whom it was about.
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::InvalidInput { .. } | Self::KnownHosts { .. } | Self::Config { .. } => None,
            Self::HostKey(refused) => Some(&refused.target),
            Self::File(error) => Some(&error.target),
            Self::Tunnel(error) => Some(&error.target),
            Self::Become(refused) => Some(&refused.target),
            Self::Resolve { target, .. }
            | Self::Connect { target, .. }
            | Self::Busy { target, .. }
            | Self::Handshake { target, .. }
            | Self::KeyFile { target, .. }
            | Self::Agent { target, .. }
            | Self::AuthenticationFailed { target, .. }
            | Self::Timeout { target, .. }
            | Self::ConnectionLost { target, .. }
            | Self::ChannelRefused { target, .. }
            | Self::RequestRefused { target, .. }
            | Self::NoExitStatus { target, .. }
            | Self::OutputLimit { target, .. }
            | Self::Unread { target, .. }
            | Self::Closed { target, .. } => Some(target),
        }
    }

    /// Whether the same call may succeed later without anybody changing anything, and repeating
    /// it does no harm: never where the command can have started, never with a credential that was
    /// refused, or may have been: where a login has run out of time.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Resolve { temporary, .. } => *temporary,
            Self::Connect { problem, .. } => *problem != ConnectProblem::Forbidden,
            Self::Busy { .. } | Self::ChannelRefused { .. } => true,
            // Servers that count refusals (fail2ban) take their time for them, and count each.
            Self::Timeout { phase: Phase::Authenticate, .. } => false,
            Self::Timeout { .. } | Self::ConnectionLost { .. } => !self.may_have_started(),
            // Nothing is wrong with the file.
            Self::KnownHosts { source, .. }
            | Self::KeyFile { problem: KeyProblem::Unreadable(source), .. } => is_shortage(source),
            _ => false,
        }
    }

    /// What a failed connect means for the next attempt.
    pub fn outlook(&self) -> Outlook {
        match self {
            Self::Busy { .. } => Outlook::Busy,
            Self::Connect { problem: ConnectProblem::Refused, .. } => Outlook::Unreachable,
            Self::Timeout { phase, .. } if *phase != Phase::Authenticate => Outlook::Transient,
            Self::ConnectionLost { .. } => Outlook::Transient,
            _ if self.is_retryable() => Outlook::Transient,
            // A name without an address stays so within the time anybody waits; the same goes for
            // credentials, keys and what is no SSH server at all.
            _ => Outlook::Permanent,
        }
    }

    /// Whether the command can have started on the server. Where this is false it has not.
    pub fn may_have_started(&self) -> bool {
        match self {
            Self::Timeout { maybe_started, .. }
            | Self::ConnectionLost { maybe_started, .. }
            | Self::Closed { maybe_started, .. } => *maybe_started,
            Self::NoExitStatus { .. } | Self::OutputLimit { .. } | Self::Unread { .. } => true,
            _ => false,
        }
    }

    /// What the command had written when the call failed.
    pub fn partial_output(&self) -> Option<&PartialOutput> {
        match self {
            Self::Timeout { partial, .. } | Self::ConnectionLost { partial, .. } => {
                partial.as_deref()
            }
            Self::NoExitStatus { partial, .. } | Self::OutputLimit { partial, .. } => Some(partial),
            _ => None,
        }
    }
}

/// Whether this machine has run out of something, such as descriptors.
fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM))
}

/// For callers that read and write by `std`'s traits; what is told is all in it.
impl From<SshError> for io::Error {
    fn from(error: SshError) -> Self {
        let kind = match &error {
            SshError::Connect { source, .. } | SshError::Resolve { source, .. } => source.kind(),
            SshError::Timeout { .. } => io::ErrorKind::TimedOut,
            SshError::ConnectionLost { .. } => io::ErrorKind::ConnectionReset,
            SshError::Closed { .. } => io::ErrorKind::NotConnected,
            SshError::InvalidInput { .. } => io::ErrorKind::InvalidInput,
            SshError::Tunnel(error) => error.io_kind(),
            SshError::Become(_) => io::ErrorKind::PermissionDenied,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
