//! The books of a pool, added up.

use pool_core::Stats;

use super::SessionCounters;

/// I5 and I3 for a pool at rest that never gave an operation up: panics with the figures and the
/// given context where they do not add up.
#[track_caller]
pub fn audit(stats: &Stats, truth: &SessionCounters, context: &dyn std::fmt::Debug) {
    let c = &stats.counters;
    let ended = c.served + c.timed_out + c.cancelled + c.failed + c.refused_closed;
    assert_eq!(c.acquires, ended + stats.waiting as u64, "I5, borrows: {context:?} {stats:?}");
    let kept = (stats.open() - stats.connecting - stats.closing) as u64;
    let gone = c.closed_total() + c.detached;
    assert_eq!(c.created, gone + kept, "I5, sessions: {context:?} {stats:?}");
    assert!(
        truth.alive() <= (stats.open() - stats.connecting) as i64,
        "I3: {} alive: {context:?} {stats:?}",
        truth.alive()
    );
    assert_eq!(stats.hung() + stats.orphans, 0, "nothing was given up: {context:?} {stats:?}");
}
