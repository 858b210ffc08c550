//! What can go wrong, and whose fault it is.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::{HostKeyRefused, Target};

/// What a failed connect means for the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outlook {
    /// May go well next time.
    Transient,
    /// The server asks for fewer of us at once.
    Busy,
    /// Nobody listens there: a server that restarts, or a wrong port.
    Unreachable,
    /// Will not go well before somebody changes something, or may have been a refusal: a login that
    /// was not answered in time. Nothing is sent again before somebody asks for it.
    Permanent,
}

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
    /// The session was closed on our side.
    Closed {
        /// Whom it was about.
        target: Target,
        /// Whether the command can have started on the server.
        maybe_started: bool,
    },
}

/// What a [`SshError::Connect`] met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectProblem {
    /// Nobody listens on the port.
    Refused,
    /// There is no way to the host or its network.
    Unreachable,
    /// The connection was reset at once.
    Reset,
    /// A proxy command or a jump host did not get there.
    Proxy,
    /// A jump host lets nobody through, or not to there. Asking again does not help.
    Forbidden,
    /// Anything else, such as a lack of descriptors on our side.
    Other,
}

/// What a [`SshError::KeyFile`] met.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum KeyProblem {
    /// There is no such file.
    Missing,
    /// The file cannot be read.
    Unreadable(Arc<io::Error>),
    /// Others may read or write the file, so that whoever has the key is not known.
    TooOpen {
        /// The file's mode, without its type.
        mode: u32,
    },
    /// The key is encrypted and no passphrase was given.
    PassphraseNeeded,
    /// The key is encrypted, but not with this passphrase.
    WrongPassphrase,
    /// The file holds no private key of a kind we can use.
    Malformed(String),
}

/// What was under way when something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Looking up the host's addresses.
    Resolve,
    /// Opening the TCP connection.
    Connect,
    /// Agreeing on keys.
    Handshake,
    /// Logging in.
    Authenticate,
    /// Opening a channel.
    OpenChannel,
    /// Asking for the command to be run.
    Start,
    /// Reading what the command writes.
    Run,
    /// Asking for a sign of life.
    Ping,
    /// Closing what was left open.
    Reset,
}

/// What a command had written when its call failed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PartialOutput {
    /// From its standard output.
    pub stdout: Bytes,
    /// From its standard error.
    pub stderr: Bytes,
}

impl fmt::Debug for PartialOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartialOutput")
            .field("stdout_bytes", &self.stdout.len())
            .field("stderr_bytes", &self.stderr.len())
            .finish()
    }
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
            Self::Closed { .. } => Kind::Closed,
        }
    }

    /// Whom it was about.
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::InvalidInput { .. } | Self::KnownHosts { .. } | Self::Config { .. } => None,
            Self::HostKey(refused) => Some(&refused.target),
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
