//! The keyed pool for tasks.

use std::fmt;
use std::hash::Hash;
use std::ops::Deref;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::domain::{ByKey, Keyed};
use super::owner::{KeyedHandle, Plan, Time};
use super::{KeyedConfig, KeyedObserver};
use crate::acquire::Acquiring;
use crate::domain::Machine;
use crate::error::{Closed, DrainTimeout, WarmError};
use crate::guard::Guard;
use crate::locate::Locate;
use crate::runtime::Runtime;
use crate::shared::Shared;
use crate::tasks::{
    Acquire, AsyncAdapter, AsyncBackend, close_unattended, release, wake_driver, watch,
};

type Home<K, B> = Keyed<K, AsyncAdapter<B>>;

/// A session leased from an [`AsyncKeyedPool`].
pub type AsyncKeyedPooled<K, B> = Guard<Home<K, B>>;

/// The future of [`AsyncKeyedPool::get`].
pub type KeyedAcquire<K, B> = Acquire<B, Home<K, B>, ByKey<K>>;

/// A pool per key, for tasks; see [`KeyedConfig`]. Clones are handles to the same pools; when the
/// last one goes, all of them close without waiting.
///
/// All methods that an [`AsyncPool`](crate::AsyncPool) has are here with a key, and mean the same.
/// One driver task works for all keys.
pub struct AsyncKeyedPool<K, B>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    B: AsyncBackend,
{
    handle: Arc<KeyedHandle<K, AsyncAdapter<B>>>,
}

/// Makes an [`AsyncKeyedPool`] with an observer or shared sessions.
#[must_use = "a builder does nothing until `build`"]
pub struct AsyncKeyedPoolBuilder<K, B: AsyncBackend> {
    plan: Plan<K, AsyncAdapter<B>>,
}

impl<K, B> AsyncKeyedPoolBuilder<K, B>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    B: AsyncBackend,
{
    /// Who is told what happens.
    pub fn observer(mut self, observer: Arc<dyn KeyedObserver<K>>) -> Self {
        self.plan.observer = Some(observer);
        self
    }

    /// Makes the pool. Nothing is opened yet.
    pub fn build(self) -> AsyncKeyedPool<K, B> {
        let shared = Arc::new(self.plan.build());
        let handle = KeyedHandle::new(shared, wake_driver, close_unattended);
        AsyncKeyedPool { handle: Arc::new(handle) }
    }
}

impl<K, B, T> AsyncKeyedPoolBuilder<K, B>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    B: AsyncBackend<Session = Arc<T>>,
    T: Send + Sync + 'static,
{
    /// See [`PoolBuilder::shared`](crate::PoolBuilder::shared).
    pub fn shared(mut self) -> Self {
        self.plan.share = Some(Arc::clone);
        self
    }
}

impl<K, B> AsyncKeyedPool<K, B>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    B: AsyncBackend,
{
    /// Pools on tokio, whose backends are made by `backend` when a key is first used. Nothing is
    /// opened yet.
    #[cfg(feature = "tokio")]
    pub fn new(config: KeyedConfig, backend: impl Fn(&K) -> B + Send + Sync + 'static) -> Self {
        Self::builder(config, backend).build()
    }

    /// As [`new`](Self::new), with more to say.
    #[cfg(feature = "tokio")]
    pub fn builder(
        config: KeyedConfig,
        backend: impl Fn(&K) -> B + Send + Sync + 'static,
    ) -> AsyncKeyedPoolBuilder<K, B> {
        Self::builder_on(Arc::new(crate::runtime::TokioRuntime::default()), config, backend)
    }

    /// As [`builder`](Self::builder), on a runtime of your choice.
    pub fn builder_on(
        runtime: Arc<dyn Runtime>,
        config: KeyedConfig,
        backend: impl Fn(&K) -> B + Send + Sync + 'static,
    ) -> AsyncKeyedPoolBuilder<K, B> {
        let make = Box::new(move |key: &K| AsyncAdapter(backend(key)));
        let time = Time::Runtime(runtime);
        let plan = Plan { config, make, observer: None, time, share: None };
        AsyncKeyedPoolBuilder { plan }
    }

