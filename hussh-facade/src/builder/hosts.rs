//! What pools of many hosts can be told besides, and what all their hosts have in common.

use std::sync::Arc;
use std::time::Duration;

use pool_core::{Event, KeyedConfig, KeyedObserver, Observer};
use ssh_session::{Endpoint, Options, Route, SshError, Target};

use super::pool::{Made, PoolKind, invalid};
use super::{Builder, Sealed};
use crate::Error;

/// How many connections are open at once over all hosts, unless somebody says otherwise.
pub(super) const MAX_TOTAL: usize = 100;

/// A pool of many hosts. Nobody else can implement it.
pub trait KeyedKind: PoolKind + Sealed {}

/// What sessions are opened with, whichever the host.
#[derive(Clone)]
pub(crate) struct Hosts(Options);

impl Hosts {
    /// The pool's key for a host.
    pub(crate) fn endpoint(&self, target: &Target) -> Result<Endpoint, SshError> {
        let mut options = Options { target: target.clone(), ..self.0.clone() };
        // `%n` is the host as it was given, which no other is.
        if let Route::Command(command) = options.route {
            options.route = Route::Command(command.original(target.host()));
        }
        Endpoint::new(options)
    }

    /// The port of hosts of which none is said.
    pub(crate) fn port(&self) -> u16 {
        self.0.target.port()
    }

    /// How often their connections are asked for a sign of life.
    pub(crate) fn keepalive(&self) -> Option<Duration> {
        self.0.keepalive.interval
    }
}

/// What a pool of many hosts is made with, checked.
pub(crate) struct MadeForHosts {
    pub(crate) config: KeyedConfig,
    pub(crate) observer: Option<Arc<dyn KeyedObserver<Endpoint>>>,
}

/// Tells an observer of all hosts' pools what happens in each.
struct OfAll(Arc<dyn Observer>);

impl KeyedObserver<Endpoint> for OfAll {
    fn on_event(&self, _: &Endpoint, event: &Event) {
        self.0.on_event(event);
    }
}

impl<T: KeyedKind> Builder<T> {
    /// Whom to talk to is said with each call.
    pub(crate) fn of_hosts() -> Self {
        Self::of("any.invalid", "any")
    }

    /// The most connections open at once over all hosts, those being opened and closed included: 1
    /// and up, default 100. [`max_connections`](Self::max_connections) bounds those to one host.
    pub fn max_total(mut self, count: usize) -> Self {
        self.pool.max_total = Some(count);
        self
    }

    pub(crate) fn made_for_hosts(self) -> Result<(Hosts, MadeForHosts), Error> {
        let max_total = self.pool.max_total.unwrap_or(MAX_TOTAL);
        let Made { options, config, observer } = self.made()?;
        let config = KeyedConfig::new(config, max_total).map_err(|error| invalid(&error))?;
        let observer = observer.map(|observer| Arc::new(OfAll(observer)) as _);
        Ok((Hosts(options), MadeForHosts { config, observer }))
    }
}
