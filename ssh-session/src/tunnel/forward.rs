//! Local port forwarding: what is asked for, and the guard that ends it.

use std::collections::HashMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Close, Destination, OPEN_TIMEOUT};
use crate::{Kind, SshError};

/// A port here whose connections the server carries on, as with `ssh -L`, or wherever each of them
/// asks for, as with `ssh -D`.
#[derive(Debug, Clone)]
pub struct LocalForward {
    bind: SocketAddr,
    /// `None` is for SOCKS.
    to: Option<Destination>,
    max_connections: usize,
    open_timeout: Duration,
}

/// A port that is forwarded, until this is dropped, or the connection that it was opened on: the port
/// is closed then, and so are its connections. Nothing waits for that.
///
/// What fails of one connection is its own: its client sees it closed, it is counted and
/// [kept](Self::last_error), and told to the log. The forwarding ends where the SSH connection does.
#[must_use = "the forwarding ends when this is dropped"]
pub struct Forwarding {
    state: Arc<ForwardState>,
}

/// What became of a forwarding's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ForwardStats {
    /// How many are open now, or about to be.
    pub open: usize,
    /// How many were accepted so far.
    pub accepted: u64,
    /// How many of them failed: the server opened no tunnel, or its connection was lost.
    pub failed: u64,
}

/// What a forwarding's guard and those who do its work share.
pub struct ForwardState {
    address: SocketAddr,
    max_connections: usize,
    inner: Mutex<Inner>,
    /// Has the one who accepts look anew: whether it is over, or there is room.
    wake: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Inner {
    is_over: bool,
    stats: ForwardStats,
    last_error: Option<SshError>,
    last_number: u64,
    /// What closes each of the connections.
    closers: HashMap<u64, Box<dyn Fn() + Send>>,
}

/// One of a forwarding's connections, counted until this is dropped.
pub struct ForwardSlot {
    state: Arc<ForwardState>,
    number: u64,
}

impl LocalForward {
    /// To a TCP port that the server reaches.
    pub fn to_tcp(host: impl Into<String>, port: u16) -> Self {
        Self::new(Some(Destination::tcp(host, port)))
    }

    /// To a Unix socket on the server.
    pub fn to_unix(path: impl AsRef<Path>) -> Self {
        Self::new(Some(Destination::unix(path)))
    }

    /// To wherever each connection asks for by SOCKS 5 (RFC 1928): `CONNECT`, without authentication.
    /// Whoever can connect to the port gets wherever the server gets.
    pub fn socks() -> Self {
        Self::new(None)
    }

    fn new(to: Option<Destination>) -> Self {
        Self {
            bind: (Ipv4Addr::LOCALHOST, 0).into(),
            to,
            max_connections: 64,
            open_timeout: OPEN_TIMEOUT,
        }
    }

    /// The address to listen on; port 0 is any that is free. Default: 127.0.0.1:0. Others on the
    /// network can use what is bound to an address of theirs.
    #[must_use]
    pub fn bind(mut self, address: impl Into<SocketAddr>) -> Self {
        self.bind = address.into();
        self
    }

    /// How many connections are open at once: 1 and up, default 64. Further ones wait to be accepted.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// How long the server may take to reach the destination. Default: 10 seconds.
    #[must_use]
    pub fn open_timeout(mut self, timeout: Duration) -> Self {
        self.open_timeout = timeout;
        self
    }

    /// Checks what makes no sense. Whoever starts it calls this first.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] naming it.
    pub fn validate(&self) -> Result<(), SshError> {
        if self.max_connections == 0 {
            return Err(SshError::invalid("max_connections", "is 0"));
        }
        self.to.as_ref().map_or(Ok(()), Destination::validate)
    }

    /// The address to listen on.
    pub fn address(&self) -> SocketAddr {
        self.bind
    }

    /// Where all connections lead; `None` for SOCKS.
    pub fn destination(&self) -> Option<&Destination> {
        self.to.as_ref()
    }

