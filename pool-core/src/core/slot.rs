//! One place for a session, and all that is known of the session in it.

use std::time::{Duration, Instant};

use crate::kinds::{CloseReason, Purpose};

/// Names one slot for as long as one session lives in it. Never reused with the same generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlotId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl SlotId {
    /// A number that no other session of this pool has, for logs and events.
    pub fn number(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }
}

/// Where a slot is. The pool's counts of sessions are the numbers of slots in each phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Free.
    Vacant,
    /// A connect is under way.
    Connecting,
    /// Can be lent; nobody has it.
    Idle,
    /// No lease is out, but at least one is promised.
    Reserved,
    /// Being asked for a sign of life while nobody has it; cannot be lent until it answers.
    Checking,
    /// At least one lease is out.
    Lent,
    /// Being cleaned of what its borrowers left.
    Resetting,
    /// Being closed; counts against the limit until that is done or given up.
    Closing,
    /// Being closed, and counts no more: it arrived after its slot had been given up.
    Orphan,
}

pub(super) const PHASES: usize = 9;

/// What a task does with a slot's session now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    None,
    Check,
    Reset,
    Close,
}

#[derive(Debug)]
pub(super) struct Slot<S> {
    pub(super) generation: u32,
    pub(super) phase: Phase,
    pub(super) purpose: Purpose,
    pub(super) work: Work,
    /// Opened before the last `evict_all` when below the core's.
    pub(super) epoch: u32,
    /// The part of the time limits that this session gets, drawn at birth.
    pub(super) portion: f32,
    pub(super) suspect: bool,
    /// Close to its end, so its replacement may be opened already.
    pub(super) aging: bool,
    /// In the upkeep queue.
    pub(super) queued: bool,
    /// Somebody used it without finding it broken, it answered a check, or lasted until a look.
    pub(super) proven: bool,
    /// Used since it was opened or last answered a check.
    pub(super) used: bool,
    /// A lease left something behind that a reset has to remove.
    pub(super) dirty: bool,
    /// Past its lifetime and lent all the same, until its successor is open.
    pub(super) overdue: bool,
    /// Being asked for a sign of life while leases are out.
    pub(super) asked: bool,
    /// Its operation was told to end.
    pub(super) interrupted: bool,
    /// Its timer was set for the next tick in which it may leave, with no look at its upkeep.
    pub(super) leaving: bool,
    /// Takes no further lease, and closes with its last one.
    pub(super) retiring: Option<CloseReason>,
    /// Leases out.
    pub(super) leases: u32,
    /// Leases promised to borrowers that have not collected them yet.
    pub(super) reserved: u32,
    /// The most leases at once, as far as is known of its peer.
    pub(super) limit: u32,
    /// How many borrowers its check may serve, and how many of them it probably will.
    pub(super) may_serve: u32,
    pub(super) promised: u32,
    pub(super) links: Links,
    /// How often it was lent.
    pub(super) uses: u64,
    /// Where the core owns it: idle, reserved, queued for a task, or shared.
    pub(super) session: Option<S>,
    /// Last use; start of the connect while there is no session.
    pub(super) since: Instant,
    /// Last use or answered check.
    pub(super) verified: Instant,
    /// When it was last looked at.
    pub(super) watched: Instant,
    pub(super) born: Instant,
    pub(super) expires_at: Option<Instant>,
    /// When the running operation is given up.
    pub(super) deadline: Option<Instant>,
}

pub(super) const NONE: u32 = u32::MAX;

/// A slot's place in its list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Links {
    /// The list that it is in, if it is in one.
    pub(super) list: u32,
    pub(super) prev: u32,
    pub(super) next: u32,
}

impl Default for Links {
    fn default() -> Self {
        Self { list: NONE, prev: NONE, next: NONE }
    }
}

impl<S> Slot<S> {
    pub(super) fn vacant(now: Instant) -> Self {
        Self {
            generation: 0,
            phase: Phase::Vacant,
            purpose: Purpose::Lend,
            work: Work::None,
            epoch: 0,
            portion: 1.0,
            suspect: false,
            aging: false,
            queued: false,
            proven: false,
            used: false,
            dirty: false,
            overdue: false,
            asked: false,
            interrupted: false,
            leaving: false,
            retiring: None,
            leases: 0,
            reserved: 0,
            limit: 1,
            may_serve: 0,
            promised: 0,
            links: Links::default(),
            uses: 0,
            session: None,
            since: now,
            verified: now,
            watched: now,
            born: now,
            expires_at: None,
            deadline: None,
        }
    }

    /// Leases out and promised.
    #[inline]
    pub(super) fn load(&self) -> u32 {
        self.leases + self.reserved
    }

    /// Whether one more lease may be added, as far as its phase and its limit go.
    #[inline]
    pub(super) fn is_lendable(&self) -> bool {
        let free = matches!(self.phase, Phase::Idle | Phase::Reserved | Phase::Lent);
        free && self.load() < self.limit && self.retiring.is_none() && !self.asked
    }

    /// A time limit as it applies to this session: never longer, and whole where the portion is.
    pub(super) fn shortened(&self, limit: Duration) -> Duration {
        // The part that goes is at most half of it, so not even `Duration::MAX` overflows.
        limit.saturating_sub(limit.mul_f64((1.0 - f64::from(self.portion)).clamp(0.0, 0.5)))
    }
}
