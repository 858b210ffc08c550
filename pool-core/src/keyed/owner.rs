//! What the owner of a keyed pool may do, written once for threads and tasks.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use super::core::{CoreMaker, KeyId, KeyedCore};
use super::domain::{ByKey, Keyed};
use super::{KeyedConfig, KeyedObserver, KeyedStats};
use crate::clock::Clock;
use crate::config::Config;
use crate::core::{Core, Health, OldestLease, Share};
use crate::domain::{LocalChecks, Machine};
use crate::event::EventError;
use crate::locate::Locate;
use crate::panics::quietly;
use crate::runtime::Runtime;
use crate::shared::Shared;
use crate::stats::Stats;

/// Where the time comes from.
pub(super) enum Time {
    Clock(Arc<dyn Clock>),
    Runtime(Arc<dyn Runtime>),
}

/// What a builder knows.
pub(super) struct Plan<K, P: LocalChecks> {
    pub(super) config: KeyedConfig,
    pub(super) make: Box<dyn Fn(&K) -> P + Send + Sync>,
    pub(super) observer: Option<Arc<dyn KeyedObserver<K>>>,
    pub(super) time: Time,
    pub(super) share: Option<Share<P::Session>>,
}

impl<K, P> Plan<K, P>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    P: LocalChecks,
{
    pub(super) fn build(self) -> Shared<Keyed<K, P>> {
        let Self { config, make, observer, time, share } = self;
        let slow = config.per_key().slow_acquire;
        let maker = CoreMaker {
            share,
            observed: observer.is_some(),
            describe: Some(|error: &Arc<P::Error>| EventError::new(Arc::clone(error) as _)),
        };
        let core = KeyedCore::new(config, maker);
        let domain = Keyed::new(make, observer);
        match time {
            Time::Clock(clock) => Shared::new(core, domain, clock, share.is_some(), slow),
            Time::Runtime(runtime) => {
                Shared::on_runtime(core, domain, runtime, share.is_some(), slow)
            }
        }
    }
}

/// What the owner of a keyed pool may ask of it: the same for threads and tasks.
/// [`KeyedPool`](crate::KeyedPool) and [`AsyncKeyedPool`](crate::AsyncKeyedPool) dereference to it.
pub struct KeyedHandle<K, P>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    P: LocalChecks,
{
    pub(super) shared: Arc<Shared<Keyed<K, P>>>,
    pub(super) acquire_timeout: Option<Duration>,
    pub(super) close_timeout: Duration,
    /// Has somebody do what the books want done.
    wake: Serve<K, P>,
    /// The last handle goes.
    leave: Serve<K, P>,
}

type Serve<K, P> = fn(&Arc<Shared<Keyed<K, P>>>);

impl<K, P> KeyedHandle<K, P>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    P: LocalChecks,
{
    pub(super) fn new(
        shared: Arc<Shared<Keyed<K, P>>>,
        wake: Serve<K, P>,
        leave: Serve<K, P>,
    ) -> Self {
        let config = shared.per_key();
        let (acquire_timeout, close_timeout) = (config.acquire_timeout, config.close_timeout);
        Self { shared, acquire_timeout, close_timeout, wake, leave }
    }

    /// Sees what is due by now, as whoever works for the pool does some time after it: for tests, on
    /// a clock that is set by hand.
    #[doc(hidden)]
    pub fn handle_timeout(&self) {
        self.shared.with(|state, now| state.machine.handle_timeout(now));
    }

    /// The counts over all keys.
    pub fn stats(&self) -> KeyedStats {
        let state = self.shared.lock();
        let machine = &state.machine;
        KeyedStats { keys: machine.keys(), open: machine.open(), starved: machine.starving() }
    }

    /// The counts of one key, if it is known.
    pub fn stats_of(&self, key: &K) -> Option<Stats> {
        self.shared.stats_of(self.find(key)?)
    }

    /// How one key is doing, if it is known; see [`Pool::health`](crate::Pool::health).
    pub fn health_of(&self, key: &K) -> Option<Health<Arc<P::Error>>> {
        self.shared.health_of(self.find(key)?)
    }

