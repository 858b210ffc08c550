//! Why a borrower got no session.

use std::panic::Location;
use std::time::{Duration, Instant};

use super::slot::Phase;
use super::{Core, Notice};
use crate::event::{Event, NotAcquired};
use crate::kinds::{ConnectFailure, WaitPhase};
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
    /// As many borrowers wait as may.
    Overloaded {
        /// How many.
        waiting: usize,
    },
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
        let lease = self.leases.oldest()?;
        Some(OldestLease { age: now.saturating_duration_since(lease.since), site: lease.site })
    }

    /// The last failed connect, if none has succeeded since.
    pub fn last_failure(&self) -> Option<&ConnectFailure<E>> {
        self.gate.last_failure.as_ref()
    }

    /// What whoever waits now waits for.
    pub(crate) fn wait_phase(&self, now: Instant) -> WaitPhase {
        let count = |phase| self.slots.count(phase);
        let full = self.slots.in_use() >= self.config.max_size;
        if count(Phase::Connecting) > 0 {
            WaitPhase::Connect
        } else if count(Phase::Checking) + count(Phase::Resetting) + self.running.checks > 0 {
            WaitPhase::Check
        } else if full && count(Phase::Closing) > 0 && count(Phase::Lent) == 0 {
            WaitPhase::Close
        } else if full {
            WaitPhase::Return
        } else if self.connects_are_hung() {
            WaitPhase::Hung
        } else if self.gate.not_before.is_some_and(|at| now < at) {
            WaitPhase::Backoff
        } else if self.gate.total_is_full && self.is_starved() {
            WaitPhase::Total
        } else if self.connect_is_wanted() {
            // About to begin.
            WaitPhase::Connect
        } else {
            WaitPhase::Return
        }
    }

    /// Looking for the oldest lease costs time where there are many.
    pub(super) fn timeout_report(
        &self,
        arrived: Instant,
        now: Instant,
        whose: bool,
    ) -> Box<TimeoutReport<E>> {
        Box::new(TimeoutReport {
            phase: self.wait_phase(now),
            waited: now.saturating_duration_since(arrived),
            stats: self.stats(),
            last_failure: self.gate.last_failure.clone(),
            oldest_lease: if whose { self.oldest_lease(now) } else { None },
        })
    }

    /// Ends the waits whose deadlines have come, also of those that were promised a session and
    /// did not collect it.
    pub(super) fn expire_waiters(&mut self, now: Instant) {
        while let Some(waiter) = self.waiters.pop_due(now) {
            self.time_out(waiter, now);
        }
        while let Some((waiter, slot)) = self.waiters.uncollected(now) {
            self.time_out(waiter, now);
            self.unreserve(slot, now);
        }
    }

    fn time_out(&mut self, waiter: u32, now: Instant) {
        self.counters.timed_out += 1;
        let report = self.timeout_report(self.waiters[waiter].arrived, now, true);
        self.end_wait(waiter, Refusal::TimedOut(report), now);
    }

    /// Tells a waiter that it gets nothing.
    pub(super) fn end_wait(&mut self, waiter: u32, refusal: Refusal<E>, now: Instant) {
        self.emit_refusal(&refusal, self.waiters[waiter].arrived, now);
        let id = self.waiters.finish(waiter, refusal);
        self.notices.push_back(Notice::Wake(id));
    }

    pub(super) fn emit_refusal(&mut self, refusal: &Refusal<E>, arrived: Instant, now: Instant) {
        let why = match refusal {
            Refusal::Closed => NotAcquired::Closed,
            Refusal::Failed(_) => NotAcquired::Failed,
            Refusal::TimedOut(report) => NotAcquired::TimedOut(report.phase),
            Refusal::Overloaded { .. } => NotAcquired::Overloaded,
        };
        let waited = now.saturating_duration_since(arrived);
        self.emit(|| Event::NotAcquired { why, waited });
    }

    /// How the pool is doing.
    pub fn health(&self, now: Instant) -> Health<E> {
        let waiting = self.waiters.front().map(|first| {
            let waited = now.saturating_duration_since(self.waiters[first].arrived);
            (waited, self.wait_phase(now))
        });
        Health {
            stats: self.stats(),
            last_failure: self.gate.last_failure.clone(),
            failures_in_a_row: self.gate.failures(),
            retry_in: self.gate.not_before.map(|at| at.saturating_duration_since(now)),
            longest_wait: waiting.map(|(waited, _)| waited),
            waiting_for: waiting.map(|(_, phase)| phase),
            oldest_lease: self.oldest_lease(now),
            leases_per_session: self.lease_limit(),
        }
    }
}

/// How a pool is doing: whether sessions can be opened, who waits for what, who holds on.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Health<E> {
    /// The counts.
    pub stats: Stats,
    /// The last failed connect, if none has succeeded since.
    pub last_failure: Option<ConnectFailure<E>>,
    /// Failed connects, and sessions broken at birth, since a session was last found to be good.
    pub failures_in_a_row: u32,
    /// When the next connect may start, where the last one failed.
    pub retry_in: Option<Duration>,
    /// How long whoever is first in the queue has waited.
    pub longest_wait: Option<Duration>,
    /// What it waits for.
    pub waiting_for: Option<WaitPhase>,
    /// The lease that has been out for longest.
    pub oldest_lease: Option<OldestLease>,
    /// How many leases a session is believed to carry.
    pub leases_per_session: usize,
}

impl<E> Health<E> {
    /// Whether sessions can be had: one is open, or nothing is known that speaks against opening
    /// one.
    pub fn is_ready(&self) -> bool {
        let Stats { idle, lent, reserved, checking, closed, .. } = self.stats;
        !closed && (idle + lent + reserved + checking > 0 || self.last_failure.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_ready_with_any_session_or_where_nothing_speaks_against_one() {
        let health = |stats, fails: bool| Health {
            stats,
            last_failure: fails.then_some(ConnectFailure::Error(())),
            failures_in_a_row: u32::from(fails),
            retry_in: None,
            longest_wait: None,
            waiting_for: None,
            oldest_lease: None,
            leases_per_session: 1,
        };
        let none = Stats::default();
        let (idle, lent) = (Stats { idle: 1, ..none }, Stats { lent: 1, ..none });
        let (reserved, checking) = (Stats { reserved: 1, ..none }, Stats { checking: 1, ..none });
        for stats in [idle, lent, reserved, checking] {
            assert!(health(stats, true).is_ready(), "{stats:?}");
            assert!(!health(Stats { closed: true, ..stats }, false).is_ready());
        }
        assert!(health(none, false).is_ready() && !health(none, true).is_ready());
    }
}
