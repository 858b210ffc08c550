//! What the server's tasks and its handle share: counters, switches, open connections.

use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{io, thread};

use tokio::sync::oneshot;

use super::login::Refusals;

/// Counted since the server was first started, restarts included.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) connections: AtomicUsize,
    pub(super) handshakes: AtomicUsize,
    pub(super) refusals: Refusals,
    pub(super) commands: AtomicUsize,
    pub(super) open_sessions: AtomicUsize,
    /// Requests for forwardings, of whatever kind.
    pub(super) forwardings: AtomicUsize,
    /// Channels that we opened at clients, and those that they refused.
    pub(super) intrusions: AtomicUsize,
    pub(super) repelled: AtomicUsize,
}

/// What a test can switch while the server runs.
#[derive(Debug, Default)]
pub(super) struct Switches {
    pub(super) auth_delay: Duration,
    pub(super) open_delay: Duration,
    /// How old a session channel may become.
    pub(super) channel_age: Option<Duration>,
    /// Numbers of session channel opens to refuse, counted from 1 since the start.
    pub(super) refused_opens: Vec<u64>,
    pub(super) opens_seen: u64,
    pub(super) omit_exit_status: bool,
    pub(super) forbids_tunnels: bool,
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) counters: Counters,
    switches: Mutex<Switches>,
    connections: Mutex<HashMap<u64, TcpStream>>,
    listening: Mutex<Option<oneshot::Sender<()>>>,
    next_connection: AtomicU64,
    tasks: AtomicUsize,
}

impl Shared {
    pub(super) fn switches(&self) -> MutexGuard<'_, Switches> {
        self.switches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<u64, TcpStream>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new listener starts; it is to stop when the receiver resolves.
    pub(super) fn listen(&self) -> oneshot::Receiver<()> {
        let (stop, stopped) = oneshot::channel();
        *self.listening.lock().unwrap_or_else(PoisonError::into_inner) = Some(stop);
        stopped
    }

    pub(super) fn stop_listening(&self) {
        *self.listening.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Keeps a second descriptor of a connection, so that it can be cut.
    pub(super) fn register(&self, stream: TcpStream) -> u64 {
        let id = self.next_connection.fetch_add(1, Ordering::Relaxed);
        self.counters.connections.fetch_add(1, Ordering::SeqCst);
        self.connections().insert(id, stream);
        id
    }

    pub(super) fn forget(&self, id: u64) {
        self.connections().remove(&id);
    }

    /// Ends every connection at once, in the middle of whatever it does.
    pub(super) fn cut_connections(&self) {
        for stream in self.connections().values() {
            // The peer may have been faster.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Cuts all connections and waits until none is left, nor any command.
    pub(super) fn end_all(&self, patience: Duration) -> io::Result<()> {
        let deadline = Instant::now() + patience;
        while self.tasks.load(Ordering::SeqCst) > 0 {
            // Each time anew: one may have been accepted just before the listener closed.
            self.cut_connections();
            if Instant::now() >= deadline {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "connections or commands of the embedded server did not end",
                ));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// Counts as a task of the server while it exists.
#[derive(Debug)]
pub(super) struct TaskGuard(Arc<Shared>);

impl TaskGuard {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        shared.tasks.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(shared))
    }
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.0.tasks.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One of a connection's session slots; free again when channel and process are both gone.
#[derive(Debug)]
pub(super) struct Slot {
    shared: Arc<Shared>,
    in_connection: Arc<AtomicUsize>,
}

impl Slot {
    /// Takes a slot, unless the connection has `limit` of them in use.
    pub(super) fn take(
        shared: &Arc<Shared>,
        in_connection: &Arc<AtomicUsize>,
        limit: usize,
    ) -> Option<Self> {
        in_connection
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |used| {
                (used < limit).then_some(used + 1)
            })
            .ok()?;
        shared.counters.open_sessions.fetch_add(1, Ordering::SeqCst);
        Some(Self { shared: Arc::clone(shared), in_connection: Arc::clone(in_connection) })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.in_connection.fetch_sub(1, Ordering::SeqCst);
        self.shared.counters.open_sessions.fetch_sub(1, Ordering::SeqCst);
    }
}
