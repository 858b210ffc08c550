//! Where a tunnel leads, as libssh2 is told, and why there is none.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;

use ssh_session::tunnel::Destination;
use ssh_session::{SshError, Target, TunnelError, TunnelProblem};

use crate::ffi::{Channel, Error, Session};

/// A [`Destination`] in C's strings.
#[derive(Debug)]
pub(crate) enum Address {
    Tcp(CString, u16),
    Unix(CString),
}

impl Address {
    /// That of a valid destination.
    pub(crate) fn of(to: &Destination) -> Result<Self, SshError> {
        to.validate()?;
        let text = |bytes: &[u8]| {
            CString::new(bytes)
                .map_err(|_| SshError::invalid("destination", "has a NUL character in it"))
        };
        match to {
            Destination::Tcp { host, port } => Ok(Self::Tcp(text(host.as_bytes())?, *port)),
            Destination::Unix { path } => Ok(Self::Unix(text(path.as_os_str().as_bytes())?)),
            _ => Err(SshError::invalid("destination", "is of no kind that this backend knows")),
        }
    }

    /// Asks for a connection; to be repeated while it would block, with no other open in between.
    pub(crate) fn open(&self, session: &Session) -> Result<Channel, Error> {
        match self {
            Self::Tcp(host, port) => Channel::open_to(session, host, *port),
            Self::Unix(path) => Channel::open_to_socket(session, path),
        }
    }
}

/// A refusal in the words of the user. libssh2 drops what the server said of it.
pub(crate) fn refused(target: &Target, to: &Destination, error: &Error) -> SshError {
    let text = error.message();
    // Such as "Channel open failure (connect failed)".
    let reason = text.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    let problem = match reason {
        Some("administratively prohibited") => TunnelProblem::Prohibited,
        Some("connect failed") => TunnelProblem::ConnectFailed,
        Some("unknown channel type") => TunnelProblem::UnknownType,
        Some("resource shortage") => TunnelProblem::ResourceShortage,
        _ => TunnelProblem::Refused,
    };
    failed(target, to, problem)
}

pub(crate) fn failed(target: &Target, to: &Destination, problem: TunnelProblem) -> SshError {
    let (target, destination, said) = (target.clone(), to.clone(), String::new());
    SshError::Tunnel(Box::new(TunnelError { target, destination, problem, said }))
}
