//! One thread for the heartbeats of all sessions that nobody uses at the moment, whether they wait
//! in a pool or somebody holds them.
//!
//! It knows sessions weakly, looks at each when its next heartbeat may be due, and ends when none is
//! left. A session that a call is under way on is served by that call. One that was used meanwhile,
//! or that its pool has checked, has shown life, so that no heartbeat is due then.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Instant;

use ssh_session::ProcessId;

use crate::link::Link;

struct Service {
    /// The first one due on top.
    served: BinaryHeap<Reverse<Due>>,
    /// The process in which its thread runs; a forked-off one needs another.
    running: Option<ProcessId>,
}

/// When a session is to be looked at.
struct Due {
    at: Instant,
    link: Weak<Link>,
}

static SERVICE: Mutex<Service> = Mutex::new(Service { served: BinaryHeap::new(), running: None });
static ADDED: Condvar = Condvar::new();

/// Serves a session until it is over or dropped.
pub(crate) fn serve(link: &Arc<Link>) {
    let Some(at) = link.next_look(&link.lock()) else { return };
    let mut service = SERVICE.lock().unwrap_or_else(PoisonError::into_inner);
    if service.running.is_some_and(|home| !home.is_current()) {
        service.served.clear();
        service.running = None;
    }
    service.served.push(Reverse(Due { at, link: Arc::downgrade(link) }));
    ADDED.notify_one();
    if service.running.is_none() {
        let started = thread::Builder::new().name("hussh-keepalive".into()).spawn(run);
        match started {
            Ok(_) => service.running = Some(ProcessId::current()),
            Err(error) => tracing::warn!(%error, "no thread for heartbeats of idle sessions"),
        }
    }
}

fn run() {
    let mut service = SERVICE.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let Some(Reverse(next)) = service.served.peek() else {
            service.running = None;
            return;
        };
        let left = next.at.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            service = match ADDED.wait_timeout(service, left) {
                Ok((service, _)) => service,
                Err(poisoned) => poisoned.into_inner().0,
            };
            continue;
        }
        let Some(Reverse(due)) = service.served.pop() else { continue };
        // A session may end here, with its last handle: not under the lock.
        drop(service);
        let again = due.look();
        service = SERVICE.lock().unwrap_or_else(PoisonError::into_inner);
        service.served.extend(again.map(Reverse));
    }
}

impl Due {
    /// Serves the session, and says when to come again.
    fn look(self) -> Option<Self> {
        let link = self.link.upgrade()?;
        let mut state = link.lock();
        let at = match state.users {
            0 => link.service_idle(&mut state),
            _ => link.next_look(&state),
        };
        drop(state);
        at.map(|at| Self { at, link: self.link })
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}
