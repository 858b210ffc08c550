//! The model of backoff and breaker.

use std::time::{Duration, Instant};

use pool_core::ErrorKind;

use super::Setup;

/// Between which moments the next connect may start.
#[derive(Debug)]
pub(super) struct GateModel {
    /// Failures since a session proved good.
    failures: u32,
    /// Permanent errors since then.
    permanents: u32,
    /// No connect before.
    floor: Option<Instant>,
    /// Nothing but the pool's other limits holds a connect back after.
    ceiling: Option<Instant>,
    /// Until when newcomers may be told the error.
    breaker: Option<Instant>,
    /// A permanent error came and no connect has succeeded since.
    pub(super) permanent: bool,
    /// The latest time the core was told since the last failure.
    latest: Option<Instant>,
}

/// Rounding of the core's arithmetic.
const SLACK: Duration = Duration::from_nanos(10);

/// The core's longest delay.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A session that breaks this soon after it was opened was never any good.
const INFANCY: Duration = Duration::from_secs(1);

impl GateModel {
    pub(super) fn new() -> Self {
        Self {
            failures: 0,
            permanents: 0,
            floor: None,
            ceiling: None,
            breaker: None,
            permanent: false,
            latest: None,
        }
    }

    /// A connect failed, or its session was broken at its first look. `first` where there has
    /// never been a session.
    pub(super) fn failed(&mut self, setup: &Setup, kind: ErrorKind, first: bool, now: Instant) {
        self.failures += if kind == ErrorKind::Busy && self.failures == 0 { 2 } else { 1 };
        let mut longest = grown(setup.backoff_base, self.failures).min(setup.backoff_max);
        let mut shortest = longest / 2;
        if kind == ErrorKind::Permanent {
            self.permanents += 1;
            let cap = setup.breaker_delay.saturating_mul(64);
            let delay = grown(setup.breaker_delay, self.permanents).min(cap);
            (longest, shortest) = (longest.max(delay), shortest.max(delay / 2));
            self.permanent = true;
        }
        // A delay that was over once stays over, even if the clock goes back.
        if self.may_connect() {
            self.floor = None;
        }
        self.floor = self.floor.max(Some(now + shortest - SLACK));
        self.ceiling = self.ceiling.max(Some(now + longest + SLACK));
        if kind == ErrorKind::Permanent {
            self.breaker = Some(now + longest + SLACK);
        } else if kind == ErrorKind::Unreachable && first && setup.fail_fast {
            self.breaker = self.ceiling;
        }
        self.latest = Some(now);
    }

    /// A connect brought a session.
    pub(super) fn opened(&mut self) {
        let Self { failures, permanents, .. } = *self;
        *self = Self { failures, permanents, ..Self::new() };
    }

    /// A session was used, or answered a check, for the first time.
    pub(super) fn proved_good(&mut self) {
        (self.failures, self.permanents) = (0, 0);
    }

    /// Whether a session of that age that was never any good counts as a failed connect.
    pub(super) fn is_infant(setup: &Setup, age: Duration) -> bool {
        age <= setup.check_after_idle.clamp(INFANCY, 10 * INFANCY)
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
        self.breaker.is_some_and(|until| now < until)
    }
}

fn grown(unit: Duration, failures: u32) -> Duration {
    unit.saturating_mul(1 << failures.min(30)).min(LONGEST)
}
