//! `direct-tcpip` and `direct-streamlocal@openssh.com`: a channel that ends in a connection from here,
//! as jump hosts and tunnels need it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use russh::server::{ChannelOpenHandle, Handle, Msg};
use russh::{ChannelOpenFailure, ChannelWriteHalf};
use tokio::io::{self, AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::inbox::InboxReader;
use super::shared::{Shared, TaskGuard};

/// How long the target may take to accept.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// Where a channel is to end.
pub(super) enum Target {
    Tcp(String, u16),
    Unix(PathBuf),
}

/// Connects, answers the request and carries data until both sides have ended or `gone` resolves.
pub(super) async fn run(
    target: Target,
    reply: ChannelOpenHandle,
    inbox: InboxReader,
    channel: ChannelWriteHalf<Msg>,
    session: Handle,
    gone: oneshot::Receiver<()>,
    shared: Arc<Shared>,
) {
    let _task = TaskGuard::new(&shared);
    let work = async {
        let connecting = async {
            match &target {
                Target::Tcp(host, port) => {
                    let stream = TcpStream::connect((host.as_str(), *port)).await?;
                    let _ = stream.set_nodelay(true);
                    Ok(Ok(stream))
                }
                Target::Unix(path) => UnixStream::connect(path).await.map(Err),
            }
        };
        match timeout(CONNECT_PATIENCE, connecting).await {
            Err(_) | Ok(Err(_)) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
            Ok(Ok(Ok(stream))) => {
                reply.accept().await;
                let (from, to) = stream.into_split();
                carry(from, to, inbox, channel, session).await;
            }
            Ok(Ok(Err(stream))) => {
                reply.accept().await;
                let (from, to) = stream.into_split();
                carry(from, to, inbox, channel, session).await;
            }
        }
    };
    tokio::select! {
        () = work => {}
        _ = gone => {}
    }
}

async fn carry(
    mut from_target: impl AsyncRead + Unpin,
    to_target: impl AsyncWrite + Unpin,
    inbox: InboxReader,
    channel: ChannelWriteHalf<Msg>,
    session: Handle,
) {
    let back = async {
        let mut writer = channel.make_writer();
        let _ = io::copy(&mut from_target, &mut writer).await;
        let _ = session.eof(channel.id()).await;
    };
    tokio::join!(inbox.drain_into(to_target), back);
    let _ = session.close(channel.id()).await;
}
