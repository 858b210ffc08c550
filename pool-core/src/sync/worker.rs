//! The threads that do the waiting for a sync pool, of one key or of many.
//!
//! As long as anything is open or wanted, one worker sleeps towards the next deadline; before a
//! worker starts a task it makes sure that another one takes that watch. So giving a session back
//! never has to start a thread. Workers beyond the watch end when they find nothing to do for a
//! while, the last one when nothing is open any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backend::{Backend, ErrorKind, Moment};
use crate::core::{SlotId, Task};
use crate::domain::{Domain, LocalChecks, Machine, SessionOf};
use crate::interrupt::Interrupt;
use crate::kinds::{ConnectFailure, Purpose};
use crate::panics::quietly;
use crate::shared::Shared;
use crate::sync::primitives::thread;

/// How long a worker beyond the first stays without work.
const LINGER: Duration = Duration::from_secs(5);

/// A [`Backend`] as the sync pool sees it.
#[doc(hidden)]
#[derive(Debug)]
pub struct Blocking<B>(pub(crate) B);

impl<B: Backend> LocalChecks for Blocking<B> {
    type Session = B::Session;
    type Error = B::Error;

    #[inline]
    fn is_broken(&self, session: &mut B::Session, moment: Moment) -> bool {
        self.0.is_broken_at(session, moment)
    }

    #[inline]
    fn needs_reset(&self, session: &mut B::Session) -> bool {
        self.0.needs_reset(session)
    }
}

/// Starts a worker if there is none and something may be left to do.
pub(crate) fn ensure_worker<D, B>(shared: &Arc<Shared<D>>) -> std::io::Result<()>
where
    D: Domain<Backend = Blocking<B>>,
    B: Backend,
{
    {
        let mut state = shared.lock();
        // Where all has ended there is nothing left for it to do.
        if state.workers > 0 || state.machine.is_drained() {
            return Ok(());
        }
        state.workers = 1;
    }
    start(shared)
}

/// Starts a worker that is counted already.
fn start<D, B>(shared: &Arc<Shared<D>>) -> std::io::Result<()>
where
    D: Domain<Backend = Blocking<B>>,
    B: Backend,
{
    let worker = Arc::clone(shared);
    let started = thread::Builder::new().name("pool-worker".into()).spawn(move || work(&worker));
    if started.is_err() {
        // Whoever took it for a worker that is there has to look again.
        let waiting = {
            let mut state = shared.lock();
            state.workers -= 1;
            if state.workers == 0 { state.take_wakers() } else { Vec::new() }
        };
        for waker in waiting {
            quietly(|| waker.wake());
        }
    }
    started.map(drop)
}

fn work<D, B>(shared: &Arc<Shared<D>>)
where
    D: Domain<Backend = Blocking<B>>,
    B: Backend,
{
    while let Some(job) = next_job(shared) {
        if job.hand_over
            && let Err(error) = start(shared)
        {
            quietly(|| tracing::warn!(%error, "no second worker thread, deadlines may be late"));
        }
        // Whatever panics in there in spite of all must not cost a worker that stays counted.
        quietly(|| run(shared, job));
    }
}

struct Job<D: Domain> {
    key: D::Key,
    place: Option<D::Place>,
    task: Task<SessionOf<D>>,
    interrupt: Interrupt,
    /// Nobody is left on watch, so a worker has been counted that is to be started.
    hand_over: bool,
}

