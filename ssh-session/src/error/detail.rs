//! What an error tells beside its kind: in which phase, how a connect or a key failed, what had come
//! by then, and what it means for the next attempt.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

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

/// What a [`SshError::Connect`](crate::SshError::Connect) met.
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

/// What a [`SshError::KeyFile`](crate::SshError::KeyFile) met.
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
    /// Reading from a tunnel, or writing to it.
    Tunnel,
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
