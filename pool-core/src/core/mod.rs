//! The pool as a state machine: no clock, no thread, no lock, no waker.
//!
//! # Contract
//!
//! A [`Core`] has four kinds of methods:
//!
//! * *Inputs* tell it what happened: a borrower came ([`acquire`](Core::acquire)), left
//!   ([`cancel`](Core::cancel)) or returned its session ([`release`](Core::release)); a task
//!   ended ([`connected`](Core::connected), [`checked`](Core::checked), …); the owner wants
//!   something ([`resize`](Core::resize), [`close`](Core::close), …).
//! * [`handle_timeout`](Core::handle_timeout) tells it that time has passed, to be called at
//!   [`poll_timeout`](Core::poll_timeout) or any time before or after.
//! * [`poll_notice`](Core::poll_notice) gives what is to be done at once and cannot wait (wake a
//!   borrower, report an event). Call it until it is empty after each input.
//! * [`poll_task`](Core::poll_task) gives work that may take time. Take as many as can be run; a
//!   connect nobody wants any more is not given.
//!
//! Inputs carry the time. It should not go backwards; where it does, nothing breaks. Extra calls
//! are harmless. A result for a slot that is gone has no effect, except that the session it
//! carries is closed.

mod grow;
mod slot;
mod slots;
mod idle;
mod leases;
mod waiters;
mod acquire;
mod release;
mod limits;
mod gate;
mod upkeep;
mod closing;
mod hung;
mod output;
mod deadlines;
mod admin;
mod report;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::acquire::{Acquired, Lease, Taken};
pub use self::leases::LeaseId;
pub use self::output::{Notice, Task};
pub use self::release::Returned;
pub use self::report::{Health, OldestLease, Refusal, TimeoutReport};
pub use self::slot::{Phase, SlotId};
pub use self::waiters::{Request, WaiterId};
pub use crate::kinds::{ConnectFailure, Operation, Purpose, WaitPhase};

pub(crate) use self::admin::LoadOnTotal;
pub(crate) use self::deadlines::Deadlines;
use self::gate::Gate;
use self::hung::Hung;
use self::idle::Lendable;
use self::leases::Leases;
use self::limits::Limits;
use self::output::Notices;
use self::slots::Slots;
use self::waiters::Waiters;
use crate::config::Config;
use crate::event::{Event, EventError};
use crate::kinds::CloseReason;
use crate::stats::{Counters, Stats};

/// Makes one more handle to a session that carries several leases; called under the pool's lock.
pub type Share<S> = fn(&S) -> S;

/// The pool's books and rules; see the [module](self) for how to drive it.
///
/// `S` is the session, `E` the error of a connect, cheap to clone.
#[derive(Debug)]
pub struct Core<S, E> {
    /// One record for all keys of a keyed pool, until a key is resized.
    config: Arc<Config>,
    rng: fastrand::Rng,
    /// Makes one more handle to a shared session; without it a session has one owner at a time.
    share: Option<Share<S>>,
    slots: Slots<S>,
    lendable: Lendable,
    leases: Leases,
    limits: Limits,
    waiters: Waiters<Refusal<E>>,
    gate: Gate<E>,
    hung: Hung,
    /// One deadline a slot, never later than what is due there, often earlier.
    slot_timers: Deadlines,
    queues: Queues,
    running: Running,
    notices: Notices,
    observed: bool,
    /// Makes of a connect's error what an observer is shown.
    describe: Option<fn(&E) -> EventError>,
    counters: Counters,
    /// No session that can be lent was verified later.
    freshest: Option<Instant>,
    /// Sessions that leave with their last lease because the pool was made smaller.
    surplus: usize,
    /// Raised by `evict_all`; sessions opened before are not lent again.
    epoch: u32,
    closed: bool,
    drained: bool,
}

/// Work that waits for somebody to run it.
#[derive(Debug, Default)]
struct Queues {
    closes: VecDeque<(SlotId, CloseReason)>,
    resets: VecDeque<SlotId>,
    checks: VecDeque<SlotId>,
    /// Idle sessions whose keepalive is due or that are suspect; they can still be lent.
    upkeep: VecDeque<SlotId>,
}

impl Queues {
    #[inline]
    fn are_filled(&self) -> bool {
        let checks = self.checks.len() + self.upkeep.len();
        self.closes.len() + self.resets.len() + checks > 0
    }
}

/// Work that somebody runs now, of each kind with a limit.
#[derive(Debug, Default)]
struct Running {
    closes: usize,
    resets: usize,
    checks: usize,
    upkeep: usize,
}

