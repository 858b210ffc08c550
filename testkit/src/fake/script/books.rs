//! What can be seen of a core between two steps, and what the model knows of each session.

use std::time::{Duration, Instant};

use pool_core::Stats;
use pool_core::core::{Core, LeaseId, Phase, Purpose, Request, SlotId, WaiterId};

use super::Setup;
use crate::fake::{FakeError, FakeSession};

/// All that can be seen of a core.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Book {
    pub(super) stats: Stats,
    pub(super) slots: Vec<(SlotId, Phase, Option<Purpose>)>,
    pub(super) queue: Vec<(WaiterId, Option<SlotId>)>,
    pub(super) due: Option<Instant>,
}

impl Book {
    pub(super) fn read(core: &Core<FakeSession, FakeError>) -> Self {
        let taken = core.phases().filter(|&(_, phase)| phase != Phase::Vacant);
        Self {
            stats: core.stats(),
            slots: taken.map(|(slot, phase)| (slot, phase, core.purpose(slot))).collect(),
            queue: core.queue().collect(),
            due: core.poll_timeout(),
        }
    }

    pub(super) fn phase(&self, slot: SlotId) -> Option<Phase> {
        self.slots.iter().find(|entry| entry.0 == slot).map(|entry| entry.1)
    }

    pub(super) fn in_phase(&self, phase: Phase) -> impl Iterator<Item = SlotId> + '_ {
        self.slots.iter().filter(move |entry| entry.1 == phase).map(|entry| entry.0)
    }

    pub(super) fn queued(&self) -> usize {
        self.queue.iter().filter(|entry| entry.1.is_none()).count()
    }

    /// The place of a waiter without an outcome.
    pub(super) fn place(&self, id: WaiterId) -> Option<Option<SlotId>> {
        self.queue.iter().find(|entry| entry.0 == id).map(|entry| entry.1)
    }

    pub(super) fn lend_checks(&self) -> usize {
        self.slots.iter().filter(|entry| entry.2 == Some(Purpose::Lend)).count()
    }

    /// Slots that hold a session, be it with the core or with a task.
    pub(super) fn live(&self) -> usize {
        self.stats.open() - self.stats.closing
    }
}

/// What the model knows of a session.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) born: Instant,
    /// When its last borrower returned it.
    pub(super) used: Instant,
    /// Last use or answered check.
    pub(super) verified: Instant,
    /// A check was answered since the last use.
    pub(super) checked: bool,
    /// A sibling failed since it was verified.
    pub(super) suspect: bool,
    /// The core may take it for suspect.
    pub(super) doubtful: bool,
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
            verified: now,
            checked: false,
            suspect: false,
            doubtful: false,
            evicted: false,
            dead: None,
        }
    }

    pub(super) fn used(&mut self, now: Instant) {
        (self.used, self.verified) = (now, now);
        (self.checked, self.suspect, self.doubtful) = (false, false, false);
    }

    pub(super) fn answered(&mut self, now: Instant) {
        self.verified = now;
        (self.checked, self.suspect, self.doubtful) = (true, false, false);
    }

    pub(super) fn silent(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.verified)
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.born)
    }

    /// Whether it can be lent as it is, whatever its jitter.
    pub(super) fn is_fresh(&self, setup: &Setup, now: Instant) -> bool {
        let young = setup.max_lifetime.is_none_or(|limit| self.age(now) < least(setup, limit));
        let known = !self.suspect && !self.doubtful && !self.evicted && self.dead.is_none();
        young && known && self.silent(now) <= setup.check_after_idle
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

/// A borrower that has a session.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) id: LeaseId,
    pub(super) slot: SlotId,
    pub(super) session: FakeSession,
    pub(super) ticket: u64,
    pub(super) request: Request,
    pub(super) arrival: u64,
}

/// A task that somebody runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) slot: SlotId,
    pub(super) work: Work,
    pub(super) session: Option<FakeSession>,
    pub(super) deadline: Option<Instant>,
    /// The core no longer waits for it.
    pub(super) given_up: bool,
    /// Started before the last `evict_all`.
    pub(super) evicted: bool,
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
    /// The phase of its slot for as long as the core waits for it.
    pub(super) fn phase(self) -> Phase {
        match self {
            Self::Connect => Phase::Connecting,
            Self::Check(_) => Phase::Checking,
            Self::Reset => Phase::Resetting,
            Self::Close => Phase::Closing,
        }
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
    /// Outcomes that their borrowers did not wait for.
    pub(super) unknown: u64,
    pub(super) refused_closed: u64,
    pub(super) created: u64,
    pub(super) detached: u64,
    pub(super) connects: u64,
    pub(super) checks: u64,
    pub(super) keepalives: u64,
}
