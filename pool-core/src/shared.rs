//! One lock around the books: the only place where borrowers, workers and drivers meet.
//!
//! Every access is [`Shared::with`]: lock, use a core, move out what it wants done, unlock; only
//! then wake, observe and drop. No user code ever runs under the lock, so a panic in it cannot
//! poison anything and a callback may use the pool.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use crate::backend::ErrorKind;
use crate::clock::Clock;
use crate::core::{ConnectFailure, Notice, SlotId, Task};
use crate::domain::{CoreOf, Domain, ErrorOf, Machine, Said, SessionOf};
use crate::event::Event;
use crate::interrupt::Interrupt;
use crate::sync::primitives::{Condvar, Mutex, MutexGuard};
use crate::tasks::{BoxFuture, Runtime};

#[doc(hidden)]
#[allow(missing_debug_implementations)]
pub struct Shared<D: Domain> {
    state: CachePadded<Mutex<State<D>>>,
    /// Whether a newcomer would have had to wait when the lock was last released, or nobody works
    /// for the pool: a hint, so that it has its waker ready.
    contended: AtomicBool,
    /// Tells sleeping workers that there is a task or an earlier deadline.
    pub(crate) changed: Condvar,
    pub(crate) domain: D,
    pub(crate) clock: Arc<dyn Clock>,
    /// Of an async pool.
    pub(crate) runtime: Option<Arc<dyn Runtime>>,
    /// Borrowers get handles of sessions, of which the core keeps one.
    pub(crate) shares_sessions: bool,
    pub(crate) slow_acquire: Option<Duration>,
}

/// Keeps what is written all the time off the cache lines of what is only read.
#[repr(align(128))]
struct CachePadded<T>(T);

pub(crate) struct State<D: Domain> {
    pub(crate) machine: D::Machine,
    pub(crate) places: D::Places,
    /// By the index of the core, then of the waiter.
    wakers: Vec<Vec<Option<Waker>>>,
    /// Those who wait for the end of a closed pool, or for sessions to be opened.
    watchers: Vec<Weak<Watcher>>,
    /// How many sessions of which core each of those wants to be open.
    pub(crate) warming: Vec<(D::Key, usize)>,
    /// The errors that the core may still know, so that it never drops the last copy of one.
    errors: Errors<ErrorOf<D>>,
    /// How the operations that run now can be ended.
    interrupts: HashMap<(D::Key, SlotId), Interrupt>,
    /// The driver task of an async pool, and the runtime that it is on, if that is known.
    pub(crate) driver: Option<Waker>,
    pub(crate) driver_runtime: Option<u64>,
    /// The deadline that somebody sleeps towards.
    pub(crate) armed: Option<Instant>,
    /// Worker threads of a sync pool, and how many of them sleep; an async pool has one driver
    /// task or none.
    pub(crate) workers: usize,
    pub(crate) sleeping: usize,
    /// Keeps an async pool without handles alive for its driver until all is closed. The driver
    /// takes it out at its end, so it is no cycle for ever.
    pub(crate) itself: Option<Arc<Shared<D>>>,
}

/// Somebody who waits for the end of a closed pool, or for sessions to be opened. The pool knows it
/// for as long as it waits.
pub(crate) struct Watcher(pub(crate) Waker);

impl Wake for Watcher {
    fn wake(self: Arc<Self>) {
        self.0.wake_by_ref();
    }
}

/// Errors of the backend, each dropped where its panic harms nobody. Declared after the books, and
/// so dropped after them.
struct Errors<E>(Vec<Arc<E>>);

impl<E> Drop for Errors<E> {
    fn drop(&mut self) {
        for error in self.0.drain(..) {
            quietly(|| drop(error));
        }
    }
}

/// What is to be done after the lock is released.
struct Outbox<D: Domain> {
    first: Option<Waker>,
    more: Vec<Waker>,
    events: Vec<(D::Place, Event)>,
    interrupts: Vec<Interrupt>,
    forgotten: Vec<(D::Key, D::Place)>,
    nudge: bool,
}

