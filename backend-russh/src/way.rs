//! The way to a server: straight over TCP, or through a jump host.

use std::io;
use std::sync::Arc;

use russh::ChannelOpenFailure;
use ssh_session::{ConnectProblem, Options, Phase, SshError, Target, net};
use tokio::net::UnixStream;

use crate::client::describe;
use crate::deadline::Deadline;
use crate::line::{End, Line};
use crate::relay::{Hop, Relay};
use crate::socket::Socket;
use crate::tcp;

/// A connection to a server on which nothing was said yet.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) socket: Socket,
    pub(crate) lead: Lead,
}

/// What leads from our socket on to the server.
#[derive(Debug)]
pub(crate) enum Lead {
    Network,
    Hop(Relay),
}

impl Way {
    /// A TCP connection to the target.
    pub(crate) async fn direct(options: &Options, deadline: &Deadline) -> Result<Self, SshError> {
        let stream = tcp::connect(options, deadline).await?;
        Ok(Self { socket: Socket::Tcp(stream), lead: Lead::Network })
    }

    /// A connection that a jump host opens.
    pub(crate) async fn through(
        hop: Hop,
        target: &Target,
        deadline: &Deadline,
    ) -> Result<Self, SshError> {
        let link = &hop.0;
        let acknowledging = link.line.acknowledge_quickly();
        let (host, port) = (target.host(), u32::from(target.port()));
        // The originator is for the server's log; OpenSSH's client says the same.
        let opening = link.handle.channel_open_direct_tcpip(host, port, "127.0.0.1", 65535);
        let opened = tokio::select! {
            biased;
            end = link.line.wait_end() => Err(end.error(&link.target, Phase::OpenChannel)),
            opened = deadline.bound(target, Phase::Connect, opening) => match opened? {
                Ok(channel) => Ok(channel),
                Err(russh::Error::ChannelOpenFailure(reason)) => {
                    let saying = link.line.refusal();
                    let said = deadline.bound(target, Phase::Connect, saying).await?;
                    Err(refused(&link.target, target, &reason, &said.unwrap_or_default()))
                }
                Err(error) => {
                    let end = link.line.end().unwrap_or_else(|| End::Lost(describe(&error)));
                    Err(end.error(&link.target, Phase::OpenChannel))
                }
            },
        };
        drop(acknowledging);
        let channel = opened?;
        let (ours, socket) =
            UnixStream::pair().map_err(|error| net::connect_error(target, error))?;
        let relay = Relay { hop, channel, socket };
        Ok(Self { socket: Socket::Pair(ours), lead: Lead::Hop(relay) })
    }
}

impl Lead {
    /// Begins to lead, as long as the session on this line goes on.
    pub(crate) fn start(self, line: &Arc<Line>) {
        match self {
            Self::Network => {}
            Self::Hop(relay) => relay.start(Arc::clone(line)),
        }
    }
}

/// Why a jump host opens no connection, in the words of a user.
fn refused(hop: &Target, target: &Target, reason: &ChannelOpenFailure, said: &str) -> SshError {
    let (problem, why) = match reason {
        ChannelOpenFailure::AdministrativelyProhibited => {
            (ConnectProblem::Prohibited, "administratively prohibited")
        }
        ChannelOpenFailure::ConnectFailed if said.contains("refused") => {
            (ConnectProblem::Refused, "connect failed")
        }
        ChannelOpenFailure::ConnectFailed => (ConnectProblem::Unreachable, "connect failed"),
        ChannelOpenFailure::UnknownChannelType => {
            (ConnectProblem::Prohibited, "unknown channel type")
        }
        ChannelOpenFailure::ResourceShortage => (ConnectProblem::Reset, "resource shortage"),
        _ => (ConnectProblem::Unreachable, "refused"),
    };
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    let text = format!("jump host {hop} opens no connection to it ({why}{said})");
    SshError::Connect { target: target.clone(), problem, source: Arc::new(io::Error::other(text)) }
}
