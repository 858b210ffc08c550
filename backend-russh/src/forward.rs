//! Local port forwarding by tasks: one accepts, and each connection has one of its own. What one side
//! does not take is not read from the other.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::BytesMut;
use socket2::SockRef;
use ssh_session::tunnel::socks::{self, SocksHandshake, SocksStep};
use ssh_session::tunnel::threads::cannot_listen;
use ssh_session::tunnel::{
    AsyncTunnel as _, Close as _, Destination, ForwardSlot, ForwardState, Forwarding, LocalForward,
};
use ssh_session::{AsyncSession as _, Phase, SshError, TunnelProblem};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::session::RusshSession;
use crate::tunnel::RusshTunnel;

/// As much of what a client sends is read at once.
const PIECE: usize = 64 * 1024;

/// How long a client may take for a SOCKS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long accepting pauses where this process has no descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

impl RusshSession {
    /// Listens, and has the session carry on what connects, until the guard is dropped. On the runtime
    /// that the session lives on.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] where the forwarding makes no sense, or its address cannot be
    /// listened on; [`SshError::Closed`] in a process that was forked off.
    pub fn forward_local(self: &Arc<Self>, forward: &LocalForward) -> Result<Forwarding, SshError> {
        self.check_home(Phase::OpenChannel)?;
        forward.validate()?;
        let not_bound = |error: io::Error| cannot_listen(forward, &error);
        let runtime = self.runtime().clone();
        let _entered = runtime.enter();
        let (listener, address) = listen(forward.address()).map_err(not_bound)?;
        let bell = Arc::new(Notify::new());
        let rung = Arc::clone(&bell);
        let state = Arc::new(ForwardState::new(forward, address, move || rung.notify_one()));
        let acceptor = Acceptor {
            session: Arc::downgrade(self),
            forward: Arc::new(forward.clone()),
            listener,
            bell,
            state: Arc::clone(&state),
        };
        drop(runtime.spawn(acceptor.run()));
        Ok(Forwarding::new(state))
    }
}

fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = StdListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((TcpListener::from_std(listener)?, address))
}

struct Acceptor {
    session: Weak<RusshSession>,
    forward: Arc<LocalForward>,
    listener: TcpListener,
    bell: Arc<Notify>,
    state: Arc<ForwardState>,
}

/// A connection that was accepted.
struct Accepted {
    session: Weak<RusshSession>,
    forward: Arc<LocalForward>,
    client: TcpStream,
    slot: ForwardSlot,
}

impl Acceptor {
    /// Those of its connections that are left are dropped with it.
    async fn run(self) {
        let mut connections = JoinSet::new();
        while !self.state.is_over() {
            tokio::select! {
                () = self.bell.notified() => {}
                accepted = self.listener.accept(), if self.state.has_room() => match accepted {
                    Ok((client, _)) => {
                        // Failing costs time, not bytes.
                        let _ = client.set_nodelay(true);
                        let accepted = Accepted {
                            session: Weak::clone(&self.session),
                            forward: Arc::clone(&self.forward),
                            client,
                            slot: self.state.accepted(),
                        };
                        drop(connections.spawn(accepted.serve()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a forwarded port accepts nothing for a moment");
                        sleep(PAUSE).await;
                    }
                },
            }
            while connections.try_join_next().is_some() {}
        }
    }
}

impl Accepted {
    async fn serve(mut self) {
        let asked = match self.forward.destination() {
            Some(to) => Some(to.clone()),
            None => {
                let shaken = timeout(HANDSHAKE_TIMEOUT, shake_hands(&mut self.client)).await;
                shaken.ok().and_then(io::Result::ok).flatten()
            }
        };
        let Some(to) = asked else { return };
        // A session that is no more has ended the forwarding, too.
        let Some(session) = self.session.upgrade() else { return };
        let opened = session.open_tunnel(&to, self.forward.time_to_open()).await;
        drop(session);
        let is_socks = self.forward.destination().is_none();
        if is_socks {
            let reply = socks::reply(opened.as_ref().map(drop));
            let _ = self.client.write_all(reply).await;
        }
        match opened {
            Ok(tunnel) => self.carry(Arc::new(tunnel)).await,
            Err(error) => {
                if !is_socks {
                    reset(&self.client);
                }
                self.slot.failed(error);
            }
        }
    }

    /// Carries bytes both ways until both have ended, or it fails.
    async fn carry(mut self, tunnel: Arc<RusshTunnel>) {
        let closing = Arc::downgrade(&tunnel);
        let closer = move || {
            if let Some(tunnel) = closing.upgrade() {
                tunnel.close();
            }
        };
        // So that a client doesn't take what it has got for all there was, where this is dropped.
        reset(&self.client);
        if !self.slot.closed_by(closer) {
            return;
        }
        let (from_client, to_client) = self.client.split();
        let carried = tokio::try_join!(up(from_client, &tunnel), down(&tunnel, to_client));
        match carried {
            Ok(_) => drop(SockRef::from(&self.client).set_linger(None)),
            Err(error) if is_own_doing(&error) => {}
            Err(error) => self.slot.failed(error),
        }
    }
}

/// Where the client asks to be connected to; `None` where it was told that it cannot be.
async fn shake_hands(client: &mut TcpStream) -> io::Result<Option<Destination>> {
    let mut handshake = SocksHandshake::default();
    loop {
        let mut bytes = vec![0; handshake.wanted()];
        client.read_exact(&mut bytes).await?;
        match handshake.receive(&bytes) {
            SocksStep::Read => {}
            SocksStep::Send(bytes) => client.write_all(bytes).await?,
            SocksStep::Connect(to) => return Ok(Some(to)),
            SocksStep::Refuse(bytes) => {
                client.write_all(bytes).await?;
                return Ok(None);
            }
        }
    }
}

/// From the client to the tunnel, until the client has ended.
async fn up(mut client: ReadHalf<'_>, tunnel: &RusshTunnel) -> Result<(), SshError> {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(PIECE);
        match client.read_buf(&mut buffer).await {
            // An error is told to the one who reads.
            Ok(0) => {
                let _ = tunnel.close_write().await;
                return Ok(());
            }
            Ok(_) => {}
            // The client has gone, and what it had sent may not be whole.
            Err(_) => {
                tunnel.close();
                return Ok(());
            }
        }
        if tunnel.write(buffer.split().freeze()).await.is_err() {
            // What comes back may still be of use.
            return Ok(());
        }
    }
}

/// From the tunnel to the client, until the tunnel's other side has ended.
async fn down(tunnel: &RusshTunnel, mut client: WriteHalf<'_>) -> Result<(), SshError> {
    loop {
        let Some(bytes) = tunnel.read().await? else {
            let _ = client.shutdown().await;
            return Ok(());
        };
        if client.write_all(&bytes).await.is_err() {
            tunnel.close();
            return Ok(());
        }
    }
}

/// Whether a tunnel is closed since the client went away.
fn is_own_doing(error: &SshError) -> bool {
    match error {
        SshError::Tunnel(error) => error.problem == TunnelProblem::Closed,
        SshError::Closed { .. } => true,
        _ => false,
    }
}

/// Has a client told that its connection broke, not that it ended, once it is closed.
fn reset(client: &TcpStream) {
    let _ = SockRef::from(client).set_linger(Some(Duration::ZERO));
}
