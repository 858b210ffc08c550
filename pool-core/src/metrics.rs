//! A pool's figures for the `metrics` crate (feature `metrics`).

use std::time::Duration;

use metrics::{counter, gauge, histogram};

use crate::event::{Event, NotAcquired, Observer};
use crate::kinds::CloseReason;
use crate::stats::Stats;

/// An [`Observer`] that reports to whatever recorder the program has installed with the `metrics`
/// crate. Every figure has the label `pool` with the name given here.
///
/// | name | kind | unit |
/// |---|---|---|
/// | `pool_sessions_open` | gauge | sessions in the pool or with borrowers |
/// | `pool_leases` | gauge | leases that are out |
/// | `pool_acquires_total` | counter, label `outcome` | borrowers that were served, timed out, cancelled, … |
/// | `pool_acquire_wait_seconds` | histogram, label `outcome` | time from asking to the outcome |
/// | `pool_held_seconds` | histogram | time from getting to returning |
/// | `pool_held_long_total` | counter | leases out for longer than `leak_after` |
/// | `pool_connects_total` | counter | sessions opened |
/// | `pool_connect_seconds` | histogram | time to open one |
/// | `pool_connect_failures_total` | counter, label `kind` | connects that failed |
/// | `pool_checks_total` | counter, labels `purpose`, `alive` | signs of life asked for |
/// | `pool_closed_total` | counter, label `reason` | sessions closed |
/// | `pool_hung_total` | counter, label `operation` | operations given up at their deadlines |
/// | `pool_leases_per_session` | gauge | how many leases a session is believed to carry |
///
/// How many wait and how many are idle is a matter of a moment: ask
/// [`Pool::stats`](crate::Pool::stats) when the figures are collected, with
/// [`report`](Self::report).
#[derive(Debug, Clone)]
pub struct MetricsObserver {
    pool: String,
}

impl MetricsObserver {
    /// Reports under that name.
    pub fn new(pool: impl Into<String>) -> Self {
        Self { pool: pool.into() }
    }
}

impl MetricsObserver {
    /// Reports the gauges that are matters of a moment: `pool_waiting`, `pool_idle`,
    /// `pool_connecting`, `pool_hung`.
    pub fn report(&self, stats: &Stats) {
        for (name, value) in [
            ("pool_waiting", stats.waiting),
            ("pool_idle", stats.idle),
            ("pool_connecting", stats.connecting),
            ("pool_hung", stats.hung()),
        ] {
            gauge!(name, "pool" => self.pool.clone()).set(value as f64);
        }
    }

    fn count_outcome(&self, outcome: &'static str, waited: Duration) {
        let pool = || self.pool.clone();
        counter!("pool_acquires_total", "pool" => pool(), "outcome" => outcome).increment(1);
        histogram!("pool_acquire_wait_seconds", "pool" => pool(), "outcome" => outcome)
            .record(waited);
    }
}

impl Observer for MetricsObserver {
    fn on_event(&self, event: &Event) {
        let pool = || self.pool.clone();
        match event {
            Event::Acquired { waited, .. } => {
                self.count_outcome("served", *waited);
                gauge!("pool_leases", "pool" => pool()).increment(1.0);
            }
            Event::NotAcquired { why, waited } => self.count_outcome(outcome_name(*why), *waited),
            Event::Released { held, .. } => {
                gauge!("pool_leases", "pool" => pool()).decrement(1.0);
                histogram!("pool_held_seconds", "pool" => pool()).record(*held);
            }
            Event::HeldLong { .. } => {
                counter!("pool_held_long_total", "pool" => pool()).increment(1);
            }
            Event::Detached { .. } => {
                gauge!("pool_leases", "pool" => pool()).decrement(1.0);
                gauge!("pool_sessions_open", "pool" => pool()).decrement(1.0);
            }
            Event::Connected { took, .. } => {
                counter!("pool_connects_total", "pool" => pool()).increment(1);
                gauge!("pool_sessions_open", "pool" => pool()).increment(1.0);
                histogram!("pool_connect_seconds", "pool" => pool()).record(*took);
            }
            Event::Added { .. } => gauge!("pool_sessions_open", "pool" => pool()).increment(1.0),
            Event::ConnectFailed { kind, .. } => {
                let kind = format!("{kind:?}").to_lowercase();
                counter!("pool_connect_failures_total", "pool" => pool(), "kind" => kind)
                    .increment(1);
            }
            Event::Checked { purpose, alive, .. } => {
                let purpose = format!("{purpose:?}").to_lowercase();
                let alive = if *alive { "yes" } else { "no" };
                counter!("pool_checks_total", "pool" => pool(), "purpose" => purpose,
                    "alive" => alive)
                .increment(1);
            }
            Event::LimitLearned { leases } => {
                gauge!("pool_leases_per_session", "pool" => pool()).set(*leases as f64);
            }
            Event::Hung { operation, .. } => {
                let operation = format!("{operation:?}").to_lowercase();
                counter!("pool_hung_total", "pool" => pool(), "operation" => operation)
                    .increment(1);
            }
            Event::Closed { reason, .. } => {
                let name = reason_name(*reason);
                counter!("pool_closed_total", "pool" => pool(), "reason" => name).increment(1);
                gauge!("pool_sessions_open", "pool" => pool()).decrement(1.0);
            }
        }
    }
}

fn outcome_name(why: NotAcquired) -> &'static str {
    match why {
        NotAcquired::TimedOut(_) => "timed_out",
        NotAcquired::Cancelled => "cancelled",
        NotAcquired::Failed => "failed",
        NotAcquired::Closed => "closed",
        NotAcquired::Overloaded => "overloaded",
    }
}

fn reason_name(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Broken => "broken",
        CloseReason::Marked => "marked",
        CloseReason::CheckFailed => "check_failed",
        CloseReason::KeepaliveFailed => "keepalive_failed",
        CloseReason::ResetFailed => "reset_failed",
        CloseReason::Interrupted => "interrupted",
        CloseReason::Panicked => "panicked",
        CloseReason::IdleTimeout => "idle_timeout",
        CloseReason::Lifetime => "lifetime",
        CloseReason::Resized => "resized",
        CloseReason::Evicted => "evicted",
        CloseReason::Discarded => "discarded",
        CloseReason::Displaced => "displaced",
        CloseReason::Refused => "refused",
        CloseReason::Detached => "detached",
        CloseReason::PoolClosed => "pool_closed",
    }
}