    /// How long the server may take.
    pub fn time_to_open(&self) -> Duration {
        self.open_timeout
    }
}

impl Forwarding {
    /// The guard of a forwarding.
    pub fn new(state: Arc<ForwardState>) -> Self {
        Self { state }
    }

    /// The address that is listened on, with the port that was free.
    pub fn local_addr(&self) -> SocketAddr {
        self.state.address
    }

    /// Whether it still listens.
    pub fn is_active(&self) -> bool {
        !self.state.is_over()
    }

    /// What became of its connections.
    pub fn stats(&self) -> ForwardStats {
        self.state.inner().stats
    }

    /// Why a connection failed, the last time one did.
    pub fn last_error(&self) -> Option<SshError> {
        self.state.inner().last_error.clone()
    }

    /// Ends it, as dropping it does.
    pub fn close(&self) {
        self.state.close();
    }

    /// What ends it, for a connection to keep.
    pub fn state(&self) -> &Arc<ForwardState> {
        &self.state
    }
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        self.state.close();
    }
}

impl ForwardState {
    /// `wake` has the one who accepts look anew, without waiting; it is called without a lock, also
    /// when nothing has changed.
    pub fn new(
        forward: &LocalForward,
        address: SocketAddr,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let (max_connections, wake) = (forward.max_connections, Box::new(wake));
        Self { address, max_connections, inner: Mutex::default(), wake }
    }

    /// Whether it is over, and nothing more to be accepted.
    pub fn is_over(&self) -> bool {
        self.inner().is_over
    }

    /// Whether another connection may be accepted now.
    pub fn has_room(&self) -> bool {
        self.inner().stats.open < self.max_connections
    }

    /// Counts a connection that was accepted.
    pub fn accepted(self: &Arc<Self>) -> ForwardSlot {
        let mut inner = self.inner();
        inner.stats.open += 1;
        inner.stats.accepted += 1;
        inner.last_number += 1;
        ForwardSlot { state: Arc::clone(self), number: inner.last_number }
    }

    /// A connection has failed. Where the session is lost, so is the forwarding.
    pub fn failed(&self, error: SshError) {
        tracing::debug!(address = %self.address, %error, "a forwarded connection failed");
        let is_lost = matches!(error.kind(), Kind::ConnectionLost | Kind::Closed);
        let mut inner = self.inner();
        if !inner.is_over {
            inner.stats.failed += 1;
            inner.last_error = Some(error);
        }
        drop(inner);
        if is_lost {
            self.close();
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Close for ForwardState {
    fn close(&self) {
        let mut inner = self.inner();
        inner.is_over = true;
        let closers = std::mem::take(&mut inner.closers);
        drop(inner);
        (self.wake)();
        closers.values().for_each(|close| close());
    }
}

impl ForwardSlot {
    /// Has the connection closed by this, which does not wait, when the forwarding ends. False, and it
    /// is called at once, where that has.
    pub fn closed_by(&self, close: impl Fn() + Send + 'static) -> bool {
        let mut inner = self.state.inner();
        if inner.is_over {
            drop(inner);
            close();
            return false;
        }
        inner.closers.insert(self.number, Box::new(close));
        true
    }

    /// Whether the forwarding is over, and the connection to be closed.
    pub fn is_over(&self) -> bool {
        self.state.is_over()
    }

    /// The connection has failed.
    pub fn failed(&self, error: SshError) {
        self.state.failed(error);
    }
}

impl Drop for ForwardSlot {
    fn drop(&mut self) {
        let mut inner = self.state.inner();
        inner.stats.open = inner.stats.open.saturating_sub(1);
        let closer = inner.closers.remove(&self.number);
        drop(inner);
        drop(closer);
        (self.state.wake)();
    }
}

impl fmt::Debug for Forwarding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarding")
            .field("local_addr", &self.local_addr())
            .field("is_active", &self.is_active())
            .field("stats", &self.stats())
            .finish()
    }
}

impl fmt::Debug for ForwardState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardState").field("address", &self.address).finish_non_exhaustive()
    }
}

impl fmt::Debug for ForwardSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardSlot").field("number", &self.number).finish_non_exhaustive()
    }
}
