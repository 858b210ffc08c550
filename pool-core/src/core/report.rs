//! Why a borrower got no session.

use std::panic::Location;
use std::time::{Duration, Instant};

use super::Core;
use super::gate::ConnectFailure;
use super::slots::Phase;
use crate::stats::Stats;

/// Why a borrower got no session.
#[derive(Debug, Clone)]
pub enum Refusal<E> {
    /// The pool is closed.
    Closed,
    /// No session can be opened, and trying again would not help.
    Failed(E),
    /// Its deadline passed.
    TimedOut(Box<TimeoutReport<E>>),
}

/// What a borrower was waiting for when its time was up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WaitPhase {
    /// A session being opened.
    Connect,
    /// The delay after a failed connect.
    Backoff,
    /// A sign of life of an idle session, or its cleaning.
    Check,
    /// Somebody to return a session: all are lent.
    Return,
}

/// All that is known about a borrow that timed out.
#[derive(Debug, Clone)]
pub struct TimeoutReport<E> {
    /// What it waited for.
    pub phase: WaitPhase,
    /// How long it waited.
    pub waited: Duration,
    /// The pool's counts at that moment.
    pub stats: Stats,
    /// The last failed connect, if none has succeeded since.
    pub last_failure: Option<ConnectFailure<E>>,
    /// The lease that has been out for longest.
    pub oldest_lease: Option<OldestLease>,
}

/// A lease, for a report of who holds on to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldestLease {
    /// How long it has been out.
    pub age: Duration,
    /// The line that borrowed it.
    pub site: &'static Location<'static>,
}

impl<S, E: Clone> Core<S, E> {
    /// The lease that has been out for longest.
    pub fn oldest_lease(&self, now: Instant) -> Option<OldestLease> {
        let slot = self.slots.oldest_lease()?;
        Some(OldestLease { age: now.saturating_duration_since(slot.since), site: slot.site? })
    }

    /// The last failed connect, if none has succeeded since.
    pub fn last_failure(&self) -> Option<&ConnectFailure<E>> {
        self.gate.last_failure.as_ref()
    }

    pub(super) fn timeout_report(&self, arrived: Instant, now: Instant) -> Box<TimeoutReport<E>> {
        let count = |phase| self.slots.count(phase);
        let phase = if count(Phase::Connecting) > 0 {
            WaitPhase::Connect
        } else if count(Phase::Checking) + count(Phase::Resetting) > 0 {
            WaitPhase::Check
        } else if self.gate.not_before.is_some_and(|at| now < at)
            && self.slots.in_use() < self.config.max_size
        {
            WaitPhase::Backoff
        } else {
            WaitPhase::Return
        };
        Box::new(TimeoutReport {
            phase,
            waited: now.saturating_duration_since(arrived),
            stats: self.stats(),
            last_failure: self.gate.last_failure.clone(),
            oldest_lease: self.oldest_lease(now),
        })
    }
}
