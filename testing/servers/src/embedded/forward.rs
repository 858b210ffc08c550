//! `direct-tcpip`: a channel that ends in a TCP connection from here, as jump hosts need it.

use std::sync::Arc;
use std::time::Duration;

use russh::server::{ChannelOpenHandle, Handle, Msg};
use russh::{ChannelOpenFailure, ChannelWriteHalf};
use tokio::io;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::inbox::InboxReader;
use super::shared::{Shared, TaskGuard};

/// How long the target may take to accept.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// Connects, answers the request and carries data until both sides have ended or `gone` resolves.
pub(super) async fn run(
    target: (String, u16),
    reply: ChannelOpenHandle,
    inbox: InboxReader,
    channel: ChannelWriteHalf<Msg>,
    session: Handle,
    gone: oneshot::Receiver<()>,
    shared: Arc<Shared>,
) {
    let _task = TaskGuard::new(&shared);
    let work = async {
        let connecting = TcpStream::connect((target.0.as_str(), target.1));
        let Ok(Ok(stream)) = timeout(CONNECT_PATIENCE, connecting).await else {
            return reply.reject(ChannelOpenFailure::ConnectFailed).await;
        };
        let _ = stream.set_nodelay(true);
        reply.accept().await;
        let (mut from_target, to_target) = stream.into_split();
        let back = async {
            let mut writer = channel.make_writer();
            let _ = io::copy(&mut from_target, &mut writer).await;
            let _ = session.eof(channel.id()).await;
        };
        tokio::join!(inbox.drain_into(to_target), back);
        let _ = session.close(channel.id()).await;
    };
    tokio::select! {
        () = work => {}
        _ = gone => {}
    }
}
