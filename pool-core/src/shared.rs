//! One lock around the books: the only place where borrowers, workers and drivers meet.
//!
//! Every access is [`Shared::with`]: lock, use a core, move out what it wants done, unlock; only
//! then wake, observe and drop. No user code ever runs under the lock, so a panic in it cannot
//! poison anything and a callback may use the pool.

mod state;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::backend::ErrorKind;
use crate::clock::Clock;
use crate::core::{SlotId, Task};
use crate::domain::{CoreOf, Domain, ErrorOf, Machine, SessionOf};
use crate::event::Event;
use crate::interrupt::Interrupt;
use crate::kinds::ConnectFailure;
use crate::panics::quietly;
use crate::runtime::{BoxFuture, Runtime};
use crate::sync::primitives::{Condvar, Mutex, MutexGuard};

pub(crate) use self::state::Watcher;
use self::state::{Outbox, State};

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

impl<D: Domain> Shared<D> {
    pub(crate) fn new(
        machine: D::Machine,
        domain: D,
        clock: Arc<dyn Clock>,
        shares_sessions: bool,
        slow_acquire: Option<Duration>,
    ) -> Self {
        let state = State::new(machine);
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
    use std::task::Waker;

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
