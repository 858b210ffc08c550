//! Accepts clients, and carries each one's traffic to the server and back.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::faults::{Direction, Faults};
use super::pump::{Activity, End, Pump};

/// How long a cut connection waits for the peers to close, so that they see FIN and not RST.
const LINGER: Duration = Duration::from_secs(1);

/// What a test does to open connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blow {
    Cut,
    Reset,
    HalfOpen,
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) connections: AtomicUsize,
    pub(super) open: AtomicUsize,
    pub(super) to_server: AtomicU64,
    pub(super) to_client: AtomicU64,
    next: AtomicU64,
    blows: Mutex<HashMap<u64, mpsc::UnboundedSender<Blow>>>,
}

impl Shared {
    fn blows(&self) -> MutexGuard<'_, HashMap<u64, mpsc::UnboundedSender<Blow>>> {
        self.blows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn strike(&self, blow: Blow) {
        for connection in self.blows().values() {
            let _ = connection.send(blow);
        }
    }
}

/// Is counted, and can be struck, while it exists.
struct Entry {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.shared.blows().remove(&self.id);
        self.shared.open.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(super) async fn accept(
    listener: TcpListener,
    upstream: SocketAddr,
    faults: watch::Receiver<Faults>,
    shared: Arc<Shared>,
) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // Out of descriptors, perhaps: somebody has to close one first.
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        let (strike, blows) = mpsc::unbounded_channel();
        let id = shared.next.fetch_add(1, Ordering::Relaxed);
        shared.connections.fetch_add(1, Ordering::SeqCst);
        shared.open.fetch_add(1, Ordering::SeqCst);
        shared.blows().insert(id, strike);
        let entry = Entry { shared: Arc::clone(&shared), id };
        tokio::spawn(carry(client, upstream, faults.clone(), blows, entry));
    }
}

async fn carry(
    mut client: TcpStream,
    upstream: SocketAddr,
    mut faults: watch::Receiver<Faults>,
    mut blows: mpsc::UnboundedReceiver<Blow>,
    entry: Entry,
) {
    let _ = client.set_nodelay(true);
    let opened = Instant::now();
    let connecting = async {
        if faults.borrow().silent {
            // For good: the test ends it with a blow, or by dropping the proxy.
            std::future::pending::<()>().await;
        }
        let _ = faults.wait_for(|faults| !faults.is_black_hole()).await;
        // The server hears of a client no sooner than of anything else.
        let delay = faults.borrow().to_server.delay;
        sleep_until(opened + delay).await;
        TcpStream::connect(upstream).await
    };
    let mut server = tokio::select! {
        server = connecting => match server {
            Ok(server) => server,
            Err(_) => return reset(&client),
        },
        Some(blow) = blows.recv() => return finish(blow, client, None, blows).await,
    };
    let _ = server.set_nodelay(true);

    let activity = Activity::now();
    let pump = |direction, opened, bytes| Pump {
        direction,
        opened,
        faults: faults.clone(),
        activity: &activity,
        bytes,
    };
    let up = pump(Direction::ToServer, opened, &entry.shared.to_server);
    let down = pump(Direction::ToClient, Instant::now(), &entry.shared.to_client);
    let end = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let both = both(up.run(from_client, to_server), down.run(from_server, to_client));
        tokio::select! {
            end = both => Ok(end),
            Some(blow) = blows.recv() => Err(blow),
        }
    };
    match end {
        Ok(End::Closed) => {}
        Ok(End::Cut) => finish(Blow::Cut, client, Some(server), blows).await,
        Ok(End::Broken) => finish(Blow::Reset, client, Some(server), blows).await,
        Ok(End::Forgotten) => {
            tokio::select! {
                () = async { tokio::join!(discard(&mut client), discard(&mut server)); } => {}
                Some(blow) = blows.recv() => finish(blow, client, Some(server), blows).await,
            }
        }
        Err(blow) => finish(blow, client, Some(server), blows).await,
    }
}

/// Both directions: until both are closed, or one ended otherwise.
async fn both(up: impl Future<Output = End>, down: impl Future<Output = End>) -> End {
    let (mut up, mut down) = (std::pin::pin!(up), std::pin::pin!(down));
    tokio::select! {
        end = &mut up => if end == End::Closed { down.await } else { end },
        end = &mut down => if end == End::Closed { up.await } else { end },
    }
}

async fn finish(
    blow: Blow,
    client: TcpStream,
    server: Option<TcpStream>,
    mut blows: mpsc::UnboundedReceiver<Blow>,
) {
    match blow {
        Blow::Cut => {
            tokio::join!(close(Some(client)), close(server));
        }
        Blow::Reset => {
            reset(&client);
            server.iter().for_each(reset);
        }
        Blow::HalfOpen => {
            tokio::spawn(close(server));
            // The client hears nothing of it until the next blow.
            match blows.recv().await {
                Some(Blow::Reset) => reset(&client),
                _ => close(Some(client)).await,
            }
        }
    }
}

/// Sends FIN, and reads on for a while: closing a socket with unread data would send RST.
async fn close(stream: Option<TcpStream>) {
    let Some(mut stream) = stream else { return };
    let _ = stream.shutdown().await;
    let _ = timeout(LINGER, discard(&mut stream)).await;
}

/// Makes the socket send RST when it is dropped.
fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

async fn discard(source: &mut (impl AsyncRead + Unpin)) {
    let mut buffer = vec![0; 16 << 10];
    while matches!(source.read(&mut buffer).await, Ok(1..)) {}
}