    /// The lease of one key that has been out for longest.
    pub fn oldest_lease_of(&self, key: &K) -> Option<OldestLease> {
        self.shared.oldest_lease_of(self.find(key)?)
    }

    /// See [`Pool::leases_per_session`](crate::Pool::leases_per_session); `None` where the key is
    /// not known.
    pub fn leases_per_session(&self, key: &K) -> Option<usize> {
        let id = self.find(key)?;
        self.shared.lock().machine.look(id, Core::lease_limit)
    }

    /// The keys known now, in no order.
    pub fn keys(&self) -> Vec<K> {
        self.shared.domain.all().into_iter().map(|(_, member)| member.key.clone()).collect()
    }

    /// Sets the most sessions of one key, for as long as it is known.
    pub fn resize(&self, key: &K, max_size: usize) {
        // A key that is forgotten meanwhile starts anew, at the size of all.
        if let Some((id, _)) = ByKey(key.clone()).locate(&self.shared) {
            self.shared.with_core(id, |core, now| core.resize(max_size, now));
        }
        (self.wake)(&self.shared);
    }

    /// Sets the most sessions over all keys. What is too many is closed as it becomes idle and
    /// others need the place.
    pub fn resize_total(&self, max_total: usize) {
        self.shared.with(|state, now| state.machine.resize_total(max_total, now));
        (self.wake)(&self.shared);
    }

    /// Lets no session of one key that is open now be lent again.
    pub fn evict(&self, key: &K) {
        if let Some(id) = self.find(key) {
            self.shared.with_core(id, Core::evict_all);
        }
        (self.wake)(&self.shared);
    }

    /// Lets no session that is open now be lent again.
    pub fn evict_all(&self) {
        for (id, _) in self.shared.domain.all() {
            self.shared.with_core(id, Core::evict_all);
        }
        (self.wake)(&self.shared);
    }

    /// Closes the idle sessions that the predicate refuses. It is called outside the pool's lock.
    pub fn retain(&self, mut keep: impl FnMut(&K, &mut P::Session) -> bool) {
        for (id, member) in self.shared.domain.all() {
            self.shared.retain(id, |session| keep(&member.key, session));
        }
        (self.wake)(&self.shared);
    }

    /// Adds a session opened elsewhere. It comes back where the key or the total is full, or the
    /// pool closed.
    pub fn add(&self, key: &K, session: P::Session) -> Result<(), P::Session> {
        let added = match ByKey(key.clone()).locate(&self.shared) {
            Some((id, _)) => self.shared.with(|state, now| state.machine.add(id, session, now)),
            None => Err(session),
        };
        (self.wake)(&self.shared);
        added
    }

    fn find(&self, key: &K) -> Option<KeyId> {
        self.shared.domain.find(key).map(|(id, _)| id)
    }
}

impl<K, P> Drop for KeyedHandle<K, P>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    P: LocalChecks,
{
    fn drop(&mut self) {
        (self.leave)(&self.shared);
    }
}

impl<K, P> fmt::Debug for KeyedHandle<K, P>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    P: LocalChecks,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedHandle").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl<K, P> Shared<Keyed<K, P>>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    P: LocalChecks,
{
    /// The counts of all keys together.
    pub(super) fn total_stats(&self) -> Stats {
        let machine = &mut self.lock().machine;
        let all = machine.ids().into_iter().filter_map(|id| machine.look(id, Core::stats));
        let mut total = all.reduce(Stats::plus).unwrap_or_default();
        total.max_size = machine.config().max_total();
        total
    }

    pub(super) fn per_key(&self) -> Config {
        self.lock().machine.config().per_key().clone()
    }

    /// Has a key's backend at hand.
    pub(super) fn with_backend<R>(&self, key: &K, look: impl FnOnce(&P) -> R) -> Option<R> {
        let (_, member) = self.domain.find(key)?;
        let seen = look(&member.backend);
        quietly(|| drop(member));
        Some(seen)
    }
}
