//! The way to a server: straight over TCP, by a proxy command, through a jump host, or over a
//! connection that the caller makes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use russh::ChannelOpenFailure;
use ssh_session::{
    Options, OwnStream, Phase, ProxyCommand, ProxyProcess, SshError, Target, Transport, net,
};
use tokio::net::UnixStream;

use crate::apart::spawn_blocking;
use crate::client::describe;
use crate::deadline::Deadline;
use crate::liveness::{End, Liveness, Watched};
use crate::pipe;
use crate::relay::{Hop, Relay};
use crate::socket::Socket;
use crate::{stream, tcp};

/// A connection to a server on which nothing was said yet.
pub(crate) struct Way {
    socket: Socket,
    onward: Onward,
}

/// What leads on from the other end of a pair of sockets.
enum Onward {
    Nothing,
    Relay(Relay),
    Process(ProxyProcess),
    Stream(OwnStream, pipe::End),
}

impl Way {
    /// A TCP connection to the target.
    pub(crate) async fn direct(
        options: &Options,
        addresses: Vec<SocketAddr>,
        deadline: &Deadline,
    ) -> Result<Self, SshError> {
        let stream = tcp::connect(options, addresses, deadline).await?;
        Ok(Self { socket: Socket::Tcp(stream), onward: Onward::Nothing })
    }

    /// The input and output of a command.
    pub(crate) async fn command(
        command: &ProxyCommand,
        target: &Target,
        deadline: &Deadline,
    ) -> Result<Self, SshError> {
        let (asked, whom) = (command.clone(), target.clone());
        let starting = spawn_blocking(move || ProxyProcess::start(&asked, &whom));
        let started = deadline.bound(target, Phase::Connect, starting).await?;
        let (process, stream) =
            started.map_err(|error| net::connect_error(target, io::Error::other(error)))??;
        let socket = stream
            .set_nonblocking(true)
            .and_then(|()| UnixStream::from_std(stream))
            .map_err(|error| net::connect_error(target, error))?;
        Ok(Self { socket: Socket::Pair(socket), onward: Onward::Process(process) })
    }

    /// A connection that the caller makes.
    pub(crate) async fn own(
        transport: &Transport,
        options: &Options,
        deadline: &Deadline,
    ) -> Result<Self, SshError> {
        let target = &options.target;
        let failed = |error| net::connect_error(target, error);
        if let Some(making) = transport.stream(target) {
            let made = deadline.bound(target, Phase::Connect, making).await?;
            let (ours, theirs) = pipe::pair();
            let onward = Onward::Stream(made.map_err(failed)?, theirs);
            return Ok(Self { socket: Socket::Pipe(ours), onward });
        }
        let (transport, whom) = (transport.clone(), target.clone());
        let making = spawn_blocking(move || transport.socket(&whom));
        let made = deadline.bound(target, Phase::Connect, making).await?;
        let made = made.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(failed)?;
        if made.is_tcp {
            net::tune(&made.descriptor, options.keepalive);
        }
        let socket = Socket::owned(made).map_err(failed)?;
        Ok(Self { socket, onward: Onward::Nothing })
    }

    /// A connection that a jump host opens.
    pub(crate) async fn through(
        hop: Hop,
        target: &Target,
        deadline: &Deadline,
    ) -> Result<Self, SshError> {
        let link = &hop.0;
        let acknowledging = link.line.acknowledge_quickly();
        // As where it comes from, OpenSSH's client says this, too: it is for the server's log.
        let (host, port) = (target.host(), u32::from(target.port()));
        let (refusals, before) = link.line.refusals();
        let opening = link.handle.channel_open_direct_tcpip(host, port, "127.0.0.1", 65535);
        let opened = tokio::select! {
            biased;
            end = link.line.wait_end() => return Err(end.error(&link.target, Phase::OpenChannel)),
            opened = deadline.bound(target, Phase::Connect, opening) => opened?,
        };
        drop(acknowledging);
        let channel = match opened {
            Ok(channel) => channel,
            Err(russh::Error::ChannelOpenFailure(reason)) => {
                let saying = link.line.said_of_refusal(refusals, before);
                let said = deadline.bound(target, Phase::Connect, saying).await?;
                return Err(refused(&link.target, target, &reason, said));
            }
            Err(error) => {
                let end = link.line.end().unwrap_or_else(|| End::Lost(describe(&error)));
                return Err(end.error(&link.target, Phase::OpenChannel));
            }
        };
        let (ours, end) = pipe::pair();
        let onward = Onward::Relay(Relay { hop, channel, end });
        Ok(Self { socket: Socket::Pipe(ours), onward })
    }

    /// Takes the connection into use. Its relay ends with it; its process is to be kept until then.
    pub(crate) fn begin(self) -> io::Result<(Arc<Liveness>, Watched, Option<ProxyProcess>)> {
        let (line, watched) = Liveness::new(self.socket)?;
        let process = match self.onward {
            Onward::Nothing => None,
            Onward::Relay(relay) => {
                relay.start(line.carrier());
                None
            }
            Onward::Process(process) => Some(process),
            Onward::Stream(stream, end) => {
                drop(tokio::spawn(stream::carry(line.carrier(), stream, end)));
                None
            }
        };
        Ok((line, watched, process))
    }
}

/// Why a jump host opens no connection, in the words of a user.
fn refused(
    hop: &Target,
    target: &Target,
    reason: &ChannelOpenFailure,
    said: Option<String>,
) -> SshError {
    let reason = match reason {
        ChannelOpenFailure::AdministrativelyProhibited => "administratively prohibited",
        ChannelOpenFailure::ConnectFailed => "connect failed",
        ChannelOpenFailure::UnknownChannelType => "unknown channel type",
        ChannelOpenFailure::ResourceShortage => "resource shortage",
        _ => "refused",
    };
    match said {
        Some(said) if !said.is_empty() => {
            net::jump_error(target, hop, &format!("{reason}: {said}"))
        }
        _ => net::jump_error(target, hop, reason),
    }
}
