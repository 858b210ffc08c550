//! The keyed pool for threads.

use std::fmt;
use std::hash::Hash;
use std::panic::Location;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use super::domain::{ByKey, Keyed};
use super::owner::{Plan, Time};
use super::{KeyedConfig, KeyedObserver, KeyedStats};
use crate::acquire::Acquiring;
use crate::backend::Backend;
use crate::clock::{Clock, SystemClock};
use crate::core::{Health, OldestLease};
use crate::domain::Machine;
use crate::error::{AcquireError, Closed, DrainTimeout, WarmError};
use crate::guard::Guard;
use crate::locate::Locate;
use crate::shared::Shared;
use crate::stats::Stats;
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
    handle: Arc<Handle<K, B>>,
}

struct Handle<K, B>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    B: Backend,
{
    shared: Arc<Shared<Home<K, B>>>,
    acquire_timeout: Option<Duration>,
    close_timeout: Duration,
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
        let (acquire_timeout, close_timeout) = shared.timeouts();
        KeyedPool { handle: Arc::new(Handle { shared, acquire_timeout, close_timeout }) }
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

    /// The counts over all keys.
    pub fn stats(&self) -> KeyedStats {
        self.shared().keyed_stats()
    }

    /// The counts of one key, if it is known.
    pub fn stats_of(&self, key: &K) -> Option<Stats> {
        self.shared().key_stats(key)
    }

    /// How one key is doing, if it is known; see [`Pool::health`](crate::Pool::health).
    pub fn health_of(&self, key: &K) -> Option<Health<Arc<B::Error>>> {
        self.shared().key_health(key)
    }

    /// The lease of one key that has been out for longest.
    pub fn oldest_lease_of(&self, key: &K) -> Option<OldestLease> {
        self.shared().key_oldest_lease(key)
    }

    /// See [`Pool::leases_per_session`](crate::Pool::leases_per_session).
    pub fn leases_per_session(&self, key: &K) -> Option<usize> {
        self.shared().key_lease_limit(key)
    }

    /// The keys known now, in no order.
    pub fn keys(&self) -> Vec<K> {
        self.shared().known_keys()
    }

    /// Uses the backend of a key, if it is known.
    pub fn with_backend<R>(&self, key: &K, look: impl FnOnce(&B) -> R) -> Option<R> {
        self.shared().with_backend(key, |Blocking(backend)| look(backend))
    }

    /// Sets the most sessions of one key, for as long as it is known.
    pub fn resize(&self, key: &K, max_size: usize) {
        self.shared().resize_key(key, max_size);
        wake_workers(self.shared());
    }

    /// Sets the most sessions over all keys. What is too many is closed as it becomes idle and
    /// others need the place.
    pub fn resize_total(&self, max_total: usize) {
        self.shared().resize_total(max_total);
        wake_workers(self.shared());
    }

    /// Lets no session of one key that is open now be lent again.
    pub fn evict(&self, key: &K) {
        self.shared().evict(key);
        wake_workers(self.shared());
    }

    /// Lets no session that is open now be lent again.
    pub fn evict_all(&self) {
        self.shared().evict_all();
        wake_workers(self.shared());
    }

    /// Closes the idle sessions that the predicate refuses.
    pub fn retain(&self, keep: impl FnMut(&K, &mut B::Session) -> bool) {
        self.shared().retain_all(keep);
    }

    /// Adds a session opened elsewhere. It comes back where the key or the total is full, or the
    /// pool closed.
    pub fn add(&self, key: &K, session: B::Session) -> Result<(), B::Session> {
        let added = self.shared().add_to(key, session);
        wake_workers(self.shared());
        added
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

impl<K, B> Drop for Handle<K, B>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    B: Backend,
{
    fn drop(&mut self) {
        self.shared.with(|state, now| state.machine.close(now));
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
