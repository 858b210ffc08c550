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

mod admin;
mod borrow;
mod deadlines;
mod gate;
mod output;
mod report;
mod slots;
mod upkeep;
mod waiters;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub use self::borrow::{Acquired, Lease, Returned, Taken};
pub use self::gate::ConnectFailure;
pub use self::output::{Notice, Task};
pub use self::report::{OldestLease, Refusal, TimeoutReport, WaitPhase};
pub use self::slots::{Phase, Purpose, SlotId};
pub use self::waiters::{Request, WaiterId};

use self::deadlines::Deadlines;
use self::gate::Gate;
use self::output::Notices;
use self::slots::Slots;
use self::waiters::Waiters;
use crate::config::Config;
use crate::event::{CloseReason, Event};
use crate::stats::{Counters, Stats};

/// The pool's books and rules; see the [module](self) for how to drive it.
///
/// `S` is the session, `E` the error of a connect, cheap to clone.
#[derive(Debug)]
pub struct Core<S, E> {
    config: Config,
    rng: fastrand::Rng,
    slots: Slots<S>,
    waiters: Waiters<Refusal<E>>,
    gate: Gate<E>,
    /// One deadline a slot, never later than what is due there, often earlier.
    slot_timers: Deadlines,
    queues: Queues<S>,
    running: Running,
    notices: Notices,
    observed: bool,
    counters: Counters,
    /// No idle session was verified later.
    freshest: Option<Instant>,
    /// Raised by `evict_all`; sessions opened before are not lent again.
    epoch: u32,
    closed: bool,
    drained: bool,
}

/// Work that waits for somebody to run it.
#[derive(Debug)]
struct Queues<S> {
    closes: VecDeque<(SlotId, CloseReason)>,
    /// Sessions that arrived after their slot was given up.
    orphans: VecDeque<S>,
    resets: VecDeque<SlotId>,
    checks: VecDeque<SlotId>,
    /// Idle sessions whose keepalive is due or that are suspect; they can still be lent.
    upkeep: VecDeque<SlotId>,
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
    /// An empty pool. `observed` asks for [`Notice::Event`]s.
    pub fn new(config: Config, observed: bool) -> Self {
        let rng = config.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        Self {
            config,
            rng,
            slots: Slots::default(),
            waiters: Waiters::default(),
            gate: Gate::default(),
            slot_timers: Deadlines::default(),
            queues: Queues {
                closes: VecDeque::new(),
                orphans: VecDeque::new(),
                resets: VecDeque::new(),
                checks: VecDeque::new(),
                upkeep: VecDeque::new(),
            },
            running: Running::default(),
            notices: Notices::default(),
            observed,
            counters: Counters::default(),
            freshest: None,
            epoch: 0,
            closed: false,
            drained: false,
        }
    }

    /// The configuration, with the size as [`resize`](Self::resize) set it.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// One consistent snapshot.
    pub fn stats(&self) -> Stats {
        Stats {
            max_size: self.config.max_size,
            connecting: self.slots.count(Phase::Connecting),
            idle: self.slots.count(Phase::Idle),
            reserved: self.slots.count(Phase::Reserved),
            checking: self.slots.count(Phase::Checking),
            lent: self.slots.count(Phase::Lent),
            resetting: self.slots.count(Phase::Resetting),
            closing: self.slots.count(Phase::Closing),
            waiting: self.waiters.waiting(),
            abandoned: self.gate.abandoned,
            closed: self.closed,
            counters: self.counters,
        }
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether the pool was closed and nothing of it is open any more.
    pub fn is_drained(&self) -> bool {
        self.closed && self.slots.in_use() == 0
    }

    /// The phase of every slot, recounted one by one: for tests of the books.
    pub fn phases(&self) -> impl Iterator<Item = (SlotId, Phase)> + '_ {
        self.slots.indices().map(|index| (self.slots.id(index), self.slots[index].phase))
    }

    /// Why a slot is [`Phase::Checking`], if it is: for tests of the books.
    pub fn purpose(&self, slot: SlotId) -> Option<Purpose> {
        let index = self.slots.get(slot)?;
        (self.slots[index].phase == Phase::Checking).then(|| self.slots[index].purpose)
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

    /// Tells those who wait for the end of a closed pool, once.
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
