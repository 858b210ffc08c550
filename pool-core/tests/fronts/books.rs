//! The books of one pool, or of one with keys, with the names that a script gives the keys.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use pool_core::core::Core;
use pool_core::keyed_core::{CoreMaker, KeyId, KeyedCore};
use pool_core::{EventError, KeyedConfig, Machine, Stats};

use crate::desk::{Failed, Session};

pub(crate) type One = Core<Arc<Session>, Arc<Failed>>;
type Many = KeyedCore<Arc<Session>, Arc<Failed>>;

pub(crate) fn describe(error: &Arc<Failed>) -> EventError {
    EventError::new(Arc::clone(error) as _)
}

/// The books, and the names of the keys in it.
pub(crate) trait Books {
    type Machine: Machine<Key = Self::Key, Session = Arc<Session>, Error = Arc<Failed>>;
    type Key: Copy + Eq + std::fmt::Debug;

    fn machine(&mut self) -> &mut Self::Machine;
    /// The key of that name, made where it is not known; none where the pool is closed.
    fn locate(&mut self, name: u8, now: Instant) -> Option<Self::Key>;
    fn find(&self, name: u8) -> Option<Self::Key>;
    /// Of a key that may have been forgotten since.
    fn name(&self, key: Self::Key) -> u8;
    fn forgotten(&mut self, key: Self::Key);
    fn resize_total(&mut self, total: usize, now: Instant);
    fn stats(&self) -> BTreeMap<u8, Stats>;
    fn poll_timeout(&self) -> Option<Instant>;
    fn is_drained(&self) -> bool;
}

impl Books for One {
    type Machine = Self;
    type Key = ();

    fn machine(&mut self) -> &mut Self {
        self
    }

    fn locate(&mut self, _: u8, _: Instant) -> Option<()> {
        Some(())
    }

    fn find(&self, _: u8) -> Option<()> {
        Some(())
    }

    fn name(&self, (): ()) -> u8 {
        0
    }

    fn forgotten(&mut self, (): ()) {}

    fn resize_total(&mut self, _: usize, _: Instant) {}

    fn stats(&self) -> BTreeMap<u8, Stats> {
        BTreeMap::from([(0, Core::stats(self))])
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Core::poll_timeout(self)
    }

    fn is_drained(&self) -> bool {
        Core::is_drained(self)
    }
}

pub(crate) struct ByName {
    core: Many,
    known: BTreeMap<u8, KeyId>,
    /// Of all keys there ever were.
    names: Vec<(KeyId, u8)>,
}

impl ByName {
    pub(crate) fn new(config: KeyedConfig, shared: bool) -> Self {
        let share = shared.then_some(Arc::clone as fn(&Arc<Session>) -> Arc<Session>);
        let make = CoreMaker { share, observed: true, describe: Some(describe as _) };
        Self { core: KeyedCore::new(config, make), known: BTreeMap::new(), names: Vec::new() }
    }
}

impl Books for ByName {
    type Machine = Many;
    type Key = KeyId;

    fn machine(&mut self) -> &mut Many {
        &mut self.core
    }

    fn locate(&mut self, name: u8, now: Instant) -> Option<KeyId> {
        if let Some(&key) = self.known.get(&name) {
            return Some(key);
        }
        let key = self.core.open_key(now)?;
        self.known.insert(name, key);
        self.names.push((key, name));
        Some(key)
    }

    fn find(&self, name: u8) -> Option<KeyId> {
        self.known.get(&name).copied()
    }

    fn name(&self, key: KeyId) -> u8 {
        self.names.iter().find(|(known, _)| *known == key).map_or(u8::MAX, |(_, name)| *name)
    }

    fn forgotten(&mut self, key: KeyId) {
        self.known.retain(|_, known| *known != key);
    }

    fn resize_total(&mut self, total: usize, now: Instant) {
        self.core.resize_total(total, now);
    }

    fn stats(&self) -> BTreeMap<u8, Stats> {
        let stats = |key: KeyId| self.core.core(key).map(Core::stats);
        self.known.iter().filter_map(|(name, key)| Some((*name, stats(*key)?))).collect()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.core.poll_timeout()
    }

    fn is_drained(&self) -> bool {
        self.core.is_drained()
    }
}
