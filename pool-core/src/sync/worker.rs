//! The threads that do the waiting for a sync pool.
//!
//! As long as anything is open or wanted, one worker sleeps towards the next deadline; before a
//! worker starts a task it makes sure that another one takes that watch. So giving a session back
//! never has to start a thread. Workers beyond the watch end when they find nothing to do for a
//! while, the last one when nothing is open any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backend::{Backend, ErrorKind};
use crate::core::{ConnectFailure, Purpose, Task};
use crate::shared::{Probe, Shared, quietly};
use crate::sync::primitives::thread;

/// How long a worker beyond the first stays without work.
pub(crate) const LINGER: Duration = Duration::from_secs(5);

/// A [`Backend`] as the sync pool sees it.
#[derive(Debug)]
pub struct Blocking<B>(pub(crate) B);

impl<B: Backend> Probe for Blocking<B> {
    type Session = B::Session;
    type Error = B::Error;

    fn is_broken(&self, session: &mut B::Session) -> bool {
        self.0.is_broken(session)
    }

    fn needs_reset(&self, session: &mut B::Session) -> bool {
        self.0.needs_reset(session)
    }
}

/// Starts a worker if there is none.
pub(super) fn ensure_worker<B: Backend>(shared: &Arc<Shared<Blocking<B>>>) -> std::io::Result<()> {
    {
        let mut state = shared.lock();
        if state.workers > 0 {
            return Ok(());
        }
        state.workers = 1;
    }
    start(shared)
}

/// Starts a worker that is counted already.
fn start<B: Backend>(shared: &Arc<Shared<Blocking<B>>>) -> std::io::Result<()> {
    let worker = Arc::clone(shared);
    let started = thread::Builder::new().name("pool-worker".into()).spawn(move || work(&worker));
    if started.is_err() {
        shared.lock().workers -= 1;
    }
    started.map(drop)
}

fn work<B: Backend>(shared: &Arc<Shared<Blocking<B>>>) {
    while let Some(Job { task, hand_over }) = next_job(shared) {
        if hand_over && let Err(error) = start(shared) {
            tracing::warn!(%error, "no second worker thread, so deadlines may be late");
        }
        run(shared, task);
    }
}

struct Job<S> {
    task: Task<S>,
    /// Nobody is left on watch, so a worker has been counted that is to be started.
    hand_over: bool,
}

/// Sleeps until there is a task; `None` is the end of this worker.
fn next_job<B: Backend>(shared: &Shared<Blocking<B>>) -> Option<Job<B::Session>> {
    let idle_since = Instant::now();
    let mut state = shared.lock();
    loop {
        let now = shared.clock.now();
        state.core.handle_timeout(now);
        if let Some(task) = state.core.poll_task(now) {
            let hand_over = state.sleeping == 0;
            state.workers += usize::from(hand_over);
            shared.unlock(state, now);
            return Some(Job { task, hand_over });
        }
        if state.core.has_notice() {
            shared.unlock(state, now);
            state = shared.lock();
            continue;
        }
        let due = state.core.poll_timeout();
        let stats = state.core.stats();
        let needless = state.sleeping > 0 || (stats.open() + stats.waiting == 0 && due.is_none());
        let lingered = idle_since.elapsed() >= LINGER;
        if state.core.is_drained() || (needless && lingered) {
            state.workers -= 1;
            drop(state);
            shared.changed.notify_all();
            return None;
        }
        state.armed = due;
        state.sleeping += 1;
        let until_due = due.and_then(|due| shared.clock.sleep_for(due));
        let until_end = needless.then(|| LINGER.saturating_sub(idle_since.elapsed()));
        let at_most = until_due.into_iter().chain(until_end).min();
        state = shared.changed.wait(state, at_most);
        state.sleeping -= 1;
        // Others may sleep towards a later deadline, so until somebody sleeps again any is new.
        state.armed = None;
    }
}

/// Runs one task on this thread, and answers for it.
pub(crate) fn run<B: Backend>(shared: &Shared<Blocking<B>>, task: Task<B::Session>) {
    let backend = &shared.probe.0;
    match task {
        Task::Connect { slot, .. } => {
            let (kind, failure) = match quietly(|| backend.connect()) {
                Some(Ok(session)) => {
                    return shared.with(|state, now| state.core.connected(slot, session, now));
                }
                Some(Err(error)) => {
                    let kind = quietly(|| backend.classify(&error)).unwrap_or(ErrorKind::Transient);
                    tracing::debug!(%error, ?kind, "connect failed");
                    (kind, ConnectFailure::Error(Arc::new(error)))
                }
                None => (ErrorKind::Transient, ConnectFailure::Panicked),
            };
            shared.connect_failed(slot, kind, failure);
        }
        Task::Check { slot, purpose, mut session, .. } => {
            let checked = quietly(|| match purpose {
                Purpose::Keepalive => backend.keepalive(&mut session),
                _ => backend.check(&mut session),
            });
            if let Some(Err(error)) = &checked {
                tracing::debug!(%error, ?purpose, "session is dead");
            }
            let alive = matches!(checked, Some(Ok(())));
            shared.with(|state, now| state.core.checked(slot, session, alive, now));
        }
        Task::Reset { slot, mut session, .. } => {
            let reset = quietly(|| backend.reset(&mut session));
            if let Some(Err(error)) = &reset {
                tracing::debug!(%error, "session could not be reset");
            }
            let clean = matches!(reset, Some(Ok(())));
            shared.with(|state, now| state.core.reset_done(slot, session, clean, now));
        }
        Task::Close { slot, session, reason, .. } => {
            tracing::trace!(?reason, "closing a session");
            quietly(|| backend.close(session));
            shared.with(|state, now| state.core.closed(slot, now));
        }
    }
}