impl<S, E: Clone> Core<S, E> {
    /// An empty pool whose sessions have one owner at a time, so one lease each. `observed` asks
    /// for [`Notice::Event`]s.
    pub fn new(config: impl Into<Arc<Config>>, observed: bool) -> Self {
        let mut config = config.into();
        if config.leases_per_session != 1 {
            Arc::make_mut(&mut config).leases_per_session = 1;
        }
        Self::build(config, None, observed)
    }

    /// An empty pool of sessions that carry up to `leases_per_session` leases at once; `share`
    /// makes one more handle to a session, and is called under the pool's lock.
    pub fn shared(config: impl Into<Arc<Config>>, share: Share<S>, observed: bool) -> Self {
        Self::build(config.into(), Some(share), observed)
    }

    fn build(config: Arc<Config>, share: Option<Share<S>>, observed: bool) -> Self {
        let rng = config.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let lendable = Lendable::new(config.leases_per_session);
        let limits = Limits::new(config.leases_per_session);
        Self {
            config,
            rng,
            share,
            slots: Slots::default(),
            lendable,
            leases: Leases::default(),
            limits,
            waiters: Waiters::default(),
            gate: Gate::default(),
            hung: Hung::default(),
            slot_timers: Deadlines::default(),
            queues: Queues::default(),
            running: Running::default(),
            notices: Notices::default(),
            observed,
            describe: None,
            counters: Counters::default(),
            freshest: None,
            surplus: 0,
            epoch: 0,
            closed: false,
            drained: false,
        }
    }

    /// Has events carry the errors of connects.
    pub fn describe_errors(&mut self, describe: fn(&E) -> EventError) {
        self.describe = Some(describe);
    }

    /// The configuration, with the size as [`resize`](Self::resize) set it.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// One consistent snapshot.
    pub fn stats(&self) -> Stats {
        let count = |phase| self.slots.count(phase);
        Stats {
            max_size: self.config.max_size,
            connecting: count(Phase::Connecting),
            idle: count(Phase::Idle),
            reserved: self.slots.reserved,
            checking: count(Phase::Checking),
            lent: self.slots.leases,
            in_use: count(Phase::Lent) + count(Phase::Reserved),
            resetting: count(Phase::Resetting),
            closing: count(Phase::Closing),
            waiting: self.waiters.waiting(),
            orphans: count(Phase::Orphan),
            hung_connects: self.hung.count(Operation::Connect),
            hung_checks: self.hung.count(Operation::Check),
            hung_closes: self.hung.count(Operation::Close),
            closed: self.closed,
            counters: self.counters,
        }
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether the pool was closed and nothing of it is open any more. What hangs beyond its
    /// deadline is not waited for.
    pub fn is_drained(&self) -> bool {
        self.closed && self.slots.in_use() + self.slots.count(Phase::Orphan) == 0
    }

    /// The phase of every slot, recounted one by one: for tests of the books.
    pub fn phases(&self) -> impl Iterator<Item = (SlotId, Phase)> + '_ {
        self.slots.indices().map(|index| (self.slots.id(index), self.slots[index].phase))
    }

    /// Why a slot is [`Phase::Checking`], if it is: for tests of the books.
    pub fn purpose(&self, slot: SlotId) -> Option<Purpose> {
        let index = self.slots.get(slot)?;
        let slot = &self.slots[index];
        (slot.phase == Phase::Checking || slot.asked).then_some(slot.purpose)
    }

    /// Everybody who has no outcome yet, in no order, with the slot that was promised if one was:
    /// for tests of the books.
    pub fn queue(&self) -> impl Iterator<Item = (WaiterId, Option<SlotId>)> + '_ {
        let promised = self.waiters.undecided();
        promised.map(|(id, slot)| (id, slot.map(|index| self.slots.id(index))))
    }

    fn emit(&mut self, event: impl FnOnce() -> Event) {
        if self.observed {
            self.notices.push_back(Notice::Event(event()));
        }
    }

    /// Tells those who wait for sessions to be opened that something happened.
    fn note_progress(&mut self) {
        if self.gate.warm > 0 {
            self.notices.push_back(Notice::Progress);
        }
    }

    /// Tells those who wait for the end of a closed pool, once.
    #[inline]
    fn note_drained(&mut self) {
        if self.closed && !self.drained && self.is_drained() {
            self.drained = true;
            self.notices.push_back(Notice::Drained);
        }
    }
}

/// A moment that much later, or never where the clock cannot say it.
fn later(now: Instant, by: Duration) -> Option<Instant> {
    now.checked_add(by)
}
