//! One lock around the core: the only place where borrowers, workers and drivers meet.
//!
//! Every access is [`Shared::with`]: lock, use the core, move out what it wants done, unlock; only
//! then wake, observe and drop. No user code ever runs under the lock, so a panic in it cannot
//! poison anything and a callback may use the pool.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::time::Instant;

use crate::backend::ErrorKind;
use crate::clock::Clock;
use crate::core::{ConnectFailure, Core, Notice, OldestLease, SlotId, Task};
use crate::event::{Event, Observer};
use crate::stats::Stats;
use crate::sync::primitives::{Condvar, Mutex, MutexGuard};

/// What both kinds of backend can tell about a session without waiting.
pub trait Probe: Send + Sync + 'static {
    /// What is pooled.
    type Session: Send + 'static;
    /// Why a connect failed.
    type Error: std::error::Error + Send + Sync + 'static;

    /// See [`Backend::is_broken`](crate::Backend::is_broken).
    fn is_broken(&self, session: &mut Self::Session) -> bool;
    /// See [`Backend::needs_reset`](crate::Backend::needs_reset).
    fn needs_reset(&self, session: &mut Self::Session) -> bool;
}

pub(crate) type PoolCore<P> = Core<<P as Probe>::Session, Arc<<P as Probe>::Error>>;

pub(crate) struct Shared<P: Probe> {
    state: Apart<Mutex<State<P>>>,
    /// Whether a newcomer would have had to wait when the lock was last released: a hint, so that
    /// it has its waker ready.
    crowded: AtomicBool,
    /// Tells sleeping workers that there is a task or an earlier deadline.
    pub(crate) changed: Condvar,
    pub(crate) probe: P,
    pub(crate) clock: Arc<dyn Clock>,
    observer: Option<Arc<dyn Observer>>,
}

/// Keeps what is written all the time off the cache lines of what is only read.
#[repr(align(128))]
struct Apart<T>(T);

pub(crate) struct State<P: Probe> {
    pub(crate) core: PoolCore<P>,
    /// By the index of the waiter.
    wakers: Vec<Option<Waker>>,
    /// Those who wait for the end of a closed pool.
    drain: Vec<Waker>,
    /// The errors that the core may still know, so that it never drops the last copy of one.
    errors: Vec<Arc<P::Error>>,
    /// The driver task of an async pool.
    pub(crate) driver: Option<Waker>,
    /// The deadline that somebody sleeps towards.
    pub(crate) armed: Option<Instant>,
    /// Worker threads of a sync pool, and how many of them sleep; an async pool has one driver
    /// task or none.
    pub(crate) workers: usize,
    pub(crate) sleeping: usize,
    /// Keeps an async pool without handles alive for its driver until all is closed. The driver
    /// takes it out at its end, so it is no cycle for ever.
    pub(crate) itself: Option<Arc<Shared<P>>>,
}

/// What is to be done after the lock is released.
#[derive(Default)]
struct Outbox {
    first: Option<Waker>,
    more: Vec<Waker>,
    events: Vec<Event>,
    nudge: bool,
}

impl<P: Probe> Shared<P> {
    pub(crate) fn new(
        core: PoolCore<P>,
        probe: P,
        clock: Arc<dyn Clock>,
        observer: Option<Arc<dyn Observer>>,
    ) -> Self {
        let state = State {
            core,
            wakers: Vec::new(),
            drain: Vec::new(),
            errors: Vec::new(),
            driver: None,
            armed: None,
            workers: 0,
            sleeping: 0,
            itself: None,
        };
        let (state, changed) = (Apart(Mutex::new(state)), Condvar::new());
        let crowded = AtomicBool::new(true);
        Self { state, crowded, changed, probe, clock, observer }
    }

    /// Uses the core, then does what it wants done at once.
    pub(crate) fn with<R>(&self, input: impl FnOnce(&mut State<P>, Instant) -> R) -> R {
        self.at(self.clock.now(), input)
    }

