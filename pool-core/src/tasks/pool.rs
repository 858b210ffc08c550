//! The handle to an async pool.

use std::fmt;
use std::future::poll_fn;
use std::panic::Location;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use super::acquire::Acquire;
use super::backend::{AsyncBackend, Tasks};
use super::driver;
use super::job::{End, within};
use super::runtime::Runtime;
use crate::acquire::Acquiring;
use crate::clock::Clock;
use crate::config::Config;
use crate::core::{Core, OldestLease};
use crate::error::DrainTimeout;
use crate::event::Observer;
use crate::guard::Guard;
use crate::shared::Shared;
use crate::stats::Stats;

/// A session on loan from an [`AsyncPool`].
pub type AsyncPooled<B> = Guard<Tasks<B>>;

/// A pool for tasks. Clones are handles to the same pool; when the last one goes, the pool closes
/// without waiting, and sessions still lent are closed when they come back.
pub struct AsyncPool<B: AsyncBackend> {
    handle: Arc<Handle<B>>,
}

/// A handle that does not keep its pool open.
pub(crate) struct WeakAsyncPool<B: AsyncBackend>(Weak<Handle<B>>);

impl<B: AsyncBackend> WeakAsyncPool<B> {
    pub(crate) fn upgrade(&self) -> Option<AsyncPool<B>> {
        self.0.upgrade().map(|handle| AsyncPool { handle })
    }
}

struct Handle<B: AsyncBackend> {
    shared: Arc<Shared<Tasks<B>>>,
    acquire_timeout: Option<Duration>,
    close_timeout: Duration,
}

/// Makes an [`AsyncPool`] with an observer or a runtime of its own.
#[must_use = "a builder does nothing until `build`"]
pub struct AsyncPoolBuilder<B: AsyncBackend> {
    backend: B,
    config: Config,
    observer: Option<Arc<dyn Observer>>,
    runtime: Arc<dyn Runtime>,
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
    /// this is called within the runtime, else from the first borrow on.
    pub fn build(self) -> AsyncPool<B> {
        let Config { acquire_timeout, close_timeout, .. } = self.config;
        let core = Core::new(self.config, self.observer.is_some());
        let clock = Arc::clone(&self.runtime);
        let probe = Tasks { backend: self.backend, runtime: self.runtime };
        let shared = Arc::new(Shared::new(core, probe, clock, self.observer));
        let handle = Handle { shared, acquire_timeout, close_timeout };
        let pool = AsyncPool { handle: Arc::new(handle) };
        pool.wake_driver();
        pool
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
        Self::builder_on(Arc::new(super::TokioRuntime::default()), backend)
    }

    /// Starts from the default configuration, on a runtime of your choice.
    pub fn builder_on(runtime: Arc<dyn Runtime>, backend: B) -> AsyncPoolBuilder<B> {
        AsyncPoolBuilder { backend, config: Config::default(), observer: None, runtime }
    }

    /// Borrows a session, waiting at most `acquire_timeout` from the first poll on. Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`Pool::get`](crate::Pool::get).
    #[track_caller]
    pub fn get(&self) -> Acquire<B> {
        self.acquire(self.handle.acquire_timeout, Location::caller())
    }

    /// Borrows a session, waiting at most that long from the first poll on. Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`Pool::get`](crate::Pool::get).
    #[track_caller]
    pub fn get_timeout(&self, timeout: Duration) -> Acquire<B> {
        self.acquire(Some(timeout), Location::caller())
    }

    /// Borrows a session that is ready this moment, if nobody waits for it. Never waits.
    #[track_caller]
    pub fn try_get(&self) -> Option<AsyncPooled<B>> {
        self.acquire(Some(Duration::ZERO), Location::caller()).try_now()
    }

