//! The handle to a sync pool.

use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};
use std::time::Duration;

use super::wait::{wait, watch};
use super::worker::{Blocking, ensure_worker};
use crate::acquire::{Acquiring, acquire_ready};
use crate::backend::Backend;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::core::{Core, Health, OldestLease, Share};
use crate::domain::{Domain, Single};
use crate::error::{AcquireError, Closed, DrainTimeout, WarmError};
use crate::event::{EventError, Observer};
use crate::guard::Guard;
use crate::shared::Shared;
use crate::stats::Stats;

type Home<B> = Single<Blocking<B>>;

/// A session leased from a [`Pool`].
pub type Pooled<B> = Guard<Home<B>>;

/// A pool for threads. Clones are handles to the same pool; when the last one goes, the pool
/// closes without waiting, and sessions still lent are closed when they come back.
pub struct Pool<B: Backend> {
    handle: Arc<Handle<B>>,
}

struct Handle<B: Backend> {
    shared: Arc<Shared<Home<B>>>,
    acquire_timeout: Option<Duration>,
    close_timeout: Duration,
}

/// Makes a [`Pool`] with an observer, a clock, or shared sessions.
#[must_use = "a builder does nothing until `build`"]
pub struct PoolBuilder<B: Backend> {
    backend: B,
    config: Config,
    observer: Option<Arc<dyn Observer>>,
    clock: Arc<dyn Clock>,
    share: Option<Share<B::Session>>,
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
        let Self { backend, config, observer, clock, share } = self;
        let (acquire_timeout, close_timeout) = (config.acquire_timeout, config.close_timeout);
        let slow = config.slow_acquire;
        let mut core = match share {
            Some(share) => Core::shared(config, share, observer.is_some()),
            None => Core::new(config, observer.is_some()),
        };
        core.describe_errors(|error: &Arc<B::Error>| EventError::new(Arc::clone(error) as _));
        let domain = Single { backend: Blocking(backend), observer };
        let shared = Arc::new(Shared::new(core, domain, clock, share.is_some(), slow));
        let weak = Arc::downgrade(&shared);
        shared.clock.subscribe(Waker::from(Arc::new(ClockMoved(weak))));
        let pool = Pool { handle: Arc::new(Handle { shared, acquire_timeout, close_timeout }) };
        pool.wake_workers();
        pool
    }
}

