//! What the owner of a keyed pool may do, written once for threads and tasks.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use super::core::{CoreMaker, KeyedCore};
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

impl<K, P> Shared<Keyed<K, P>>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    P: LocalChecks,
{
    pub(super) fn keyed_stats(&self) -> KeyedStats {
        let state = self.lock();
        let machine = &state.machine;
        KeyedStats { keys: machine.keys(), open: machine.open(), starved: machine.starving() }
    }

    /// The counts of all keys together.
    pub(super) fn total_stats(&self) -> Stats {
        let machine = &mut self.lock().machine;
        let all = machine.ids().into_iter().filter_map(|id| machine.look(id, Core::stats));
        let mut total = all.reduce(Stats::plus).unwrap_or_default();
        total.max_size = machine.config().max_total();
        total
    }

    pub(super) fn key_stats(&self, key: &K) -> Option<Stats> {
        self.stats_of(self.domain.find(key)?.0)
    }

    pub(super) fn key_health(&self, key: &K) -> Option<Health<Arc<P::Error>>> {
        self.health_of(self.domain.find(key)?.0)
    }

    pub(super) fn key_oldest_lease(&self, key: &K) -> Option<OldestLease> {
        self.oldest_lease_of(self.domain.find(key)?.0)
    }

    pub(super) fn key_lease_limit(&self, key: &K) -> Option<usize> {
        let (id, _) = self.domain.find(key)?;
        self.lock().machine.look(id, Core::lease_limit)
    }

    pub(super) fn known_keys(&self) -> Vec<K> {
        self.domain.all().into_iter().map(|(_, member)| member.key.clone()).collect()
    }

    pub(super) fn resize_key(&self, key: &K, max_size: usize) {
        // A key that is forgotten meanwhile starts anew, at the size of all.
        if let Some((id, _)) = ByKey(key.clone()).locate(self) {
            self.with_core(id, |core, now| core.resize(max_size, now));
        }
    }

    pub(super) fn resize_total(&self, max_total: usize) {
        self.with(|state, now| state.machine.resize_total(max_total, now));
    }

    pub(super) fn evict(&self, key: &K) {
        if let Some((id, _)) = self.domain.find(key) {
            self.with_core(id, Core::evict_all);
        }
    }

    pub(super) fn evict_all(&self) {
        for (id, _) in self.domain.all() {
            self.with_core(id, Core::evict_all);
        }
    }

    pub(super) fn retain_all(&self, mut keep: impl FnMut(&K, &mut P::Session) -> bool) {
        for (id, member) in self.domain.all() {
            self.retain(id, |session| keep(&member.key, session));
        }
    }

    pub(super) fn add_to(&self, key: &K, session: P::Session) -> Result<(), P::Session> {
        match ByKey(key.clone()).locate(self) {
            Some((id, _)) => self.with(|state, now| state.machine.add(id, session, now)),
            None => Err(session),
        }
    }

    pub(super) fn per_key(&self) -> Config {
        self.lock().machine.config().per_key().clone()
    }

    pub(super) fn timeouts(&self) -> (Option<Duration>, Duration) {
        let config = self.per_key();
        (config.acquire_timeout, config.close_timeout)
    }

    /// Has a key's backend at hand.
    pub(super) fn with_backend<R>(&self, key: &K, look: impl FnOnce(&P) -> R) -> Option<R> {
        let (_, member) = self.domain.find(key)?;
        let seen = look(&member.backend);
        quietly(|| drop(member));
        Some(seen)
    }
}