    /// As [`with`](Self::with), by the cheap clock: for what happens at every borrow.
    #[inline]
    pub(crate) fn with_coarse<R>(&self, input: impl FnOnce(&mut State<P>, Instant) -> R) -> R {
        self.at(self.coarse(), input)
    }

    /// The cheap clock, but where an observer is told how long things took.
    #[inline]
    pub(crate) fn coarse(&self) -> Instant {
        match self.observer {
            None => self.clock.coarse(),
            Some(_) => self.clock.now(),
        }
    }

    #[inline]
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowded.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn at<R>(&self, now: Instant, input: impl FnOnce(&mut State<P>, Instant) -> R) -> R {
        let mut state = self.lock();
        let result = input(&mut state, now);
        let outbox = state.collect(now);
        let crowded = state.core.is_crowded();
        if crowded != self.is_crowded() {
            self.crowded.store(crowded, Ordering::Relaxed);
        }
        drop(state);
        self.deliver(outbox);
        result
    }

    /// For those who sleep on [`changed`](Self::changed), and for reading.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State<P>> {
        self.state.0.lock()
    }

    /// Does what an access through [`lock`](Self::lock) has left to be done, and releases it.
    pub(crate) fn unlock(&self, mut state: MutexGuard<'_, State<P>>, now: Instant) {
        let outbox = state.collect(now);
        drop(state);
        self.deliver(outbox);
    }

    /// A connect failed. Errors that the core has forgotten are dropped here, outside the lock.
    pub(crate) fn connect_failed(
        &self,
        slot: SlotId,
        kind: ErrorKind,
        failure: ConnectFailure<Arc<P::Error>>,
    ) {
        let forgotten: Vec<_> = self.with(|state, now| {
            if let ConnectFailure::Error(error) = &failure {
                state.errors.push(Arc::clone(error));
            }
            state.core.connect_failed(slot, kind, failure, now);
            state.errors.extract_if(.., |error| Arc::strong_count(error) == 1).collect()
        });
        for error in forgotten {
            quietly(|| drop(error));
        }
    }

    /// Has the driver look again.
    pub(crate) fn nudge(&self) {
        let driver = self.lock().driver.take();
        if let Some(driver) = driver {
            quietly(|| driver.wake());
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        self.lock().core.stats()
    }

    pub(crate) fn oldest_lease(&self) -> Option<OldestLease> {
        let now = self.clock.now();
        self.lock().core.oldest_lease(now)
    }

    /// The counts of a closed pool that is not drained yet; the waker is woken when it is.
    pub(crate) fn undrained(&self, waker: Waker) -> Option<Stats> {
        let (open, unneeded) = self.with(|state, _| {
            if state.core.is_drained() {
                return (None, Some(waker));
            }
            let known = state.drain.iter().any(|other| other.will_wake(&waker));
            let spare = if known {
                Some(waker)
            } else {
                state.drain.push(waker);
                None
            };
            (Some(state.core.stats()), spare)
        });
        discard(unneeded);
        open
    }

    /// Shows every idle session to the predicate, one at a time, outside the lock.
    pub(crate) fn retain(&self, mut keep: impl FnMut(&mut P::Session) -> bool) {
        let slots = self.lock().core.idle_slots();
        for slot in slots {
            let session = self.with(|state, _| state.core.inspect(slot));
            if let Some(mut session) = session {
                let verdict = catch_unwind(AssertUnwindSafe(|| keep(&mut session)));
                let keep_it = *verdict.as_ref().unwrap_or(&false);
                self.with(|state, now| state.core.inspected(slot, session, keep_it, now));
                if let Err(panic) = verdict {
                    resume_unwind(panic);
                }
            }
        }
    }

    #[inline]
    fn deliver(&self, outbox: Option<Outbox>) {
        if let Some(outbox) = outbox {
            self.deliver_all(outbox);
        }
    }

    #[inline(never)]
    fn deliver_all(&self, outbox: Outbox) {
        // Before anybody wakes up and causes the next event.
        if let Some(observer) = &self.observer {
            for event in &outbox.events {
                quietly(|| observer.on_event(event));
            }
        }
        if outbox.nudge {
            self.changed.notify_one();
        }
        // A waker is somebody else's code: one that panics must not keep the others from theirs.
        for waker in outbox.first.into_iter().chain(outbox.more) {
            quietly(|| waker.wake());
        }
    }
}