impl<D: Domain> Shared<D> {
    pub(crate) fn new(
        machine: D::Machine,
        domain: D,
        clock: Arc<dyn Clock>,
        shares_sessions: bool,
        slow_acquire: Option<Duration>,
    ) -> Self {
        let state = State {
            machine,
            places: D::Places::default(),
            wakers: Vec::new(),
            watchers: Vec::new(),
            warming: Vec::new(),
            errors: Errors(Vec::new()),
            interrupts: HashMap::new(),
            driver: None,
            driver_runtime: None,
            armed: None,
            workers: 0,
            sleeping: 0,
            itself: None,
        };
        let (state, changed) = (CachePadded(Mutex::new(state)), Condvar::new());
        let contended = AtomicBool::new(true);
        let runtime = None;
        Self { state, contended, changed, domain, clock, runtime, shares_sessions, slow_acquire }
    }

    /// Of an async pool, which goes by the time of its runtime.
    pub(crate) fn on_runtime(
        machine: D::Machine,
        domain: D,
        runtime: Arc<dyn Runtime>,
        shares_sessions: bool,
        slow_acquire: Option<Duration>,
    ) -> Self {
        let clock = Arc::clone(&runtime);
        let mut shared = Self::new(machine, domain, clock, shares_sessions, slow_acquire);
        shared.runtime = Some(runtime);
        shared
    }

    /// Ends at that time, in an async pool.
    pub(crate) fn sleep_until(&self, at: Option<Instant>) -> Option<BoxFuture<()>> {
        let (at, runtime) = at.zip(self.runtime.as_ref())?;
        Some(runtime.sleep_until(at))
    }

    /// Uses the books, then does what they want done at once.
    pub(crate) fn with<R>(&self, input: impl FnOnce(&mut State<D>, Instant) -> R) -> R {
        self.at(self.clock.now(), input)
    }

    /// Uses one core; `None` where it is forgotten.
    pub(crate) fn with_core<R>(
        &self,
        key: D::Key,
        input: impl FnOnce(&mut CoreOf<D>, Instant) -> R,
    ) -> Option<R> {
        self.with(|state, now| state.machine.with_core(key, now, |core| input(core, now)))
    }

    /// As [`with`](Self::with), by the cheap clock: for what happens at every lease.
    #[inline]
    pub(crate) fn with_coarse<R>(&self, input: impl FnOnce(&mut State<D>, Instant) -> R) -> R {
        self.at(self.now_coarse(), input)
    }

    /// The cheap clock, but where an observer is told how long things took.
    #[inline]
    pub(crate) fn now_coarse(&self) -> Instant {
        match self.domain.is_observed() {
            false => self.clock.coarse(),
            true => self.clock.now(),
        }
    }

    #[inline]
    pub(crate) fn is_contended(&self) -> bool {
        self.contended.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn at<R>(&self, now: Instant, input: impl FnOnce(&mut State<D>, Instant) -> R) -> R {
        let mut state = self.lock();
        let result = input(&mut state, now);
        let contended = state.workers == 0 || state.machine.is_crowded();
        if contended != self.is_contended() {
            self.contended.store(contended, Ordering::Relaxed);
        }
        if state.has_news(now) {
            self.unlock(state, now);
        }
        result
    }

    /// For those who sleep on [`changed`](Self::changed), and for reading.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State<D>> {
        self.state.0.lock()
    }

    /// Does what an access through [`lock`](Self::lock) has left to be done, and releases it.
    #[inline(never)]
    pub(crate) fn unlock(&self, mut state: MutexGuard<'_, State<D>>, now: Instant) {
        let nudge = state.is_due(now);
        let outbox = state.collect(&self.domain, nudge);
        drop(state);
        self.deliver(outbox);
    }

    /// Answers for a task that ended; what ends it is not needed any more.
    pub(crate) fn answer<R>(
        &self,
        key: D::Key,
        slot: SlotId,
        input: impl FnOnce(&mut CoreOf<D>, Instant) -> R,
    ) -> Option<R> {
        let (result, _interrupt) = self.with(|state, now| {
            let interrupt = state.interrupts.remove(&(key, slot));
            (state.machine.with_core(key, now, |core| input(core, now)), interrupt)
        });
        quietly(|| drop(_interrupt));
        result
    }

    /// A connect failed. Errors that the core has forgotten are dropped here, outside the lock.
    pub(crate) fn connect_failed(
        &self,
        key: D::Key,
        slot: SlotId,
        kind: ErrorKind,
        failure: ConnectFailure<Arc<ErrorOf<D>>>,
    ) {
        let (forgotten, interrupt): (Vec<_>, _) = self.with(|state, now| {
            if let ConnectFailure::Error(error) = &failure {
                state.errors.0.push(Arc::clone(error));
            }
            let interrupt = state.interrupts.remove(&(key, slot));
            state.machine.with_core(key, now, |core| core.connect_failed(slot, kind, failure, now));
            let forgotten = state.errors.0.extract_if(.., |error| Arc::strong_count(error) == 1);
            (forgotten.collect(), interrupt)
        });
        quietly(|| drop(interrupt));
        for error in forgotten {
            quietly(|| drop(error));
        }
    }

