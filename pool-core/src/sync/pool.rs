//! The handle to a sync pool.

use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Weak};
use std::task::{Poll, Wake, Waker};
use std::time::{Duration, Instant};

use super::park::{park, waker};
use super::worker::{Blocking, ensure_worker};
use crate::acquire::Acquiring;
use crate::backend::Backend;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::core::{Core, OldestLease};
use crate::error::{AcquireError, DrainTimeout};
use crate::event::Observer;
use crate::guard::Guard;
use crate::shared::{Probe, Shared};
use crate::stats::Stats;

/// A session on loan from a [`Pool`].
pub type Pooled<B> = Guard<Blocking<B>>;

/// A pool for threads. Clones are handles to the same pool; when the last one goes, the pool
/// closes without waiting, and sessions still lent are closed when they come back.
pub struct Pool<B: Backend> {
    handle: Arc<Handle<B>>,
}

/// A handle that does not keep its pool open.
pub(crate) struct WeakPool<B: Backend>(Weak<Handle<B>>);

impl<B: Backend> WeakPool<B> {
    pub(crate) fn upgrade(&self) -> Option<Pool<B>> {
        self.0.upgrade().map(|handle| Pool { handle })
    }
}

struct Handle<B: Backend> {
    shared: Arc<Shared<Blocking<B>>>,
    acquire_timeout: Option<Duration>,
    close_timeout: Duration,
}

/// Makes a [`Pool`] with an observer or a clock of its own.
#[must_use = "a builder does nothing until `build`"]
pub struct PoolBuilder<B: Backend> {
    backend: B,
    config: Config,
    observer: Option<Arc<dyn Observer>>,
    clock: Arc<dyn Clock>,
}

impl<B: Backend> PoolBuilder<B> {
    /// How the pool behaves.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Who is told what happens.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Where the time comes from; by default the system's monotonic clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Makes the pool. Nothing is opened yet, but for `min_idle` sessions in the background.
    pub fn build(self) -> Pool<B> {
        let Config { acquire_timeout, close_timeout, .. } = self.config;
        let core = Core::new(self.config, self.observer.is_some());
        let shared = Shared::new(core, Blocking(self.backend), self.clock, self.observer);
        let shared = Arc::new(shared);
        let weak = Arc::downgrade(&shared);
        shared.clock.subscribe(Waker::from(Arc::new(Jump(weak))));
        let pool = Pool { handle: Arc::new(Handle { shared, acquire_timeout, close_timeout }) };
        pool.wake_workers();
        pool
    }
}

impl<B: Backend> Pool<B> {
    /// A pool with the given behaviour.
    pub fn new(backend: B, config: Config) -> Self {
        Self::builder(backend).config(config).build()
    }

    /// Starts from the default configuration.
    pub fn builder(backend: B) -> PoolBuilder<B> {
        let clock = Arc::new(SystemClock);
        PoolBuilder { backend, config: Config::default(), observer: None, clock }
    }

    /// Borrows a session, waiting at most `acquire_timeout`.
    ///
    /// # Errors
    ///
    /// [`AcquireError::TimedOut`], [`AcquireError::Connect`] where opening a session failed for
    /// good, [`AcquireError::Closed`].
    #[track_caller]
    pub fn get(&self) -> Result<Pooled<B>, AcquireError<B::Error>> {
        self.acquire(self.handle.acquire_timeout, Location::caller())
    }

