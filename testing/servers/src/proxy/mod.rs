//! A TCP proxy on loopback that does to connections what networks do.
//!
//! ```no_run
//! use std::time::Duration;
//! use test_servers::proxy::FaultProxy;
//! use test_servers::sshd::Sshd;
//!
//! let server = Sshd::start()?;
//! let proxy = FaultProxy::start(server.addr())?;
//! proxy.delay(Duration::from_millis(40)); // a round trip takes 80 ms more
//! proxy.black_hole(); // silence, and nobody is told
//! proxy.resume();
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Faults apply at once to open connections too, unless said otherwise, and last until they are
//! switched off.

mod connection;
mod faults;
mod pump;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::background::Background;
use crate::port::{bind_again, bind_free};
use connection::{Blow, Shared};
pub use faults::Direction;
use faults::{DirectionFaults, Faults};

/// A running proxy; dropping it ends its connections.
#[derive(Debug)]
pub struct FaultProxy {
    background: Background,
    // None while connections are refused.
    listening: Mutex<Option<Listening>>,
    address: SocketAddr,
    upstream: SocketAddr,
    faults: watch::Sender<Faults>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Listening {
    task: AbortHandle,
    ended: std::sync::mpsc::Receiver<()>,
}

impl FaultProxy {
    /// A proxy on a free loopback port to the server at `upstream`, without any fault yet.
    pub fn start(upstream: SocketAddr) -> io::Result<Self> {
        let (listener, address) = bind_free()?;
        let proxy = Self {
            background: Background::start("test-proxy")?,
            listening: Mutex::new(None),
            address,
            upstream,
            faults: watch::Sender::new(Faults::default()),
            shared: Arc::default(),
        };
        let listening = proxy.listen(listener)?;
        *proxy.listening.lock().unwrap_or_else(PoisonError::into_inner) = Some(listening);
        Ok(proxy)
    }

    /// Delivers every byte this much later, each way. Order and throughput stay.
    pub fn delay(&self, delay: Duration) {
        self.each_way(|way| way.delay = delay);
    }

    /// Delivers every byte this much later, one way.
    pub fn delay_towards(&self, direction: Direction, delay: Duration) {
        self.faults.send_modify(|faults| faults.way_mut(direction).delay = delay);
    }

    /// Adds a random delay from zero to `most` to each chunk, each way. Order stays.
    pub fn jitter(&self, most: Duration) {
        self.each_way(|way| way.jitter = most);
    }

    /// Lets no more than this pass, each way and for each connection; `None` for no limit.
    pub fn throttle(&self, bytes_per_second: Option<u64>) {
        self.each_way(|way| way.bytes_per_second = bytes_per_second);
    }

    /// Stops forwarding both ways; new connections are accepted and hear nothing.
    ///
    /// Nothing is lost: what was on its way arrives after [`resume`](Self::resume), as TCP's
    /// retransmissions would have it.
    pub fn black_hole(&self) {
        self.each_way(|way| way.held = true);
    }

    /// Stops forwarding one way.
    pub fn black_hole_towards(&self, direction: Direction) {
        self.faults.send_modify(|faults| faults.way_mut(direction).held = true);
    }

    /// Ends the black hole.
    pub fn resume(&self) {
        self.each_way(|way| way.held = false);
    }

    /// Switches all faults off and listens again.
    ///
    /// Connections that were accepted to say nothing, or that are half open, stay as they are.
    pub fn heal(&self) -> io::Result<()> {
        self.faults.send_replace(Faults::default());
        self.refuse(false)
    }

    /// Closes all open connections on both sides (FIN), in the middle of whatever they do.
    pub fn cut(&self) {
        self.shared.strike(Blow::Cut);
    }

    /// Resets all open connections on both sides (RST).
    pub fn reset(&self) {
        self.shared.strike(Blow::Reset);
    }

    /// Closes all open connections on the server's side; the clients are not told.
    pub fn half_open(&self) {
        self.shared.strike(Blow::HalfOpen);
    }

    /// Whether new connections are refused, as by a machine where nothing listens.
    ///
    /// It is so when this returns. Open connections go on.
    pub fn refuse(&self, refuse: bool) -> io::Result<()> {
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        if refuse {
            if let Some(Listening { task, ended }) = listening.take() {
                task.abort();
                // The sender goes with the task, and with it the socket that listens.
                let _ = ended.recv_timeout(Duration::from_secs(5));
            }
        } else if listening.is_none() {
            *listening = Some(self.listen(bind_again(self.address)?)?);
        }
        Ok(())
    }

    /// Whether new connections are accepted and then get silence, for good.
    pub fn accept_and_say_nothing(&self, silent: bool) {
        self.faults.send_modify(|faults| faults.silent = silent);
    }

    /// Closes a connection on both sides (FIN) when so many bytes have passed in `direction`
    /// since it was opened; `None` for never. With 0, at the first byte.
    pub fn cut_after(&self, bytes: Option<u64>, direction: Direction) {
        self.faults.send_modify(|faults| faults.way_mut(direction).cut_after = bytes);
    }

    /// Stops forwarding a connection in `direction` when so many bytes have passed since it was
    /// opened; `None` for never.
    pub fn black_hole_after(&self, bytes: Option<u64>, direction: Direction) {
        self.faults.send_modify(|faults| faults.way_mut(direction).hold_after = bytes);
    }

    /// Flips one bit of the byte at this offset of each connection, in `direction`; `None` for
    /// none. The first byte has offset 0.
    pub fn corrupt_at(&self, offset: Option<u64>, direction: Direction) {
        self.faults.send_modify(|faults| faults.way_mut(direction).corrupt_at = offset);
    }

    /// Sends the server's first line byte by byte with this pause before each; `None` at once.
    pub fn slow_banner(&self, pause: Option<Duration>) {
        self.faults.send_modify(|faults| faults.slow_banner = pause);
    }

    /// Forgets a connection that was idle for so long, as NAT gateways do: from its next byte on
    /// all is silence, and no blow but [`cut`](Self::cut) or [`reset`](Self::reset) ends it.
    pub fn forget_idle_after(&self, idle: Option<Duration>) {
        self.faults.send_modify(|faults| faults.forget_idle_after = idle);
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The port of [`addr`](Self::addr).
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Connections open now.
    pub fn open_connections(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Bytes delivered in this direction so far, in all connections.
    pub fn bytes(&self, direction: Direction) -> u64 {
        let counter = match direction {
            Direction::ToServer => &self.shared.to_server,
            Direction::ToClient => &self.shared.to_client,
        };
        counter.load(Ordering::SeqCst)
    }

    fn listen(&self, listener: std::net::TcpListener) -> io::Result<Listening> {
        listener.set_nonblocking(true)?;
        let listener = self.background.enter(|| TcpListener::from_std(listener))?;
        let accepting = connection::accept(
            listener,
            self.upstream,
            self.faults.subscribe(),
            Arc::clone(&self.shared),
        );
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let task = self.background.spawn(async move {
            let _end = end;
            accepting.await;
        });
        Ok(Listening { task, ended })
    }

    fn each_way(&self, change: impl Fn(&mut DirectionFaults)) {
        self.faults.send_modify(|faults| {
            change(&mut faults.to_server);
            change(&mut faults.to_client);
        });
    }
}
