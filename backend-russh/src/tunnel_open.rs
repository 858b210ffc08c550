//! Asking a server to connect to somewhere, and why it does not.

use std::sync::Arc;

use russh::client::Msg;
use russh::{Channel, ChannelOpenFailure};
use ssh_session::tunnel::Destination;
use ssh_session::{Phase, SshError, TunnelError, TunnelProblem};

use crate::client::describe;
use crate::link::Link;
use crate::liveness::End;

/// Asks the server to connect. Not to be dropped half-way, or what it opens would stay open.
pub(crate) async fn open(link: &Arc<Link>, to: &Destination) -> Result<Channel<Msg>, SshError> {
    let (refusals, before) = link.line.refusals();
    let opening = async {
        match to {
            // As where it comes from, OpenSSH's client says this, too: it is for the server's log.
            Destination::Tcp { host, port } => {
                let port = u32::from(*port);
                link.handle.channel_open_direct_tcpip(host, port, "127.0.0.1", 65535).await
            }
            Destination::Unix { path } => {
                let path = path.to_string_lossy();
                link.handle.channel_open_direct_streamlocal(path).await
            }
            // There are none.
            _ => Err(russh::Error::WrongChannel),
        }
    };
    let opened = tokio::select! {
        biased;
        opened = opening => opened,
        end = link.line.wait_end() => return Err(end.error(&link.target, Phase::OpenChannel)),
    };
    match opened {
        Ok(channel) => Ok(channel),
        Err(russh::Error::ChannelOpenFailure(reason)) => {
            let said = link.line.said_of_refusal(refusals, before).await;
            Err(SshError::Tunnel(Box::new(TunnelError {
                target: link.target.clone(),
                destination: to.clone(),
                problem: problem(&reason),
                said: said.unwrap_or_default(),
            })))
        }
        Err(error) => {
            let end = link.line.end().unwrap_or_else(|| End::Lost(describe(&error)));
            Err(end.error(&link.target, Phase::OpenChannel))
        }
    }
}

fn problem(reason: &ChannelOpenFailure) -> TunnelProblem {
    match reason {
        ChannelOpenFailure::AdministrativelyProhibited => TunnelProblem::Prohibited,
        ChannelOpenFailure::ConnectFailed => TunnelProblem::ConnectFailed,
        ChannelOpenFailure::UnknownChannelType => TunnelProblem::UnknownType,
        ChannelOpenFailure::ResourceShortage => TunnelProblem::ResourceShortage,
        _ => TunnelProblem::Refused,
    }
}
