//! The keyed pool for threads.

use std::fmt;
use std::hash::Hash;
use std::ops::Deref;
use std::panic::Location;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use super::domain::{ByKey, Keyed};
use super::owner::{KeyedHandle, Plan, Time};
use super::{KeyedConfig, KeyedObserver};
use crate::acquire::Acquiring;
use crate::backend::Backend;
use crate::clock::{Clock, SystemClock};
use crate::domain::Machine;
use crate::error::{AcquireError, Closed, DrainTimeout, WarmError};
use crate::guard::Guard;
use crate::locate::Locate;
use crate::shared::Shared;
use crate::sync::{Blocking, ClockMoved, wait, wake_workers, watch};

type Home<K, B> = Keyed<K, Blocking<B>>;

/// A session leased from a [`KeyedPool`].
pub type KeyedPooled<K, B> = Guard<Home<K, B>>;

/// A pool per key, for threads; see [`KeyedConfig`]. Clones are handles to the same pools; when
/// the last one goes, all of them close without waiting.
///
/// All methods that a [`Pool`](crate::Pool) has are here with a key, and mean the same. Threads
/// that wait for a peer that hangs are threads of their own, at most one for each session that is
/// open or hangs, so that keys whose peers are dead hold up no other.
pub struct KeyedPool<K, B>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    B: Backend,
{
    handle: Arc<KeyedHandle<K, Blocking<B>>>,
}

/// Makes a [`KeyedPool`] with an observer, a clock, or shared sessions.
#[must_use = "a builder does nothing until `build`"]
pub struct KeyedPoolBuilder<K, B: Backend>(Plan<K, Blocking<B>>);

impl<K, B> KeyedPoolBuilder<K, B>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    B: Backend,
{
    /// Who is told what happens.
    pub fn observer(mut self, observer: Arc<dyn KeyedObserver<K>>) -> Self {
        self.0.observer = Some(observer);
        self
    }

    /// Where the time comes from; by default the system's monotonic clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.0.time = Time::Clock(clock);
        self
    }

    /// Makes the pool. Nothing is opened yet.
    pub fn build(self) -> KeyedPool<K, B> {
        let shared = Arc::new(self.0.build());
        let moved = Waker::from(Arc::new(ClockMoved(Arc::downgrade(&shared))));
        shared.clock.subscribe(moved);
        let close = |shared: &Arc<Shared<Home<K, B>>>| {
            shared.with(|state, now| state.machine.close(now));
        };
        KeyedPool { handle: Arc::new(KeyedHandle::new(shared, wake_workers, close)) }
    }
}

impl<K, B, T> KeyedPoolBuilder<K, B>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    B: Backend<Session = Arc<T>>,
    T: Send + Sync + 'static,
{
    /// See [`PoolBuilder::shared`](crate::PoolBuilder::shared).
    pub fn shared(mut self) -> Self {
        self.0.share = Some(Arc::clone);
        self
    }
}

impl<K, B> KeyedPool<K, B>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    B: Backend,
{
    /// Pools whose backends are made by `backend` when a key is first used. Nothing is opened yet.
    pub fn new(config: KeyedConfig, backend: impl Fn(&K) -> B + Send + Sync + 'static) -> Self {
        Self::builder(config, backend).build()
    }

    /// As [`new`](Self::new), with more to say.
    pub fn builder(
        config: KeyedConfig,
        backend: impl Fn(&K) -> B + Send + Sync + 'static,
    ) -> KeyedPoolBuilder<K, B> {
        let make = Box::new(move |key: &K| Blocking(backend(key)));
        let time = Time::Clock(Arc::new(SystemClock));
        KeyedPoolBuilder(Plan { config, make, observer: None, time, share: None })
    }

    /// Acquires a session for that key, waiting at most `acquire_timeout`.
    ///
    /// # Errors
    ///
    /// As [`Pool::get`](crate::Pool::get).
    #[track_caller]
    pub fn get(&self, key: &K) -> Result<KeyedPooled<K, B>, AcquireError<B::Error>> {
        let timeout = self.handle.acquire_timeout;
        wait(self.acquiring(key, timeout, Location::caller()), self.shared())
    }

    /// Acquires a session for that key, waiting at most that long.
    ///
    /// # Errors
    ///
    /// As [`Pool::get`](crate::Pool::get).
    #[track_caller]
    pub fn get_timeout(
        &self,
        key: &K,
        timeout: Duration,
    ) -> Result<KeyedPooled<K, B>, AcquireError<B::Error>> {
        wait(self.acquiring(key, Some(timeout), Location::caller()), self.shared())
    }

    /// See [`Pool::try_get`](crate::Pool::try_get).
    #[track_caller]
    pub fn try_get(&self, key: &K) -> Option<KeyedPooled<K, B>> {
        self.shared().domain.find(key)?;
        self.acquiring(key, Some(Duration::ZERO), Location::caller()).try_now()
    }

    /// See [`Pool::exchange`](crate::Pool::exchange).
    ///
    /// # Errors
    ///
    /// As [`Pool::get`](crate::Pool::get).
    #[track_caller]
    pub fn exchange(
        &self,
        lease: KeyedPooled<K, B>,
    ) -> Result<KeyedPooled<K, B>, AcquireError<B::Error>> {
        let (key, ticket) = (Guard::place(&lease).key.clone(), Guard::ticket(&lease));
        let acquiring = self.acquiring(&key, self.handle.acquire_timeout, Location::caller());
        let acquiring = acquiring.in_place_of(ticket);
        drop(lease);
        wait(acquiring, self.shared())
    }

    /// Uses the backend of a key, if it is known.
    pub fn with_backend<R>(&self, key: &K, look: impl FnOnce(&B) -> R) -> Option<R> {
        self.shared().with_backend(key, |Blocking(backend)| look(backend))
    }

    /// See [`Pool::warm`](crate::Pool::warm). It takes no place that somebody waits for.
    ///
    /// # Errors
    ///
    /// As [`Pool::warm`](crate::Pool::warm).
    pub fn warm(
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
        wake_workers(shared);
        let warmed = watch(shared, deadline, |shared, waker| shared.warmed(id, sessions, waker));
        shared.end_warming(id, sessions, warmed)
    }

    /// Closes all pools, and waits until their sessions are closed, those lent included: at most
    /// `close_timeout` in all.
    ///
    /// # Errors
    ///
    /// [`DrainTimeout`] with the counts of all keys together.
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
        wake_workers(shared);
        let drained = watch(shared, deadline, |shared, waker| shared.watch(waker).then_some(()));
        shared.closed(drained.is_some(), shared.total_stats())
    }

    fn acquiring(
        &self,
        key: &K,
        timeout: Option<Duration>,
        site: &'static Location<'static>,
    ) -> Acquiring<Home<K, B>, ByKey<K>> {
        Acquiring::new(Arc::clone(self.shared()), ByKey(key.clone()), timeout, site)
    }

    fn shared(&self) -> &Arc<Shared<Home<K, B>>> {
        &self.handle.shared
    }
}

impl<K, B> Deref for KeyedPool<K, B>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    B: Backend,
{
    type Target = KeyedHandle<K, Blocking<B>>;

    fn deref(&self) -> &KeyedHandle<K, Blocking<B>> {
        &self.handle
    }
}

impl<K, B> Clone for KeyedPool<K, B>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    B: Backend,
{
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle) }
    }
}

impl<K, B> fmt::Debug for KeyedPool<K, B>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    B: Backend,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedPool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl<K, B: Backend> fmt::Debug for KeyedPoolBuilder<K, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedPoolBuilder").field("config", &self.0.config).finish_non_exhaustive()
    }
}
