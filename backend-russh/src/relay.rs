//! Bytes on their way between a session and the jump host that it goes through.
//!
//! The session has one end of a pair of sockets in memory, the relay the other one and a channel of the jump
//! host's session. Towards the server, bytes are taken as fast as the server takes them. From the
//! server, they are always taken, and kept while the session takes none: russh reads nothing while
//! it writes, so that a relay that waited for it would have both wait for ever. What is kept is
//! bounded by the windows of the session's own channels, and by [`MAX_KEPT`] where a server does
//! not heed these.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use ssh_session::Target;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::time::timeout;

use crate::link::Link;
use crate::liveness::{Carrier, End, FAREWELL, Liveness};
use crate::pipe;

/// As much as one message of a channel carries.
const PIECE: usize = 32 * 1024;

/// The most that is kept for a session, in bytes: the windows of 16 channels.
const MAX_KEPT: usize = 32 << 20;

/// A session on a jump host, ended when dropped.
#[derive(Debug)]
pub(crate) struct Hop(pub(crate) Arc<Link>);

impl Drop for Hop {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A relay that has not begun.
pub(crate) struct Relay {
    pub(crate) hop: Hop,
    pub(crate) channel: Channel<Msg>,
    pub(crate) end: pipe::End,
}

impl Relay {
    /// Relays until either side ends, for a session that ends with the jump host's and is gone when
    /// that is.
    pub(crate) fn start(self, carrier: Carrier) {
        let runtime = self.hop.0.runtime.clone();
        drop(runtime.spawn(async move {
            let hop = Arc::clone(&self.hop.0);
            self.run(&carrier.0).await;
            hop.gone().await;
        }));
    }

    async fn run(self, line: &Liveness) {
        let Self { hop, channel, end } = self;
        let (mut read, write) = channel.split();
        let (outgoing, mut incoming) = split(end);
        // sshd sends what is not a command's behind Nagle's algorithm all the time.
        let _acknowledging = hop.0.line.acknowledge_quickly();
        let ending = tokio::select! {
            () = send(outgoing, &write) => Ending::SessionEnded,
            ending = receive(&mut read, &mut incoming) => ending,
            // Where the server takes nothing any more, only this says that nobody waits for it.
            () = line.is_not_waited_for() => return,
        };
        match ending {
            Ending::ServerClosed => {}
            Ending::HopLost => line.cut(lost(&hop.0.target, &hop.0.line.wait_end().await)),
            Ending::SessionEnded => {
                // sshd passes nothing on any more once we say goodbye to it, and the server is to
                // get the session's.
                let passing = async {
                    let _ = write.eof().await;
                    while !matches!(read.wait().await, Some(ChannelMsg::Close) | None) {}
                };
                let _ = timeout(FAREWELL, passing).await;
            }
        }
    }
}

/// From the session to the server, until the session has ended.
async fn send(mut outgoing: ReadHalf<pipe::End>, write: &ChannelWriteHalf<Msg>) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(PIECE);
        match outgoing.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        if write.data_bytes(buffer.split().freeze()).await.is_err() {
            // The other direction finds out why.
            return std::future::pending().await;
        }
    }
}

enum Ending {
    /// The server has closed its connection to the jump host, and all it sent was passed on.
    ServerClosed,
    HopLost,
    SessionEnded,
}

/// From the server to the session.
async fn receive(read: &mut ChannelReadHalf, incoming: &mut WriteHalf<pipe::End>) -> Ending {
    let mut kept = VecDeque::<Bytes>::new();
    let mut size = 0;
    let mut ending = None;
    loop {
        let next = kept.front().cloned().unwrap_or_default();
        if next.is_empty()
            && let Some(ending) = ending
        {
            return ending;
        }
        tokio::select! {
            message = read.wait(), if ending.is_none() && size < MAX_KEPT => match message {
                Some(ChannelMsg::Data { data }) if !data.is_empty() => {
                    size += data.len();
                    kept.push_back(data);
                }
                Some(ChannelMsg::Eof | ChannelMsg::Close) => ending = Some(Ending::ServerClosed),
                Some(_) => {}
                None => ending = Some(Ending::HopLost),
            },
            written = incoming.write(&next), if !next.is_empty() => match written {
                Ok(count) => {
                    size -= count;
                    if count == next.len() {
                        kept.pop_front();
                    } else if let Some(front) = kept.front_mut() {
                        front.advance(count);
                    }
                }
                Err(_) => return Ending::SessionEnded,
            },
        }
    }
}

fn lost(hop: &Target, end: &End) -> End {
    End::WayLost(format!("the session on jump host {hop} has ended: {}", end.why()))
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("hop", &self.hop).finish_non_exhaustive()
    }
}