    /// Returns a session and waits until it is ready for the next borrower, reset included.
    /// Dropping the guard does the same in the background. Where this is cancelled during the
    /// reset, the session is closed.
    pub async fn release(&self, mut guard: AsyncPooled<B>) {
        if let Some(timeout) = Guard::begin_reset(&mut guard) {
            let runtime = &*self.shared().probe.runtime;
            let backend = self.backend();
            let deadline = runtime.now().checked_add(timeout);
            let reset = within(runtime, deadline, || backend.reset(&mut guard)).await;
            if !matches!(reset, End::TimedOut) {
                Guard::end_reset(&mut guard, reset.is_ok());
            }
        }
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
        &self.shared().probe.backend
    }

    /// See [`Pool::resize`](crate::Pool::resize).
    pub fn resize(&self, max_size: usize) {
        self.shared().with(|state, now| state.core.resize(max_size, now));
        self.wake_driver();
    }

    /// See [`Pool::evict_all`](crate::Pool::evict_all).
    pub fn evict_all(&self) {
        self.shared().with(|state, now| state.core.evict_all(now));
        self.wake_driver();
    }

    /// See [`Pool::retain`](crate::Pool::retain).
    pub fn retain(&self, keep: impl FnMut(&mut B::Session) -> bool) {
        self.shared().retain(keep);
    }

    /// See [`Pool::add`](crate::Pool::add).
    pub fn add(&self, session: B::Session) -> Result<(), B::Session> {
        let added = self.shared().with(|state, now| state.core.add(session, now));
        self.wake_driver();
        added
    }

    /// Closes the pool, and waits until all its sessions are closed, those lent included: at most
    /// `close_timeout`. Waiting borrowers get [`AcquireError::Closed`](crate::AcquireError::Closed)
    /// at once. May be called again and from several tasks; dropping the future only stops the
    /// waiting.
    ///
    /// # Errors
    ///
    /// [`DrainTimeout`] where sessions were still open at the end; they are closed when they come
    /// back.
    pub async fn close(&self) -> Result<(), DrainTimeout> {
        self.close_timeout(self.handle.close_timeout).await
    }

    /// As [`close`](Self::close), waiting at most that long.
    ///
    /// # Errors
    ///
    /// As [`close`](Self::close).
    pub async fn close_timeout(&self, timeout: Duration) -> Result<(), DrainTimeout> {
        let shared = self.shared();
        let runtime = &self.shared().probe.runtime;
        shared.with(|state, now| state.core.close(now));
        let deadline = shared.clock.now().checked_add(timeout);
        let mut sleep = deadline.map(|at| runtime.sleep_until(at));
        poll_fn(|cx| {
            let open = shared.undrained(cx.waker().clone());
            let Some(stats) = open else { return Poll::Ready(Ok(())) };
            self.wake_driver();
            match sleep.as_mut().map(|sleep| sleep.as_mut().poll(cx)) {
                Some(Poll::Ready(())) => Poll::Ready(Err(DrainTimeout { stats: Box::new(stats) })),
                _ => Poll::Pending,
            }
        })
        .await
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.shared().clock)
    }

    pub(crate) fn downgrade(&self) -> WeakAsyncPool<B> {
        WeakAsyncPool(Arc::downgrade(&self.handle))
    }

    fn acquire(&self, timeout: Option<Duration>, site: &'static Location<'static>) -> Acquire<B> {
        let acquiring = Acquiring::new(Arc::clone(self.shared()), timeout, site);
        Acquire::new(acquiring)
    }

    /// Sees to it that what the core wants done is done. Outside the runtime it is done from the
    /// next borrow on.
    fn wake_driver(&self) {
        let needed = self.shared().lock().needs_worker(self.shared().clock.now());
        if needed && let Err(error) = driver::ensure(self.shared()) {
            tracing::debug!(%error, "no driver yet");
        }
    }

    fn shared(&self) -> &Arc<Shared<Tasks<B>>> {
        &self.handle.shared
    }
}

impl<B: AsyncBackend> Drop for Handle<B> {
    fn drop(&mut self) {
        self.shared.with(|state, now| {
            state.core.close(now);
            // The driver holds the pool weakly, and what is open now or lent is still to be closed.
            if state.workers > 0 && !state.core.is_drained() {
                state.itself = Some(Arc::clone(&self.shared));
            }
        });
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
