//! The handle to an async pool.

use std::fmt;
use std::future::poll_fn;
use std::panic::Location;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::acquire::Acquire;
use super::backend::{AsyncAdapter, AsyncBackend};
use super::driver::wake_driver;
use super::job::{End, Within};
use crate::acquire::Acquiring;
use crate::config::Config;
use crate::core::{Core, Health, OldestLease, Share};
use crate::domain::{Domain, Machine, Single};
use crate::error::{Closed, DrainTimeout, WarmError};
use crate::event::{EventError, Observer};
use crate::guard::Guard;
use crate::runtime::Runtime;
use crate::shared::{Shared, Watcher};
use crate::stats::Stats;

type Home<B> = Single<AsyncAdapter<B>>;

/// A session leased from an [`AsyncPool`].
pub type AsyncPooled<B> = Guard<Home<B>>;

/// A pool for tasks. Clones are handles to the same pool; when the last one goes, the pool closes
/// without waiting, and sessions still lent are closed when they come back.
pub struct AsyncPool<B: AsyncBackend> {
    handle: Arc<Handle<B>>,
}

struct Handle<B: AsyncBackend> {
    shared: Arc<Shared<Home<B>>>,
    acquire_timeout: Option<Duration>,
    close_timeout: Duration,
}

/// Makes an [`AsyncPool`] with an observer, a runtime of its own, or shared sessions.
#[must_use = "a builder does nothing until `build`"]
pub struct AsyncPoolBuilder<B: AsyncBackend> {
    backend: B,
    config: Config,
    observer: Option<Arc<dyn Observer>>,
    runtime: Arc<dyn Runtime>,
    share: Option<Share<B::Session>>,
}

impl<B: AsyncBackend> AsyncPoolBuilder<B> {
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

    /// Makes the pool. Nothing is opened yet, but for `min_idle` sessions in the background if
    /// this is called within the runtime, else from the first acquire on.
    pub fn build(self) -> AsyncPool<B> {
        let Self { backend, config, observer, runtime, share } = self;
        let (acquire_timeout, close_timeout) = (config.acquire_timeout, config.close_timeout);
        let slow = config.slow_acquire;
        let mut core = match share {
            Some(share) => Core::shared(config, share, observer.is_some()),
            None => Core::new(config, observer.is_some()),
        };
        core.describe_errors(|error: &Arc<B::Error>| EventError::new(Arc::clone(error) as _));
        let domain = Single { backend: AsyncAdapter(backend), observer };
        let shared = Shared::on_runtime(core, domain, runtime, share.is_some(), slow);
        let shared = Arc::new(shared);
        let handle = Handle { shared, acquire_timeout, close_timeout };
        let pool = AsyncPool { handle: Arc::new(handle) };
        pool.wake_driver();
        pool
    }
}

impl<B, T> AsyncPoolBuilder<B>
where
    B: AsyncBackend<Session = Arc<T>>,
    T: Send + Sync + 'static,
{
    /// See [`PoolBuilder::shared`](crate::PoolBuilder::shared).
    pub fn shared(mut self) -> Self {
        self.share = Some(Arc::clone);
        self
    }
}

impl<B: AsyncBackend> AsyncPool<B> {
    /// A pool on tokio with the given behaviour.
    #[cfg(feature = "tokio")]
    pub fn new(backend: B, config: Config) -> Self {
        Self::builder(backend).config(config).build()
    }

    /// Starts from the default configuration, on tokio.
    #[cfg(feature = "tokio")]
    pub fn builder(backend: B) -> AsyncPoolBuilder<B> {
        Self::builder_on(Arc::new(crate::runtime::TokioRuntime::default()), backend)
    }

    /// Starts from the default configuration, on a runtime of your choice.
    pub fn builder_on(runtime: Arc<dyn Runtime>, backend: B) -> AsyncPoolBuilder<B> {
        let config = Config::default();
        AsyncPoolBuilder { backend, config, observer: None, runtime, share: None }
    }

    /// Acquires a session, waiting at most `acquire_timeout` from the first poll on. Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`Pool::get`](crate::Pool::get).
    #[track_caller]
    pub fn get(&self) -> Acquire<B> {
        self.acquire(self.handle.acquire_timeout, Location::caller())
    }

