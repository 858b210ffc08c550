//! Errors in words: one sentence that names the target and what to do.

use std::error::Error;
use std::fmt;

use crate::{ConnectProblem, KeyProblem, PartialOutput, Phase, SshError};

impl fmt::Display for SshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidInput { field, problem } => write!(f, "`{field}` {problem}"),
            Self::Resolve { target, temporary, source } => {
                write!(f, "{target}: no address for host {:?}: {source}; ", target.host())?;
                f.write_str(if *temporary {
                    "the name server did not answer, try again"
                } else {
                    "check the host's name"
                })
            }
            Self::Connect { target, problem, source } => {
                write!(f, "{target}: cannot connect to port {}: {source}; ", target.port())?;
                f.write_str(match problem {
                    ConnectProblem::Refused => "check that an SSH server listens there",
                    ConnectProblem::Unreachable => "check the network and the host's address",
                    ConnectProblem::Reset => "check what listens there",
                    ConnectProblem::Forbidden => {
                        "its sshd has to permit TCP forwarding (AllowTcpForwarding, PermitOpen)"
                    }
                    ConnectProblem::Proxy => "check the proxy command or jump host on the way",
                    ConnectProblem::Other => "check this machine's network and limits",
                })
            }
            Self::Busy { target, said } => {
                write!(f, "{target}: the server hung up before the handshake")?;
                if !said.is_empty() {
                    write!(f, ", saying \"{said}\"")?;
                }
                f.write_str("; it may be at MaxStartups or penalise this address, try later")
            }
            Self::Handshake { target, detail } => write!(
                f,
                "{target}: SSH handshake failed: {detail}; check that port {} is an SSH server \
                 that shares an algorithm with us",
                target.port()
            ),
            Self::HostKey(refused) => refused.fmt(f),
            Self::File(error) => error.fmt(f),
            Self::Tunnel(error) => error.fmt(f),
            Self::Become(refused) => refused.fmt(f),
            Self::KnownHosts { path, source } => {
                write!(f, "cannot use known_hosts file {}: {source}", path.display())
            }
            Self::Config { path, line: 0, problem } => {
                write!(f, "ssh_config file {} {problem}", path.display())
            }
            Self::Config { path, line, problem } => {
                write!(f, "{}:{line}: {problem}", path.display())
            }
            Self::KeyFile { target, path, problem } => {
                write!(f, "{target}: private key ")?;
                match path {
                    Some(path) => write!(f, "{} ", path.display())?,
                    None => f.write_str("from memory ")?,
                }
                problem.fmt(f)?;
                match (problem, path) {
                    (KeyProblem::TooOpen { .. }, Some(path)) => {
                        write!(f, "; chmod 600 '{}'", path.display())
                    }
                    _ => Ok(()),
                }
            }
            Self::Agent { target, detail } => {
                write!(f, "{target}: cannot log in with the SSH agent: {detail}")
            }
            Self::AuthenticationFailed { target, tried, offered } => {
                let user = target.user();
                write!(f, "{target}: authentication failed: the server refused user {user:?}")?;
                write!(f, " (tried: {}", tried.join(", "))?;
                if !offered.is_empty() {
                    write!(f, "; it takes: {}", offered.join(", "))?;
                }
                f.write_str("); check the user name and the credentials")
            }
            Self::Timeout { target, phase, elapsed, partial, maybe_started } => {
                write!(f, "{target}: timed out after {elapsed:.1?} while {phase}")?;
                tail(f, partial.as_deref(), *maybe_started)
            }
            Self::ConnectionLost { target, phase, detail, partial, maybe_started } => {
                write!(f, "{target}: connection lost while {phase}: {detail}")?;
                tail(f, partial.as_deref(), *maybe_started)
            }
            Self::ChannelRefused { target, detail } => write!(
                f,
                "{target}: the server opens no further channel on this connection ({detail}); \
                 run fewer commands at once or raise its MaxSessions"
            ),
            Self::RequestRefused { target, request } => {
                write!(f, "{target}: the server refused {request}")
            }
            Self::NoExitStatus { target, partial } => {
                write!(f, "{target}: the server did not say how the command ended")?;
                tail(f, Some(partial), true)
            }
            Self::OutputLimit { target, limit, .. } => write!(
                f,
                "{target}: the command was stopped, since it wrote more than {limit} bytes to one \
                 stream; raise max_output, or take its output as it comes"
            ),
            Self::Unread { target, detail } => write!(
                f,
                "{target}: the command was stopped, since nobody read what it wrote: {detail}"
            ),
            Self::Closed { target, maybe_started } => {
                write!(f, "{target}: the session is closed")?;
                tail(f, None, *maybe_started)
            }
        }
    }
}

fn tail(
    f: &mut fmt::Formatter<'_>,
    partial: Option<&PartialOutput>,
    maybe_started: bool,
) -> fmt::Result {
    if let Some(partial) = partial.filter(|p| !p.stdout.is_empty() || !p.stderr.is_empty()) {
        let (out, err) = (partial.stdout.len(), partial.stderr.len());
        write!(f, " (after {out} bytes of output and {err} of errors)")?;
    }
    if maybe_started { f.write_str("; the command may have run") } else { Ok(()) }
}

impl Error for SshError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Resolve { source, .. }
            | Self::Connect { source, .. }
            | Self::KnownHosts { source, .. }
            | Self::KeyFile { problem: KeyProblem::Unreadable(source), .. } => {
                Some(&**source as &(dyn Error + 'static))
            }
            _ => None,
        }
    }
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("does not exist"),
            Self::Unreadable(source) => write!(f, "cannot be read: {source}"),
            Self::TooOpen { mode } => write!(f, "is open to others (its mode is {mode:04o})"),
            Self::PassphraseNeeded => f.write_str("is encrypted; give its passphrase"),
            Self::WrongPassphrase => f.write_str("is encrypted with another passphrase"),
            Self::Malformed(detail) => write!(f, "cannot be used: {detail}"),
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "looking up the host's address",
            Self::Connect => "connecting",
            Self::Handshake => "agreeing on keys",
            Self::Authenticate => "logging in",
            Self::OpenChannel => "opening a channel",
            Self::Start => "starting the command",
            Self::Run => "waiting for the command",
            Self::Ping => "waiting for a sign of life",
            Self::Reset => "closing what was left open",
            Self::Tunnel => "waiting for the other side of a tunnel",
        })
    }
}
