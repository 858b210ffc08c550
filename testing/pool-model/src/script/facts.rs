//! What the model knows of each session, borrower and task.

use std::time::{Duration, Instant};

use pool_core::core::{LeaseId, Phase, Purpose, Request, SlotId, WaiterId};

use super::Setup;
use super::books::Entry;
use super::handle::Handle;

/// What the model knows of a session.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) born: Instant,
    /// When its last borrower returned it.
    pub(super) used: Instant,
    /// Its place in the order of lending: last return, or last lease that did not wait.
    pub(super) since: Instant,
    /// Last use or answered check.
    pub(super) verified: Instant,
    /// When it was last looked at.
    pub(super) watched: Instant,
    /// How often it was lent.
    pub(super) uses: u64,
    /// A check was answered since the last use.
    pub(super) checked: bool,
    /// Used since it was born or last answered a check.
    pub(super) touched: bool,
    /// A lease left something behind.
    pub(super) dirty: bool,
    /// Known to be good, or counted as dead on arrival.
    pub(super) proven: bool,
    /// A sibling failed since it was verified.
    pub(super) suspect: bool,
    /// The core may take it for suspect.
    pub(super) doubtful: bool,
    /// Lent past its lifetime, whatever its jitter.
    pub(super) overdue: bool,
    /// Must not be lent any more, but may still be in use.
    pub(super) evicted: bool,
    /// Why it can only be closed.
    pub(super) dead: Option<&'static str>,
}

impl Facts {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            born: now,
            used: now,
            since: now,
            verified: now,
            watched: now,
            uses: 0,
            checked: false,
            touched: false,
            dirty: false,
            proven: false,
            suspect: false,
            doubtful: false,
            overdue: false,
            evicted: false,
            dead: None,
        }
    }

    /// It came back in order, or was cleaned.
    pub(super) fn used(&mut self, now: Instant) {
        (self.used, self.since, self.verified) = (now, now, now);
        (self.checked, self.suspect, self.doubtful) = (false, false, false);
    }

    pub(super) fn answered(&mut self, now: Instant) {
        self.verified = now;
        (self.checked, self.touched) = (true, false);
        (self.suspect, self.doubtful) = (false, false);
    }

    pub(super) fn silent(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.verified)
    }

    /// For how long nobody has used it, asked it or looked at it.
    pub(super) fn unseen(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.verified.max(self.watched))
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.born)
    }

    /// Whether it can be lent as it is, whatever its jitter, with so many leases out.
    pub(super) fn is_fresh(&self, setup: &Setup, leases: usize, now: Instant) -> bool {
        let young = setup.max_lifetime.is_none_or(|limit| self.age(now) < least(setup, limit));
        let known = !self.suspect && !self.doubtful && !self.evicted && self.dead.is_none();
        let each_time = setup.check_after_idle.is_zero() && self.touched;
        (young || leases > 0) && known && !each_time && self.silent(now) <= setup.check_after_idle
    }
}

/// The shortest that jitter can make of a time limit.
pub(super) fn least(setup: &Setup, limit: Duration) -> Duration {
    limit - limit.mul_f64((setup.jitter + 1e-6).min(1.0))
}

/// A borrower that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) id: WaiterId,
    pub(super) request: Request,
    /// Its place in the order of arrival.
    pub(super) arrival: u64,
}

/// A borrower that has a lease.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) id: LeaseId,
    pub(super) slot: SlotId,
    pub(super) session: Handle,
    pub(super) ticket: u64,
    pub(super) request: Request,
    pub(super) arrival: u64,
    pub(super) since: Instant,
    /// It was told that the lease is out for long.
    pub(super) reported: bool,
}

/// A task that somebody runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) slot: SlotId,
    pub(super) work: Work,
    pub(super) session: Option<Handle>,
    pub(super) deadline: Option<Instant>,
    /// Its answer does not matter any more.
    pub(super) given_up: bool,
    /// When it was told to end.
    pub(super) interrupted: Option<Instant>,
    /// Since when its slot waits for its end, to be closed.
    pub(super) holds_up: Option<Instant>,
    /// Started before the last `evict_all`.
    pub(super) evicted: bool,
}

impl Running {
    /// Whether the core still wants its answer.
    pub(super) fn is_wanted(&self, entry: Option<&Entry>) -> bool {
        let Some(entry) = entry else { return false };
        match self.work {
            Work::Connect => entry.phase == Phase::Connecting,
            Work::Check(purpose) => {
                let asked = matches!(entry.phase, Phase::Checking | Phase::Lent | Phase::Reserved);
                asked && entry.purpose == Some(purpose) && self.interrupted.is_none()
            }
            Work::Reset => entry.phase == Phase::Resetting && self.interrupted.is_none(),
            Work::Close => matches!(entry.phase, Phase::Closing | Phase::Orphan),
        }
    }
}

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Connect,
    Check(Purpose),
    Reset,
    Close,
}

impl Work {
    pub(super) fn is_upkeep(self) -> bool {
        matches!(self, Self::Check(Purpose::Keepalive | Purpose::Sweep | Purpose::Watch))
    }

    /// One of those that are bounded together where they hang.
    pub(super) fn is_check(self) -> bool {
        matches!(self, Self::Check(_) | Self::Reset)
    }
}

/// Outcomes of borrows and fates of sessions, counted by the model.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) acquires: u64,
    pub(super) served: u64,
    pub(super) replaced: u64,
    pub(super) timed_out: u64,
    pub(super) cancelled: u64,
    pub(super) failed: u64,
    pub(super) overloaded: u64,
    pub(super) refusals: u64,
    /// Outcomes that their borrowers did not wait for.
    pub(super) unknown: u64,
    pub(super) refused_closed: u64,
    pub(super) created: u64,
    pub(super) detached: u64,
    pub(super) connects: u64,
    pub(super) checks: u64,
    pub(super) keepalives: u64,
    pub(super) check_failures: u64,
}