    /// Acquires a session, waiting at most that long from the first poll on. Cancel-safe. With zero
    /// it never waits; see [`Pool::get_timeout`](crate::Pool::get_timeout).
    ///
    /// # Errors
    ///
    /// As [`Pool::get`](crate::Pool::get).
    #[track_caller]
    pub fn get_timeout(&self, timeout: Duration) -> Acquire<B> {
        self.acquire(Some(timeout), Location::caller())
    }

    /// See [`Pool::try_get`](crate::Pool::try_get).
    #[track_caller]
    pub fn try_get(&self) -> Option<AsyncPooled<B>> {
        // Whoever only ever takes what is ready still wants its sessions to be looked after.
        if self.shared().is_contended() {
            self.wake_driver();
        }
        self.acquiring(Some(Duration::ZERO), Location::caller()).try_now()
    }

    /// See [`Pool::exchange`](crate::Pool::exchange). Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`Pool::get`](crate::Pool::get).
    #[track_caller]
    pub fn exchange(&self, lease: AsyncPooled<B>) -> Acquire<B> {
        let acquiring = self.acquiring(self.handle.acquire_timeout, Location::caller());
        let acquiring = acquiring.in_place_of(Guard::ticket(&lease));
        drop(lease);
        Acquire::new(acquiring)
    }

    /// Returns a session and waits until it is ready for the next borrower, reset included.
    /// Dropping the guard does the same in the background. Where this is cancelled during the
    /// reset, the session is closed. A session that others use too is reset when the last of them
    /// has returned it, and not waited for.
    pub async fn release(&self, guard: AsyncPooled<B>) {
        release(guard).await;
    }

    /// The pool's counts, all of one moment.
    pub fn stats(&self) -> Stats {
        self.shared().lock().machine.stats()
    }

    /// See [`Pool::health`](crate::Pool::health).
    pub fn health(&self) -> Health<Arc<B::Error>> {
        let now = self.shared().clock.now();
        self.shared().lock().machine.health(now)
    }

    /// The lease that has been out for longest, and who holds it.
    pub fn oldest_lease(&self) -> Option<OldestLease> {
        self.shared().oldest_lease_of(())
    }

    /// See [`Pool::leases_per_session`](crate::Pool::leases_per_session).
    pub fn leases_per_session(&self) -> usize {
        self.shared().lock().machine.lease_limit()
    }

    /// The backend.
    pub fn backend(&self) -> &B {
        &self.shared().domain.backend.0
    }

    /// See [`Pool::resize`](crate::Pool::resize).
    pub fn resize(&self, max_size: usize) {
        self.shared().with_core((), |core, now| core.resize(max_size, now));
        self.wake_driver();
    }

    /// See [`Pool::evict_all`](crate::Pool::evict_all).
    pub fn evict_all(&self) {
        self.shared().with_core((), Core::evict_all);
        self.wake_driver();
    }

    /// See [`Pool::retain`](crate::Pool::retain).
    pub fn retain(&self, keep: impl FnMut(&mut B::Session) -> bool) {
        self.shared().retain((), keep);
        self.wake_driver();
    }

    /// See [`Pool::add`](crate::Pool::add).
    pub fn add(&self, session: B::Session) -> Result<(), B::Session> {
        let added = self.shared().add((), session);
        self.wake_driver();
        added
    }

    /// See [`Pool::warm`](crate::Pool::warm). Dropping the future ends the waiting and the warming.
    ///
    /// # Errors
    ///
    /// As [`Pool::warm`](crate::Pool::warm).
    pub async fn warm(
        &self,
        sessions: usize,
        timeout: Duration,
    ) -> Result<(), WarmError<B::Error>> {
        let shared = self.shared();
        let deadline = shared.clock.now().checked_add(timeout);
        let _warming = shared.begin_warming((), sessions);
        self.wake_driver();
        let warmed = watch(shared, deadline, |waker| shared.warmed((), sessions, waker));
        shared.end_warming((), sessions, warmed.await)
    }

    /// Closes the pool, and waits until all its sessions are closed, those lent included: at most
    /// `close_timeout`. Waiting borrowers get [`AcquireError::Closed`](crate::AcquireError::Closed)
    /// at once, and connects under way are dropped. May be called again and from several tasks;
    /// dropping the future only stops the waiting.
    ///
    /// # Errors
    ///
    /// [`DrainTimeout`] where sessions were still open at the end; they are closed when they come
    /// back.
    pub async fn close(&self) -> Result<Closed, DrainTimeout> {
        self.close_timeout(self.handle.close_timeout).await
    }