/// Sleeps until there is a task; `None` is the end of this worker.
fn next_job<D: Domain>(shared: &Shared<D>) -> Option<Job<D>> {
    let idle_since = Instant::now();
    let mut state = shared.lock();
    loop {
        let now = shared.clock.now();
        state.machine.handle_timeout(now);
        if let Some((key, task)) = state.machine.poll_task(now) {
            let hand_over = state.sleeping == 0;
            state.workers += usize::from(hand_over);
            let interrupt = Shared::new_interrupt(&mut state, key, &task);
            let place = D::place(&state.places, key);
            shared.unlock(state, now);
            return Some(Job { key, place, task, interrupt, hand_over });
        }
        if state.machine.has_notice() {
            shared.unlock(state, now);
            state = shared.lock();
            continue;
        }
        let due = state.machine.poll_timeout();
        let needless = state.sleeping > 0 || (!state.machine.is_busy() && due.is_none());
        let lingered = idle_since.elapsed() >= LINGER;
        if state.machine.is_drained() || (needless && lingered) {
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

/// Runs one task on this thread, and answers for it whatever happens.
fn run<D, B>(shared: &Shared<D>, job: Job<D>)
where
    D: Domain<Backend = Blocking<B>>,
    B: Backend,
{
    let Job { key, place, task, interrupt, .. } = job;
    let slot = task.slot();
    let owed = Owed { shared, key, slot, connect: matches!(task, Task::Connect { .. }) };
    let Some(place) = place else { return };
    let Blocking(backend) = shared.domain.backend(&place);
    match task {
        Task::Connect { .. } => {
            let (kind, failure) = match quietly(|| backend.connect_interruptible(&interrupt)) {
                Some(Ok(session)) => {
                    owed.done();
                    shared.answer(key, slot, |core, now| core.connected(slot, session, now));
                    return;
                }
                Some(Err(error)) => {
                    let kind = quietly(|| backend.classify(&error)).unwrap_or(ErrorKind::Transient);
                    quietly(|| tracing::debug!(%error, ?kind, "connect failed"));
                    (kind, ConnectFailure::Error(Arc::new(error)))
                }
                None => (ErrorKind::Transient, ConnectFailure::Panicked),
            };
            owed.done();
            shared.connect_failed(key, slot, kind, failure);
        }
        Task::Check { purpose, mut session, .. } => {
            offer_kill_switch(backend, &mut session, &interrupt);
            let dead = "session is dead";
            let alive = match purpose {
                Purpose::Watch => quietly(|| backend.is_broken(&mut session)) == Some(false),
                Purpose::Keepalive => is_fine(quietly(|| backend.keepalive(&mut session)), dead),
                _ => is_fine(quietly(|| backend.check(&mut session)), dead),
            };
            let session = shared.hand_back(session);
            owed.done();
            shared.answer(key, slot, |core, now| core.checked(slot, session, alive, now));
        }
        Task::Reset { mut session, .. } => {
            offer_kill_switch(backend, &mut session, &interrupt);
            let clean = is_fine(quietly(|| backend.reset(&mut session)), "session was not reset");
            let session = shared.hand_back(session);
            owed.done();
            shared.answer(key, slot, |core, now| core.reset_done(slot, session, clean, now));
        }
        Task::Close { mut session, reason, .. } => {
            quietly(|| tracing::trace!(?reason, "closing a session"));
            offer_kill_switch(backend, &mut session, &interrupt);
            quietly(|| backend.close(session));
            owed.done();
            shared.answer(key, slot, |core, now| core.closed(slot, now));
        }
    }
}

fn offer_kill_switch<B: Backend>(backend: &B, session: &mut B::Session, interrupt: &Interrupt) {
    if let Some(kill) = quietly(|| backend.kill_switch(session)).flatten() {
        interrupt.on_interrupt(kill);
    }
}

/// Whether an operation went well. Its error is logged, and dropped where its panic harms nobody.
fn is_fine<E: std::error::Error>(result: Option<Result<(), E>>, what: &'static str) -> bool {
    match result {
        Some(Ok(())) => true,
        Some(Err(error)) => {
            quietly(|| tracing::debug!(%error, what));
            quietly(|| drop(error));
            false
        }
        None => false,
    }
}

/// Tells the core that a task is over, should this thread unwind in spite of all.
struct Owed<'a, D: Domain> {
    shared: &'a Shared<D>,
    key: D::Key,
    slot: SlotId,
    connect: bool,
}

impl<D: Domain> Owed<'_, D> {
    fn done(self) {
        std::mem::forget(self);
    }
}

impl<D: Domain> Drop for Owed<'_, D> {
    fn drop(&mut self) {
        let Self { shared, key, slot, connect } = *self;
        if connect {
            let failure = ConnectFailure::Panicked;
            shared.connect_failed(key, slot, ErrorKind::Transient, failure);
        } else {
            shared.answer(key, slot, |core, now| core.lost(slot, now));
        }
    }
}
