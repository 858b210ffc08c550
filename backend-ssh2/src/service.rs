//! One thread for the heartbeats of all sessions that nobody uses at the moment.
//!
//! It knows sessions weakly, sleeps until the next one is due, and ends when none is left.

use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::link::Link;

/// How long a session that somebody uses is left alone: its user serves it.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

struct Service {
    served: Vec<Weak<Link>>,
    running: bool,
}

static SERVICE: Mutex<Service> = Mutex::new(Service { served: Vec::new(), running: false });
static ADDED: Condvar = Condvar::new();

/// Serves a session until it is over or dropped.
pub(crate) fn serve(link: &Arc<Link>) {
    if link.lock().keepalive.is_none() {
        return;
    }
    let mut service = SERVICE.lock().unwrap_or_else(PoisonError::into_inner);
    service.served.push(Arc::downgrade(link));
    ADDED.notify_one();
    if !service.running {
        let started = thread::Builder::new().name("hussh-keepalive".into()).spawn(run);
        match started {
            Ok(_) => service.running = true,
            Err(error) => tracing::warn!(%error, "no thread for heartbeats of idle sessions"),
        }
    }
}

fn run() {
    let mut service = SERVICE.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let served = std::mem::take(&mut service.served);
        drop(service);
        let (kept, next) = tend_all(served);
        service = SERVICE.lock().unwrap_or_else(PoisonError::into_inner);
        let added = !service.served.is_empty();
        service.served.extend(kept);
        if service.served.is_empty() {
            service.running = false;
            return;
        }
        if !added {
            let left = next.saturating_duration_since(Instant::now());
            service = match ADDED.wait_timeout(service, left) {
                Ok((service, _)) => service,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

/// Serves each session once. Those still to be served, and when the first of them is due.
fn tend_all(served: Vec<Weak<Link>>) -> (Vec<Weak<Link>>, Instant) {
    let mut next = Instant::now() + Duration::from_secs(3600);
    let kept = served
        .into_iter()
        .filter(|weak| {
            let Some(link) = weak.upgrade() else { return false };
            let mut state = link.lock();
            let due = match state.users {
                0 => link.tend_idle(&mut state),
                _ => Some(Instant::now() + LOOK_AGAIN),
            };
            drop(state);
            next = next.min(due.unwrap_or(next));
            due.is_some()
        })
        .collect();
    (kept, next)
}
