//! The model of backoff and breaker.

use std::time::{Duration, Instant};

use pool_core::ErrorKind;

use super::Setup;

/// Between which moments the next connect may start.
#[derive(Debug)]
pub(super) struct GateModel {
    failures: u32,
    /// No connect before.
    floor: Option<Instant>,
    /// Nothing but the pool's other limits holds a connect back after.
    ceiling: Option<Instant>,
    /// Until when newcomers may be told the permanent error.
    breaker: Option<Instant>,
    /// A permanent error came and no success since.
    pub(super) permanent: bool,
    /// The latest time the core was told since the last failure.
    latest: Option<Instant>,
}

/// Rounding of the core's arithmetic.
const SLACK: Duration = Duration::from_nanos(10);

/// The core's longest delay.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

impl GateModel {
    pub(super) fn new() -> Self {
        Self {
            failures: 0,
            floor: None,
            ceiling: None,
            breaker: None,
            permanent: false,
            latest: None,
        }
    }

    pub(super) fn failed(&mut self, setup: &Setup, kind: ErrorKind, now: Instant) {
        self.failures += if kind == ErrorKind::Busy && self.failures == 0 { 2 } else { 1 };
        let grown = |unit: Duration| unit.saturating_mul(1 << self.failures.min(30)).min(LONGEST);
        let mut longest = grown(setup.backoff_base).min(setup.backoff_max);
        if kind == ErrorKind::Permanent {
            longest =
                longest.max(grown(setup.breaker_delay).min(setup.breaker_delay.saturating_mul(64)));
            self.breaker = Some(now + longest + SLACK);
            self.permanent = true;
        }
        // A delay that was over once stays over, even if the clock goes back.
        if self.may_connect() {
            self.floor = None;
        }
        self.floor = self.floor.max(Some(now + longest / 2 - SLACK));
        self.ceiling = self.ceiling.max(Some(now + longest + SLACK));
        self.latest = Some(now);
    }

    pub(super) fn told(&mut self, now: Instant) {
        self.latest = self.latest.map(|latest| latest.max(now));
    }

    pub(super) fn may_connect(&self) -> bool {
        self.floor <= self.latest
    }

    /// When the delay is certainly over.
    pub(super) fn over_at(&self) -> Option<Instant> {
        self.ceiling.map(|ceiling| ceiling + SLACK)
    }

    /// Whether the delay is certainly over.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.ceiling.is_none_or(|ceiling| ceiling < now)
    }

    pub(super) fn may_refuse(&self, now: Instant) -> bool {
        self.permanent && self.breaker.is_some_and(|until| now < until)
    }
}
