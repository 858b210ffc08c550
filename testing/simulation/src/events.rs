//! What a pool tells its observer, counted, to be compared with its statistics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pool_core::{CloseReason, ConnectFailure, Event, KeyedObserver, Observer, Stats};
use ssh_session::Endpoint;

use crate::trace::note;
use crate::world::World;

/// Counts events, and looks at what sessions are closed for.
#[derive(Debug)]
pub(crate) struct Events {
    world: World,
    client: usize,
    sites: [Option<usize>; 2],
    acquired: AtomicU64,
    not_acquired: AtomicU64,
    released: AtomicU64,
    connected: AtomicU64,
    connect_failed: AtomicU64,
    closed: AtomicU64,
    /// Borrowers that were refused a channel.
    refused: AtomicU64,
}

impl Observer for Events {
    fn on_event(&self, event: &Event) {
        let counter = match event {
            Event::Acquired { .. } => &self.acquired,
            Event::NotAcquired { .. } => &self.not_acquired,
            Event::Released { .. } => &self.released,
            Event::Connected { .. } => &self.connected,
            // Which is told of a session that came, and is no failed connect in the statistics.
            Event::ConnectFailed { reason: ConnectFailure::BrokenAtBirth, .. } => return,
            Event::ConnectFailed { .. } => &self.connect_failed,
            Event::Closed { reason, .. } => {
                use CloseReason::{Broken, CheckFailed, KeepaliveFailed};
                if matches!(reason, Broken | CheckFailed | KeepaliveFailed) {
                    let why = format!("{reason:?}");
                    note!(self.world, "client {} gives a session up: {why}", self.client);
                    self.world.books().given_up(self.client, self.sites, &why);
                }
                &self.closed
            }
            _ => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Those of each key of a keyed pool.
pub(crate) struct KeyedEvents(pub(crate) Vec<(Endpoint, Arc<Events>)>);

impl KeyedObserver<Endpoint> for KeyedEvents {
    fn on_event(&self, key: &Endpoint, event: &Event) {
        if let Some((_, events)) = self.0.iter().find(|(endpoint, _)| endpoint == key) {
            events.on_event(event);
        }
    }
}

impl Events {
    pub(crate) fn new(world: &World, client: usize, sites: [Option<usize>; 2]) -> Self {
        let [acquired, not_acquired, released] = [const { AtomicU64::new(0) }; 3];
        let [connected, connect_failed, closed, refused] = [const { AtomicU64::new(0) }; 4];
        Self {
            world: world.clone(),
            client,
            sites,
            acquired,
            not_acquired,
            released,
            connected,
            connect_failed,
            closed,
            refused,
        }
    }

    /// A borrower was refused a channel, which the pool is to learn from.
    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// What does not agree with the statistics of a pool, or of a key, that is closed. Where
    /// `exact` is not said, the statistics may have forgotten something meanwhile.
    pub(crate) fn disagree(&self, stats: &Stats, exact: bool) -> Vec<String> {
        let counters = stats.counters;
        let told = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let lost = counters.timed_out
            + counters.cancelled
            + counters.failed
            + counters.refused_closed
            + counters.overloaded;
        let pairs = [
            ("served and acquired", counters.served, told(&self.acquired)),
            ("acquires and their ends", counters.acquires, counters.served + lost),
            ("failed acquires", lost, told(&self.not_acquired)),
            ("served and released", counters.served, told(&self.released)),
            ("created and connected", counters.created, told(&self.connected)),
            ("failed connects", counters.connect_failures, told(&self.connect_failed)),
            ("closed", counters.closed_total(), told(&self.closed)),
            ("created and closed", counters.created, counters.closed_total()),
            ("open", stats.open() as u64, 0),
            ("waiting", stats.waiting as u64, 0),
            ("lent", stats.lent as u64, 0),
            ("hung", stats.hung() as u64, 0),
            // Of what was refused to a command that is sent again, only the pool is told.
            ("refused", told(&self.refused).saturating_sub(counters.refusals), 0),
        ];
        pairs
            .into_iter()
            .filter(|(_, one, other)| if exact { one != other } else { one > other })
            .map(|(what, one, other)| format!("{what}: {one} and {other}"))
            .collect()
    }
}
