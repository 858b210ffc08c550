//! A pool's figures for the `metrics` crate (feature `metrics`).

use metrics::{counter, gauge, histogram};

use crate::event::{CloseReason, Event, Observer};

/// An [`Observer`] that reports to whatever recorder the program has installed with the `metrics`
/// crate. Every figure has the label `pool` with the name given here.
///
/// | name | kind | unit |
/// |---|---|---|
/// | `pool_sessions_open` | gauge | sessions in the pool or with borrowers |
/// | `pool_sessions_lent` | gauge | sessions with borrowers |
/// | `pool_acquires_total` | counter | borrows served |
/// | `pool_acquire_wait_seconds` | histogram | time from asking to getting |
/// | `pool_held_seconds` | histogram | time from getting to returning |
/// | `pool_connects_total` | counter | sessions opened |
/// | `pool_connect_seconds` | histogram | time to open one |
/// | `pool_connect_failures_total` | counter, label `kind` | connects that failed |
/// | `pool_closed_total` | counter, label `reason` | sessions closed |
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

impl Observer for MetricsObserver {
    fn on_event(&self, event: &Event) {
        let pool = || self.pool.clone();
        match event {
            Event::Acquired { waited } => {
                counter!("pool_acquires_total", "pool" => pool()).increment(1);
                gauge!("pool_sessions_lent", "pool" => pool()).increment(1.0);
                histogram!("pool_acquire_wait_seconds", "pool" => pool()).record(*waited);
            }
            Event::Released { held } => {
                gauge!("pool_sessions_lent", "pool" => pool()).decrement(1.0);
                histogram!("pool_held_seconds", "pool" => pool()).record(*held);
            }
            Event::Detached => {
                gauge!("pool_sessions_lent", "pool" => pool()).decrement(1.0);
                gauge!("pool_sessions_open", "pool" => pool()).decrement(1.0);
            }
            Event::Connected { took } => {
                counter!("pool_connects_total", "pool" => pool()).increment(1);
                gauge!("pool_sessions_open", "pool" => pool()).increment(1.0);
                histogram!("pool_connect_seconds", "pool" => pool()).record(*took);
            }
            Event::Added => {
                gauge!("pool_sessions_open", "pool" => pool()).increment(1.0);
            }
            Event::ConnectFailed { kind } => {
                let kind = format!("{kind:?}").to_lowercase();
                counter!("pool_connect_failures_total", "pool" => pool(), "kind" => kind)
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
        CloseReason::PoolClosed => "pool_closed",
    }
}