    /// As [`close`](Self::close), waiting at most that long.
    ///
    /// # Errors
    ///
    /// As [`close`](Self::close).
    pub async fn close_timeout(&self, timeout: Duration) -> Result<Closed, DrainTimeout> {
        let shared = self.shared();
        let deadline = shared.clock.now().checked_add(timeout);
        shared.with(|state, now| state.machine.close(now));
        let drained = watch(shared, deadline, |waker| {
            self.wake_driver();
            shared.watch(waker).then_some(())
        });
        let drained = drained.await.is_some();
        shared.closed(drained, self.stats())
    }

    fn acquire(&self, timeout: Option<Duration>, site: &'static Location<'static>) -> Acquire<B> {
        Acquire::new(self.acquiring(timeout, site))
    }

    #[inline]
    fn acquiring(
        &self,
        timeout: Option<Duration>,
        site: &'static Location<'static>,
    ) -> Acquiring<Home<B>, ()> {
        Acquiring::new(Arc::clone(self.shared()), (), timeout, site)
    }

    fn wake_driver(&self) {
        wake_driver(self.shared());
    }

    #[inline]
    fn shared(&self) -> &Arc<Shared<Home<B>>> {
        &self.handle.shared
    }
}

/// Returns a session and waits for its reset.
pub(crate) async fn release<D, B>(mut guard: Guard<D>)
where
    D: Domain<Backend = AsyncAdapter<B>>,
    B: AsyncBackend,
{
    let Some(timeout) = Guard::begin_reset(&mut guard) else { return };
    let (shared, place) = (Arc::clone(Guard::domain(&guard)), Guard::place(&guard).clone());
    let AsyncAdapter(backend) = shared.domain.backend(&place);
    let deadline = shared.clock.now().checked_add(timeout);
    let within = Within { runtime: shared.runtime.as_deref(), interrupt: None };
    let reset = within.run(deadline, || backend.reset(&mut guard)).await;
    if !matches!(reset, End::TimedOut) {
        Guard::end_reset(&mut guard, reset.succeeded());
    }
}

/// Waits until `look` has an answer; `None` where that is not in time.
pub(crate) async fn watch<D: Domain, R>(
    shared: &Shared<D>,
    deadline: Option<Instant>,
    mut look: impl FnMut(&Arc<Watcher>) -> Option<R>,
) -> Option<R> {
    let mut sleep = shared.sleep_until(deadline);
    let mut watcher = None;
    poll_fn(|cx| {
        let known = watcher.take().filter(|known: &Arc<Watcher>| known.0.will_wake(cx.waker()));
        let known = known.unwrap_or_else(|| Arc::new(Watcher(cx.waker().clone())));
        let watcher = watcher.insert(known);
        if let Some(answer) = look(watcher) {
            return Poll::Ready(Some(answer));
        }
        match sleep.as_mut().map(|sleep| sleep.as_mut().poll(cx)) {
            Some(Poll::Ready(())) => {
                shared.with(|state, now| state.machine.handle_timeout(now));
                Poll::Ready(look(watcher))
            }
            _ => Poll::Pending,
        }
    })
    .await
}

/// What the last handle of a pool does: closes it without waiting. The driver holds the pool
/// weakly, and what is open now or lent is still to be closed.
pub(crate) fn close_unattended<D: Domain>(shared: &Arc<Shared<D>>) {
    shared.with(|state, now| {
        state.machine.close(now);
        if state.workers > 0 && !state.machine.is_drained() {
            state.itself = Some(Arc::clone(shared));
        }
    });
}

impl<B: AsyncBackend> Drop for Handle<B> {
    fn drop(&mut self) {
        close_unattended(&self.shared);
    }
}

impl<B: AsyncBackend> Clone for AsyncPool<B> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle) }
    }
}

impl<B: AsyncBackend> fmt::Debug for AsyncPool<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncPool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl<B: AsyncBackend> fmt::Debug for AsyncPoolBuilder<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncPoolBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}
