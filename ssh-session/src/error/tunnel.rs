//! What can go wrong with a tunnel, beside its session.

use std::fmt;
use std::io;

use crate::Target;
use crate::tunnel::Destination;

/// Why there is no connection, or none any more, to a destination behind the server.
#[derive(Debug, Clone)]
pub struct TunnelError {
    /// The server.
    pub target: Target,
    /// Where the tunnel was to lead.
    pub destination: Destination,
    /// What kind of failure.
    pub problem: TunnelProblem,
    /// What the server said of it; empty where it said nothing, or the library does not tell.
    pub said: String,
}

/// What a [`SshError::Tunnel`](crate::SshError::Tunnel) met. The first four are the reasons of a
/// server that opens no channel (RFC 4254, 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TunnelProblem {
    /// The server forbids it, to all or to there.
    Prohibited,
    /// The server has tried and could not connect.
    ConnectFailed,
    /// The server has no channels of this type.
    UnknownType,
    /// The server has too much to do.
    ResourceShortage,
    /// The server gave another reason.
    Refused,
    /// The other side, or the server, has closed the tunnel, or we have ended our direction.
    Closed,
}

impl TunnelError {
    /// The nearest of the kinds that sockets have.
    pub fn io_kind(&self) -> io::ErrorKind {
        match self.problem {
            TunnelProblem::Prohibited => io::ErrorKind::PermissionDenied,
            TunnelProblem::ConnectFailed => io::ErrorKind::ConnectionRefused,
            TunnelProblem::UnknownType => io::ErrorKind::Unsupported,
            TunnelProblem::ResourceShortage => io::ErrorKind::ResourceBusy,
            TunnelProblem::Closed => io::ErrorKind::BrokenPipe,
            TunnelProblem::Refused => io::ErrorKind::Other,
        }
    }
}

impl fmt::Display for TunnelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, destination, problem, said } = self;
        if *problem == TunnelProblem::Closed {
            return write!(f, "{target}: the tunnel to {destination} takes nothing more");
        }
        write!(f, "{target}: the server opens no tunnel to {destination}: {problem}")?;
        if !said.is_empty() {
            write!(f, " ({said})")?;
        }
        f.write_str(match problem {
            TunnelProblem::Prohibited => {
                "; its sshd has to permit it (AllowTcpForwarding, AllowStreamLocalForwarding, PermitOpen)"
            }
            TunnelProblem::ConnectFailed => "; check that something listens there, as the server sees it",
            _ => "",
        })
    }
}

impl fmt::Display for TunnelProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prohibited => "administratively prohibited",
            Self::ConnectFailed => "connect failed",
            Self::UnknownType => "unknown channel type",
            Self::ResourceShortage => "resource shortage",
            Self::Refused => "refused",
            Self::Closed => "closed",
        })
    }
}