impl<B, T> PoolBuilder<B>
where
    B: Backend<Session = Arc<T>>,
    T: Send + Sync + 'static,
{
    /// Lends a session to up to `leases_per_session` borrowers at once, each with a handle of its
    /// own, for sessions that carry independent streams: an SSH connection its channels, an HTTP/2
    /// connection its requests. Checks, keepalives and resets are a session's, once, and may run
    /// while others use it.
    pub fn shared(mut self) -> Self {
        self.share = Some(Arc::clone);
        self
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
        PoolBuilder { backend, config: Config::default(), observer: None, clock, share: None }
    }

    /// Acquires a session, waiting at most `acquire_timeout`.
    ///
    /// # Errors
    ///
    /// [`AcquireError::TimedOut`], [`AcquireError::Connect`] where opening a session failed for
    /// good, [`AcquireError::Overloaded`], [`AcquireError::Closed`].
    #[track_caller]
    pub fn get(&self) -> Result<Pooled<B>, AcquireError<B::Error>> {
        self.acquire(self.handle.acquire_timeout, Location::caller())
    }

    /// Acquires a session, waiting at most that long. With zero it never waits, but where nothing
    /// can be lent the pool opens a session in the background for whoever comes next.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn get_timeout(&self, timeout: Duration) -> Result<Pooled<B>, AcquireError<B::Error>> {
        self.acquire(Some(timeout), Location::caller())
    }

    /// Acquires a session that is ready this moment, if nobody waits for it. Never waits, opens
    /// nothing, and costs the same however many sessions there are; a failure is counted nowhere.
    #[track_caller]
    pub fn try_get(&self) -> Option<Pooled<B>> {
        self.acquiring(Some(Duration::ZERO), Location::caller()).try_now()
    }

    /// Gives a lease back and acquires another in its place, before all who came later: for who
    /// was [refused](Guard::refused) by the session's peer, or found the session unfit.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn exchange(&self, lease: Pooled<B>) -> Result<Pooled<B>, AcquireError<B::Error>> {
        let timeout = self.handle.acquire_timeout;
        let acquiring = self.acquiring(timeout, Location::caller());
        let acquiring = acquiring.in_place_of(Guard::ticket(&lease));
        drop(lease);
        wait(acquiring, self.shared())
    }

    /// The pool's counts, all of one moment.
    pub fn stats(&self) -> Stats {
        self.shared().lock().machine.stats()
    }

    /// How the pool is doing: why connects fail, who waits for what, who holds on to what.
    pub fn health(&self) -> Health<Arc<B::Error>> {
        let now = self.shared().clock.now();
        self.shared().lock().machine.health(now)
    }

    /// The lease that has been out for longest, and who holds it.
    pub fn oldest_lease(&self) -> Option<OldestLease> {
        self.shared().oldest_lease_of(())
    }

    /// How many leases a session is believed to carry: `leases_per_session`, or fewer since a peer
    /// [refused](Guard::refused) one.
    pub fn leases_per_session(&self) -> usize {
        self.shared().lock().machine.lease_limit()
    }

    /// The backend.
    pub fn backend(&self) -> &B {
        &self.shared().domain.backend.0
    }

    /// Sets the most sessions open at once. What is too many is closed, lent sessions on return;
    /// they are not lent again before. Zero lets all borrowers wait.
    pub fn resize(&self, max_size: usize) {
        self.shared().with_core((), |core, now| core.resize(max_size, now));
        self.wake_workers();
    }

    /// Lets no session that is open now be lent again; lent ones are closed on return.
    pub fn evict_all(&self) {
        self.shared().with_core((), Core::evict_all);
        self.wake_workers();
    }

    /// Closes the idle sessions that the predicate refuses. It is called outside the pool's lock;
    /// the session it looks at is not lent meanwhile.
    pub fn retain(&self, keep: impl FnMut(&mut B::Session) -> bool) {
        self.shared().retain((), keep);
    }

    /// Adds a session opened elsewhere. It comes back where the pool is full or closed.
    pub fn add(&self, session: B::Session) -> Result<(), B::Session> {
        let added = self.shared().add((), session);
        self.wake_workers();
        added
    }

    /// Opens sessions until so many are open, `max_size` at most, and waits for that: at most so
    /// long.
    ///
    /// # Errors
    ///
    /// [`WarmError`] where fewer are open in time, or opening one failed for good.
    pub fn warm(&self, sessions: usize, timeout: Duration) -> Result<(), WarmError<B::Error>> {
        let shared = self.shared();
        let deadline = shared.clock.now().checked_add(timeout);
        let _warming = shared.begin_warming((), sessions);
        self.wake_workers();
        let warmed = watch(shared, deadline, |shared, waker| shared.warmed((), sessions, waker));
        shared.end_warming((), sessions, warmed)
    }

    /// Closes the pool, and waits until all its sessions are closed, those lent included: at most
    /// `close_timeout`. Waiting borrowers get [`AcquireError::Closed`] at once, and connects under
    /// way are given up. May be called again and from several threads.
    ///
    /// # Errors
    ///
    /// [`DrainTimeout`] where sessions were still open at the end; they are closed when they come
    /// back.
    pub fn close(&self) -> Result<Closed, DrainTimeout> {
        self.close_timeout(self.handle.close_timeout)
    }

    /// As [`close`](Self::close), waiting at most that long.
    ///
    /// # Errors
    ///
    /// As [`close`](Self::close).
    pub fn close_timeout(&self, timeout: Duration) -> Result<Closed, DrainTimeout> {
        let shared = self.shared();
        let deadline = shared.clock.now().checked_add(timeout);
        shared.with(|state, now| state.machine.close(now));
        self.wake_workers();
        let drained = watch(shared, deadline, |shared, waker| shared.watch(waker).then_some(()));
        shared.closed(drained.is_some(), self.stats())
    }

    #[inline]
    fn acquire(
        &self,
        timeout: Option<Duration>,
        site: &'static Location<'static>,
    ) -> Result<Pooled<B>, AcquireError<B::Error>> {
        match acquire_ready(self.shared(), (), (), site) {
            Ok(guard) => Ok(guard),
            Err(ticket) => self.acquire_waiting(timeout, site, ticket),
        }
    }

    #[inline(never)]
    fn acquire_waiting(
        &self,
        timeout: Option<Duration>,
        site: &'static Location<'static>,
        ticket: Option<u64>,
    ) -> Result<Pooled<B>, AcquireError<B::Error>> {
        let mut acquiring = self.acquiring(timeout, site);
        if let Some(ticket) = ticket {
            acquiring = acquiring.in_place_of(ticket);
        }
        wait(acquiring, self.shared())
    }

    fn acquiring(
        &self,
        timeout: Option<Duration>,
        site: &'static Location<'static>,
    ) -> Acquiring<Home<B>, ()> {
        Acquiring::new(Arc::clone(self.shared()), (), timeout, site)
    }

    /// Sees to it that what the core wants done is done. Failing to start a thread is no error
    /// here: the next borrower tries again.
    fn wake_workers(&self) {
        wake_workers(self.shared());
    }

    #[inline]
    fn shared(&self) -> &Arc<Shared<Home<B>>> {
        &self.handle.shared
    }
}

/// Starts a worker if one is needed and there is none.
pub(crate) fn wake_workers<D, B>(shared: &Arc<Shared<D>>)
where
    D: Domain<Backend = Blocking<B>>,
    B: Backend,
{
    let needed = shared.lock().needs_worker(shared.clock.now());
    if needed && let Err(error) = ensure_worker(shared) {
        crate::panics::quietly(|| tracing::warn!(%error, "no worker thread"));
    }
}

/// Tells sleeping workers that a clock was set forward by hand.
pub(crate) struct ClockMoved<D: Domain>(pub(crate) Weak<Shared<D>>);

impl<D: Domain> Wake for ClockMoved<D> {
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
        self.shared.with(|state, now| state.machine.close(now));
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