    /// What the core gets of a session that comes back: the session itself, or, where it has a
    /// handle of its own, nothing. The borrower's handle is gone before the core hears of it.
    #[inline]
    pub(crate) fn hand_back(&self, session: SessionOf<D>) -> Option<SessionOf<D>> {
        if !self.shares_sessions {
            return Some(session);
        }
        quietly(|| drop(session));
        None
    }

    /// The watcher is woken when a closed pool is drained, or a session that somebody waits for was
    /// opened or could not be. True where the pool is drained.
    pub(crate) fn watch(&self, watcher: &Arc<Watcher>) -> bool {
        self.with(|state, _| {
            // Those who stopped waiting leave nothing behind.
            state.watchers.retain(|other| other.strong_count() > 0);
            let watcher = Arc::downgrade(watcher);
            if !state.watchers.iter().any(|other| other.ptr_eq(&watcher)) {
                state.watchers.push(watcher);
            }
            state.machine.is_drained()
        })
    }

    /// Shows every idle session of a core to the predicate, one at a time, outside the lock.
    pub(crate) fn retain(&self, key: D::Key, mut keep: impl FnMut(&mut SessionOf<D>) -> bool) {
        let slots = self.with_core(key, |core, _| core.idle_slots()).unwrap_or_default();
        for slot in slots {
            let session = self.with_core(key, |core, _| core.inspect(slot)).flatten();
            if let Some(mut session) = session {
                let verdict = catch_unwind(AssertUnwindSafe(|| keep(&mut session)));
                let keep_it = *verdict.as_ref().unwrap_or(&false);
                self.with_core(key, |core, now| core.inspected(slot, session, keep_it, now));
                if let Err(panic) = verdict {
                    resume_unwind(panic);
                }
            }
        }
    }

    /// Whether and how a task is to be ended, for as long as it runs.
    pub(crate) fn new_interrupt(
        state: &mut State<D>,
        key: D::Key,
        task: &Task<SessionOf<D>>,
    ) -> Interrupt {
        let interrupt = Interrupt::new();
        state.interrupts.insert((key, task.slot()), interrupt.clone());
        interrupt
    }

    fn deliver(&self, outbox: Outbox<D>) {
        // Before anybody wakes up and causes the next event.
        for (place, event) in &outbox.events {
            self.tell(place, event);
        }
        if outbox.nudge {
            self.changed.notify_one();
        }
        // A waker is somebody else's code: one that panics must not keep the others from theirs.
        for waker in outbox.first.into_iter().chain(outbox.more) {
            quietly(|| waker.wake());
        }
        for interrupt in outbox.interrupts {
            interrupt.interrupt();
        }
        for (key, place) in outbox.forgotten {
            quietly(|| self.domain.forgotten(key, place));
        }
        for (place, event) in outbox.events {
            quietly(|| drop((place, event)));
        }
    }

    /// Tells the log and the observer what happened.
    pub(crate) fn tell(&self, place: &D::Place, event: &Event) {
        if let Event::HeldLong { session, held, site } = event {
            quietly(|| tracing::warn!(session, ?held, %site, "a lease is out for long"));
        }
        if self.domain.is_observed() {
            quietly(|| self.domain.observe(place, event));
        }
    }
}

impl<D: Domain> State<D> {
    /// Whether an access has left anything to be done.
    #[inline]
    fn has_news(&self, now: Instant) -> bool {
        self.machine.has_notice() || self.is_due(now)
    }

    /// Whether whoever works for the pool has to look at it before it meant to.
    #[inline]
    fn is_due(&self, now: Instant) -> bool {
        let earlier = match (self.machine.poll_timeout(), self.armed) {
            (Some(due), Some(armed)) => due < armed,
            (due, _) => due.is_some(),
        };
        earlier || self.machine.has_task(now) || self.machine.is_drained()
    }