impl<P: Probe> State<P> {
    /// What an access has left to be done, if anything.
    #[inline]
    fn collect(&mut self, now: Instant) -> Option<Outbox> {
        let earlier = match (self.core.poll_timeout(), self.armed) {
            (Some(due), Some(armed)) => due < armed,
            (due, _) => due.is_some(),
        };
        let nudge = earlier || self.core.has_task(now) || self.core.is_drained();
        (nudge || self.core.has_notice()).then(|| self.collect_all(nudge))
    }

    #[inline(never)]
    fn collect_all(&mut self, nudge: bool) -> Outbox {
        let mut outbox = Outbox { nudge: nudge && self.sleeping > 0, ..Outbox::default() };
        if nudge {
            outbox.wake(self.driver.take());
        }
        while let Some(notice) = self.core.poll_notice() {
            match notice {
                Notice::Wake(id) => {
                    let waker = self.wakers.get_mut(id.index()).and_then(Option::take);
                    outbox.wake(waker);
                }
                Notice::Event(event) => outbox.events.push(event),
                Notice::Drained => outbox.more.append(&mut self.drain),
            }
        }
        outbox
    }

    /// Whether somebody has to be there to run tasks and watch deadlines.
    pub(crate) fn needs_worker(&self, now: Instant) -> bool {
        let stats = self.core.stats();
        stats.open() + stats.waiting > 0 || self.core.has_task(now)
    }

    /// Keeps the waker of a waiter; what it replaces is to be dropped outside the lock.
    #[must_use]
    pub(crate) fn set_waker(&mut self, waiter: usize, waker: Waker) -> Option<Waker> {
        if waiter >= self.wakers.len() {
            self.wakers.resize(waiter + 1, None);
        }
        self.wakers[waiter].replace(waker)
    }

    /// Takes the waker of a waiter out, to be dropped outside the lock.
    #[must_use]
    pub(crate) fn take_waker(&mut self, waiter: usize) -> Option<Waker> {
        self.wakers.get_mut(waiter).and_then(Option::take)
    }

    /// Takes the wakers of all who wait out, to have them look again.
    #[must_use]
    pub(crate) fn take_wakers(&mut self) -> Vec<Waker> {
        let waiting = self.wakers.iter_mut().filter_map(Option::take);
        waiting.chain(self.drain.drain(..)).collect()
    }
}

impl Outbox {
    fn wake(&mut self, waker: Option<Waker>) {
        match waker {
            Some(waker) if self.first.is_none() => self.first = Some(waker),
            waker => self.more.extend(waker),
        }
    }
}

/// Drops a waker, outside the lock: a panic of its owner's code must not cost the session that
/// came with it.
pub(crate) fn discard(waker: Option<Waker>) {
    if let Some(waker) = waker {
        quietly(|| drop(waker));
    }
}

/// Runs somebody else's code; `None` where it panicked.
pub(crate) fn quietly<R>(code: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(code)) {
        Ok(result) => Some(result),
        Err(payload) => {
            // The payload's own `Drop` may panic as well.
            if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                std::mem::forget(again);
            }
            None
        }
    }
}

impl<P: Probe> Drop for Shared<P> {
    /// Drops what nobody is left to close. The last to go may be a guard, which must not panic.
    fn drop(&mut self) {
        let now = self.clock.now();
        let mut state = self.lock();
        state.core.close(now);
        while let Some(task) = state.core.poll_task(now) {
            if let Task::Close { slot, session, .. } = task {
                quietly(|| drop(session));
                state.core.closed(slot, now);
            }
        }
    }
}

impl<P: Probe> fmt::Debug for Shared<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