    /// Acquires a session for that key, waiting at most `acquire_timeout` from the first poll on.
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`Pool::get`](crate::Pool::get).
    #[track_caller]
    pub fn get(&self, key: &K) -> KeyedAcquire<K, B> {
        self.acquire(key, self.handle.acquire_timeout, Location::caller())
    }

    /// Acquires a session for that key, waiting at most that long from the first poll on.
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`Pool::get`](crate::Pool::get).
    #[track_caller]
    pub fn get_timeout(&self, key: &K, timeout: Duration) -> KeyedAcquire<K, B> {
        self.acquire(key, Some(timeout), Location::caller())
    }

    /// See [`Pool::try_get`](crate::Pool::try_get).
    #[track_caller]
    pub fn try_get(&self, key: &K) -> Option<AsyncKeyedPooled<K, B>> {
        self.shared().domain.find(key)?;
        self.acquiring(key, Some(Duration::ZERO), Location::caller()).try_now()
    }

    /// See [`Pool::exchange`](crate::Pool::exchange). Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`Pool::get`](crate::Pool::get).
    #[track_caller]
    pub fn exchange(&self, lease: AsyncKeyedPooled<K, B>) -> KeyedAcquire<K, B> {
        let (key, ticket) = (Guard::place(&lease).key.clone(), Guard::ticket(&lease));
        let acquiring = self.acquiring(&key, self.handle.acquire_timeout, Location::caller());
        let acquiring = acquiring.in_place_of(ticket);
        drop(lease);
        Acquire::new(acquiring)
    }

    /// See [`AsyncPool::release`](crate::AsyncPool::release).
    pub async fn release(&self, lease: AsyncKeyedPooled<K, B>) {
        release(lease).await;
    }

    /// Uses the backend of a key, if it is known.
    pub fn with_backend<R>(&self, key: &K, look: impl FnOnce(&B) -> R) -> Option<R> {
        self.shared().with_backend(key, |AsyncAdapter(backend)| look(backend))
    }

    /// See [`Pool::warm`](crate::Pool::warm). It takes no place that somebody waits for.
    /// Dropping the future ends the waiting and the warming.
    ///
    /// # Errors
    ///
    /// As [`Pool::warm`](crate::Pool::warm).
    pub async fn warm(
        &self,
        key: &K,
        sessions: usize,
        timeout: Duration,
    ) -> Result<(), WarmError<B::Error>> {
        let shared = self.shared();
        let deadline = shared.clock.now().checked_add(timeout);
        let Some((id, _)) = ByKey(key.clone()).locate(shared) else {
            return Err(WarmError { wanted: sessions, opened: 0, last_failure: None });
        };
        let _warming = shared.begin_warming(id, sessions);
        self.wake_driver();
        let warmed = watch(shared, deadline, |waker| shared.warmed(id, sessions, waker));
        shared.end_warming(id, sessions, warmed.await)
    }

    /// Closes all pools, and waits until their sessions are closed, those lent included: at most
    /// `close_timeout` in all.
    ///
    /// # Errors
    ///
    /// [`DrainTimeout`] with the counts of all keys together.
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
        shared.closed(drained, shared.total_stats())
    }

    fn acquire(
        &self,
        key: &K,
        timeout: Option<Duration>,
        site: &'static Location<'static>,
    ) -> KeyedAcquire<K, B> {
        Acquire::new(self.acquiring(key, timeout, site))
    }

    fn acquiring(
        &self,
        key: &K,
        timeout: Option<Duration>,
        site: &'static Location<'static>,
    ) -> Acquiring<Home<K, B>, ByKey<K>> {
        Acquiring::new(Arc::clone(self.shared()), ByKey(key.clone()), timeout, site)
    }

    fn wake_driver(&self) {
        wake_driver(self.shared());
    }

    fn shared(&self) -> &Arc<Shared<Home<K, B>>> {
        &self.handle.shared
    }
}

impl<K, B> Deref for AsyncKeyedPool<K, B>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    B: AsyncBackend,
{
    type Target = KeyedHandle<K, AsyncAdapter<B>>;

    fn deref(&self) -> &KeyedHandle<K, AsyncAdapter<B>> {
        &self.handle
    }
}

impl<K, B> Clone for AsyncKeyedPool<K, B>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    B: AsyncBackend,
{
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle) }
    }
}

impl<K, B> fmt::Debug for AsyncKeyedPool<K, B>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    B: AsyncBackend,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncKeyedPool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl<K, B: AsyncBackend> fmt::Debug for AsyncKeyedPoolBuilder<K, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncKeyedPoolBuilder")
            .field("config", &self.plan.config)
            .finish_non_exhaustive()
    }
}