    /// Borrows a session, waiting at most that long.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn get_timeout(&self, timeout: Duration) -> Result<Pooled<B>, AcquireError<B::Error>> {
        self.acquire(Some(timeout), Location::caller())
    }

    /// Borrows a session that is ready this moment, if nobody waits for it. Never waits.
    #[track_caller]
    pub fn try_get(&self) -> Option<Pooled<B>> {
        self.acquire(Some(Duration::ZERO), Location::caller()).ok()
    }

    /// The pool's counts, all of one moment.
    pub fn stats(&self) -> Stats {
        self.shared().stats()
    }

    /// The lease that has been out for longest, and who holds it.
    pub fn oldest_lease(&self) -> Option<OldestLease> {
        self.shared().oldest_lease()
    }

    /// The backend.
    pub fn backend(&self) -> &B {
        &self.shared().probe.0
    }

    /// Sets the most sessions open at once. What is too many is closed, lent sessions on return.
    /// Zero lets all borrowers wait.
    pub fn resize(&self, max_size: usize) {
        self.shared().with(|state, now| state.core.resize(max_size, now));
        self.wake_workers();
    }

    /// Lets no session that is open now be lent again; lent ones are closed on return.
    pub fn evict_all(&self) {
        self.shared().with(|state, now| state.core.evict_all(now));
        self.wake_workers();
    }

    /// Closes the idle sessions that the predicate refuses. It is called outside the pool's lock;
    /// the session it looks at is not lent meanwhile.
    pub fn retain(&self, keep: impl FnMut(&mut B::Session) -> bool) {
        self.shared().retain(keep);
    }

    /// Adds a session opened elsewhere. It comes back where the pool is full or closed.
    pub fn add(&self, session: B::Session) -> Result<(), B::Session> {
        let added = self.shared().with(|state, now| state.core.add(session, now));
        self.wake_workers();
        added
    }

    /// Closes the pool, and waits until all its sessions are closed, those lent included: at most
    /// `close_timeout`. Waiting borrowers get [`AcquireError::Closed`] at once. May be called
    /// again and from several threads.
    ///
    /// # Errors
    ///
    /// [`DrainTimeout`] where sessions were still open at the end; they are closed when they come
    /// back.
    pub fn close(&self) -> Result<(), DrainTimeout> {
        self.close_timeout(self.handle.close_timeout)
    }

    /// As [`close`](Self::close), waiting at most that long.
    ///
    /// # Errors
    ///
    /// As [`close`](Self::close).
    pub fn close_timeout(&self, timeout: Duration) -> Result<(), DrainTimeout> {
        let shared = self.shared();
        let deadline = shared.clock.now().checked_add(timeout);
        shared.with(|state, now| state.core.close(now));
        self.wake_workers();
        match drain(shared, deadline) {
            None => Ok(()),
            Some(stats) => Err(DrainTimeout { stats: Box::new(stats) }),
        }
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.shared().clock)
    }

    pub(crate) fn downgrade(&self) -> WeakPool<B> {
        WeakPool(Arc::downgrade(&self.handle))
    }

    fn acquire(
        &self,
        timeout: Option<Duration>,
        site: &'static Location<'static>,
    ) -> Result<Pooled<B>, AcquireError<B::Error>> {
        let shared = self.shared();
        let acquiring = Acquiring::new(Arc::clone(shared), timeout, site);
        wait(acquiring, shared, || ensure_worker(shared))
    }

    /// Sees to it that what the core wants done is done. Failing to start a thread is no error
    /// here: the next borrower tries again.
    fn wake_workers(&self) {
        let needed = self.shared().lock().needs_worker(self.shared().clock.now());
        if needed && let Err(error) = ensure_worker(self.shared()) {
            tracing::warn!(%error, "no worker thread");
        }
    }

    fn shared(&self) -> &Arc<Shared<Blocking<B>>> {
        &self.handle.shared
    }
}

/// Tells sleeping workers that a clock was set forward by hand.
struct Jump<B: Backend>(Weak<Shared<Blocking<B>>>);

impl<B: Backend> Wake for Jump<B> {
    fn wake(self: Arc<Self>) {
        if let Some(shared) = self.0.upgrade() {
            // Whoever is about to sleep holds the lock until it does.
            drop(shared.lock());
            shared.changed.notify_all();
        }
    }
}

impl<B: Backend> Drop for Handle<B> {
    fn drop(&mut self) {
        self.shared.with(|state, now| state.core.close(now));
    }
}

impl<B: Backend> Clone for Pool<B> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle) }
    }
}

impl<B: Backend> fmt::Debug for Pool<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl<B: Backend> fmt::Debug for PoolBuilder<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Waits on this thread for a borrow; `ensure` sees to it that somebody works for it.
pub(crate) fn wait<B: Backend>(
    mut acquiring: Acquiring<Blocking<B>>,
    shared: &Shared<Blocking<B>>,
    ensure: impl Fn() -> std::io::Result<()>,
) -> Result<Pooled<B>, AcquireError<B::Error>> {
    loop {
        if let Poll::Ready(result) = acquiring.poll(waker) {
            return result;
        }
        if !acquiring.is_attended() {
            ensure().map_err(AcquireError::NoWorker)?;
        }
        let deadline = acquiring.deadline();
        park(deadline.and_then(|at| shared.clock.sleep_for(at)));
        // A worker minds the deadlines; where all of them are busy, this thread does.
        if deadline.is_some_and(|at| at <= shared.clock.now()) {
            shared.with(|state, now| state.core.handle_timeout(now));
        }
    }
}

/// Waits on this thread until a closed pool is drained; the counts where that is not in time.
pub(crate) fn drain<P: Probe>(shared: &Shared<P>, deadline: Option<Instant>) -> Option<Stats> {
    // The core knows no deadline of ours, so no worker wakes us where time is set by hand.
    if deadline.is_some_and(|at| shared.clock.sleep_for(at).is_none()) {
        shared.clock.subscribe(waker());
    }
    loop {
        let stats = shared.undrained(waker())?;
        if deadline.is_some_and(|at| at <= shared.clock.now()) {
            return Some(stats);
        }
        park(deadline.and_then(|at| shared.clock.sleep_for(at)));
    }
}
