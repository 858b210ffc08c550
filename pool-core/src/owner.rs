//! What the owner of a pool may do, written once for all fronts.

use std::sync::Arc;
use std::time::Instant;

use crate::core::{Core, Health, OldestLease};
use crate::domain::{CoreOf, Domain, ErrorOf, Machine, SessionOf};
use crate::error::{AcquireError, Closed, DrainTimeout, WarmError};
use crate::shared::{Shared, Watcher};
use crate::stats::Stats;

impl<D: Domain> Shared<D> {
    pub(crate) fn stats_of(&self, key: D::Key) -> Option<Stats> {
        self.read(key, |core, _| core.stats())
    }

    pub(crate) fn health_of(&self, key: D::Key) -> Option<Health<Arc<ErrorOf<D>>>> {
        self.read(key, Core::health)
    }

    pub(crate) fn oldest_lease_of(&self, key: D::Key) -> Option<OldestLease> {
        self.read(key, Core::oldest_lease).flatten()
    }

    pub(crate) fn add(&self, key: D::Key, session: SessionOf<D>) -> Result<(), SessionOf<D>> {
        let mut offered = Some(session);
        let answer = self.with_core(key, |core, now| {
            offered.take().map_or(Ok(()), |session| core.add(session, now))
        });
        match (answer, offered) {
            (Some(answer), _) => answer,
            (None, Some(session)) => Err(session),
            (None, None) => Ok(()),
        }
    }

    /// Reading is no use: it changes nothing, not even when a key is forgotten.
    fn read<R>(&self, key: D::Key, look: impl FnOnce(&CoreOf<D>, Instant) -> R) -> Option<R> {
        let now = self.clock.now();
        self.lock().machine.look(key, |core| look(core, now))
    }

    /// Whether the sessions that `warm` asked for are there; the watcher is woken when there is news.
    pub(crate) fn warmed(
        &self,
        key: D::Key,
        wanted: usize,
        watcher: &Arc<Watcher>,
    ) -> Option<Result<(), AcquireError<ErrorOf<D>>>> {
        if self.watch(watcher) {
            return Some(Err(AcquireError::Closed));
        }
        let looked = self.with_core(key, |core, now| {
            if core.is_closed() {
                return Some(Err(AcquireError::Closed));
            }
            if core.opened() >= wanted.min(core.config().max_size()) {
                return Some(Ok(()));
            }
            core.hopeless(now).map(|error| Err(AcquireError::Connect(error)))
        });
        looked.unwrap_or(Some(Err(AcquireError::Closed)))
    }

    /// Asks for so many sessions of a core to be open, until the answer is dropped.
    pub(crate) fn begin_warming(&self, key: D::Key, wanted: usize) -> Warming<'_, D> {
        self.with(|state, _| state.warming.push((key, wanted)));
        self.set_warming(key);
        Warming { shared: self, key, wanted }
    }

    /// Of several who want some, the one that wants most decides.
    fn set_warming(&self, key: D::Key) {
        self.with(|state, now| {
            let of_key = state.warming.iter().filter(|(of, _)| *of == key);
            let most = of_key.map(|(_, wanted)| *wanted).max().unwrap_or(0);
            state.machine.with_core(key, now, |core| core.warm(most));
        });
    }

    /// Says how a warming went.
    pub(crate) fn end_warming(
        &self,
        key: D::Key,
        wanted: usize,
        answer: Option<Result<(), AcquireError<ErrorOf<D>>>>,
    ) -> Result<(), WarmError<ErrorOf<D>>> {
        let (opened, known) = self
            .with_core(key, |core, _| {
                let known = match core.last_failure() {
                    Some(crate::core::ConnectFailure::Error(error)) => Some(Arc::clone(error)),
                    _ => None,
                };
                (core.opened(), known)
            })
            .unwrap_or_default();
        let failed = WarmError { wanted, opened, last_failure: known };
        answer.and_then(Result::ok).ok_or(failed)
    }

    /// How closing went.
    pub(crate) fn closed(&self, drained: bool, stats: Stats) -> Result<Closed, DrainTimeout> {
        if drained {
            Ok(Closed { hung: stats.hung() })
        } else {
            Err(DrainTimeout { stats: Box::new(stats) })
        }
    }
}

/// Somebody waits for sessions to be opened.
pub(crate) struct Warming<'a, D: Domain> {
    shared: &'a Shared<D>,
    key: D::Key,
    wanted: usize,
}

impl<D: Domain> Drop for Warming<'_, D> {
    fn drop(&mut self) {
        let Self { shared, key, wanted } = *self;
        shared.with(|state, _| {
            let place = state.warming.iter().position(|entry| *entry == (key, wanted));
            place.map(|place| state.warming.swap_remove(place))
        });
        shared.set_warming(key);
    }
}