    /// What an access has left to be done.
    fn collect(&mut self, domain: &D, nudge: bool) -> Outbox<D> {
        let mut outbox = Outbox::new(nudge && self.sleeping > 0);
        if nudge {
            outbox.wake(self.driver.take());
        }
        while let Some((key, said)) = self.machine.poll_notice() {
            match said {
                Said::Core(Notice::Wake(id)) => {
                    let waker = self.take_waker(key, id.index());
                    outbox.wake(waker);
                }
                Said::Core(Notice::Event(event)) => {
                    let place = D::place(&self.places, key);
                    outbox.events.extend(place.map(|place| (place, event)));
                }
                Said::Core(Notice::Interrupt(slot)) => {
                    outbox.interrupts.extend(self.interrupts.remove(&(key, slot)));
                }
                Said::Core(Notice::Progress | Notice::Drained) => {
                    outbox.more.extend(self.take_watchers());
                }
                Said::Forgotten => {
                    if let Some(wakers) = self.wakers.get_mut(D::index(key)) {
                        wakers.clear();
                    }
                    let place = domain.forget(&mut self.places, key);
                    outbox.forgotten.extend(place.map(|place| (key, place)));
                }
            }
        }
        outbox
    }

    /// Whether somebody has to be there to run tasks and watch deadlines.
    pub(crate) fn needs_worker(&self, now: Instant) -> bool {
        self.machine.is_busy() || self.machine.has_task(now)
    }

    /// Keeps the waker of a waiter; what it replaces is to be dropped outside the lock.
    #[must_use]
    pub(crate) fn set_waker(&mut self, key: D::Key, waiter: usize, waker: Waker) -> Option<Waker> {
        let index = D::index(key);
        if index >= self.wakers.len() {
            self.wakers.resize_with(index + 1, Vec::new);
        }
        let wakers = &mut self.wakers[index];
        if waiter >= wakers.len() {
            wakers.resize(waiter + 1, None);
        }
        wakers[waiter].replace(waker)
    }

    /// Takes the waker of a waiter out, to be dropped outside the lock.
    #[must_use]
    pub(crate) fn take_waker(&mut self, key: D::Key, waiter: usize) -> Option<Waker> {
        self.wakers.get_mut(D::index(key))?.get_mut(waiter)?.take()
    }

    /// Takes the wakers of all who wait out, to have them look again.
    #[must_use]
    pub(crate) fn take_wakers(&mut self) -> Vec<Waker> {
        let waiting = self.wakers.iter_mut().flatten().filter_map(Option::take);
        let mut wakers: Vec<_> = waiting.collect();
        wakers.extend(self.take_watchers());
        wakers
    }

    fn take_watchers(&mut self) -> impl Iterator<Item = Waker> + '_ {
        self.watchers.drain(..).filter_map(|watcher| watcher.upgrade().map(Waker::from))
    }
}

impl<D: Domain> Outbox<D> {
    fn new(nudge: bool) -> Self {
        Self {
            first: None,
            more: Vec::new(),
            events: Vec::new(),
            interrupts: Vec::new(),
            forgotten: Vec::new(),
            nudge,
        }
    }

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

impl<D: Domain> Drop for Shared<D> {
    /// Drops what nobody is left to close. The last to go may be a guard, which must not panic.
    fn drop(&mut self) {
        let now = self.clock.now();
        let mut state = self.lock();
        state.machine.close(now);
        while let Some((key, task)) = state.machine.poll_task(now) {
            if let Task::Close { slot, session, .. } = task {
                quietly(|| drop(session));
                state.machine.with_core(key, now, |core| core.closed(slot, now));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;
    use crate::clock::SystemClock;
    use crate::config::Config;
    use crate::core::Core;
    use crate::domain::Single;
    use crate::sync::Blocking;

    struct Nothing;

    impl Backend for Nothing {
        type Session = ();
        type Error = std::io::Error;

        fn connect(&self) -> std::io::Result<()> {
            Ok(())
        }

        fn is_broken(&self, (): &mut ()) -> bool {
            false
        }

        fn check(&self, (): &mut ()) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_stops_waiting_for_news_is_on_no_list_when_the_next_one_comes() {
        let core = Core::new(Config::default(), false);
        let domain = Single { backend: Blocking(Nothing), observer: None };
        let shared = Shared::new(core, domain, Arc::new(SystemClock), false, None);
        for _ in 0..3 {
            let watcher = Arc::new(Watcher(Waker::noop().clone()));
            assert!(!shared.watch(&watcher) && !shared.watch(&watcher));
            assert_eq!(shared.lock().watchers.len(), 1);
        }
    }
}
