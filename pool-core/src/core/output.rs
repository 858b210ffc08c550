//! What the core wants done: notices at once, tasks as somebody finds time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::slot::{Phase, Slot, SlotId, Work};
use super::waiters::WaiterId;
use super::{Core, later};
use crate::event::Event;
use crate::kinds::{CloseReason, Operation, Purpose};

/// Something to be done at once, outside any lock; it cannot wait and cannot fail.
#[derive(Debug)]
pub enum Notice {
    /// The waiter should call [`Core::take`].
    Wake(WaiterId),
    /// For the observer.
    Event(Event),
    /// The operation on this slot is given up, or no longer wanted: whoever runs it should end it,
    /// if that is possible.
    Interrupt(SlotId),
    /// A session was opened, or could not be, while somebody waits for that.
    Progress,
    /// The closed pool has nothing open any more.
    Drained,
}

/// Work that may take time. Each task must be answered by the input named, also when it is late.
/// Where sessions are shared, the session in a task is one more handle, and is dropped before the
/// answer.
#[derive(Debug)]
pub enum Task<S> {
    /// Open a session: [`Core::connected`] or [`Core::connect_failed`].
    Connect {
        /// For the answer.
        slot: SlotId,
        /// When the core gives it up.
        deadline: Option<Instant>,
    },
    /// Ask for a sign of life: [`Core::checked`] or [`Core::lost`].
    Check {
        /// For the answer.
        slot: SlotId,
        /// Why.
        purpose: Purpose,
        /// What to ask.
        session: S,
        /// When the core gives it up.
        deadline: Option<Instant>,
    },
    /// Clean a session: [`Core::reset_done`] or [`Core::lost`].
    Reset {
        /// For the answer.
        slot: SlotId,
        /// What to clean.
        session: S,
        /// When the core gives it up.
        deadline: Option<Instant>,
    },
    /// Close a session: [`Core::closed`].
    Close {
        /// For the answer.
        slot: SlotId,
        /// What to close.
        session: S,
        /// Why.
        reason: CloseReason,
        /// When the core gives it up.
        deadline: Option<Instant>,
    },
}

impl<S> Task<S> {
    /// The slot that its answer names.
    pub fn slot(&self) -> SlotId {
        match self {
            Self::Connect { slot, .. }
            | Self::Check { slot, .. }
            | Self::Reset { slot, .. }
            | Self::Close { slot, .. } => *slot,
        }
    }
}

/// What nobody has asked for yet, in order. One at a time is the rule.
#[derive(Debug, Default)]
pub(super) struct Notices {
    first: Option<Notice>,
    more: VecDeque<Notice>,
}

impl Notices {
    #[inline]
    pub(super) fn push_back(&mut self, notice: Notice) {
        match self.first {
            None => self.first = Some(notice),
            Some(_) => self.more.push_back(notice),
        }
    }

    #[inline]
    fn pop_front(&mut self) -> Option<Notice> {
        let first = self.first.take()?;
        if !self.more.is_empty() {
            self.first = self.more.pop_front();
        }
        Some(first)
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

impl<S, E: Clone> Core<S, E> {
    /// The next thing to be done at once.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// Whether [`poll_notice`](Self::poll_notice) has something to give.
    #[inline]
    pub fn has_notice(&self) -> bool {
        !self.notices.is_empty()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest.
    #[inline]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = self.slot_timers.next();
        // Mostly that is all there is.
        let calm = self.waiters.waiting() == 0 && self.gate.not_before.is_none();
        if calm && self.limits.grows_at.is_none() && self.leases.watch.is_empty() {
            return due;
        }
        self.poll_all_timeouts(due)
    }

    #[inline(never)]
    fn poll_all_timeouts(&self, due: Option<Instant>) -> Option<Instant> {
        let backoff = self.gate.not_before;
        let backoff = backoff.filter(|_| self.connect_is_wanted());
        let others = [self.limits.grows_at, self.leases.watch.next(), backoff];
        others.into_iter().fold(earlier(due, self.waiters.next_deadline()), earlier)
    }

    /// Whether a newcomer has to wait, or somebody before it.
    #[inline]
    pub(crate) fn is_crowded(&mut self) -> bool {
        self.waiters.queued() > 0 || self.lendable.is_empty(&self.slots)
    }

    /// Whether [`poll_task`](Self::poll_task) has something to give.
    #[inline]
    pub fn has_task(&self, now: Instant) -> bool {
        (self.queues.are_filled()
            && (self.may_close() || self.may_reset() || self.may_check() || self.may_keep()))
            || (self.may_want_connects() && self.gate.allowance > 0 && self.connect_is_due(now))
    }

    /// The next piece of work, which starts now: first what somebody waits for.
    pub fn poll_task(&mut self, now: Instant) -> Option<Task<S>> {
        self.next_check(now)
            .or_else(|| self.next_connect(now))
            .or_else(|| self.next_reset(now))
            .or_else(|| self.next_close(now))
            .or_else(|| self.next_upkeep(now))
    }

    fn may_close(&self) -> bool {
        self.running.closes < self.config.max_closing
            && !self.queues.closes.is_empty()
            && !self.closes_are_hung()
    }

    fn may_reset(&self) -> bool {
        self.running.resets < self.config.max_maintaining && !self.queues.resets.is_empty()
    }

    fn may_check(&self) -> bool {
        self.running.checks < self.config.max_maintaining && !self.queues.checks.is_empty()
    }

    fn may_keep(&self) -> bool {
        self.running.upkeep < self.config.max_maintaining
            && !self.queues.upkeep.is_empty()
            && !self.checks_are_hung()
    }

    /// Whether no close is started because too many don't come back.
    pub(super) fn closes_are_hung(&self) -> bool {
        self.hung.count(Operation::Close) >= self.most_hung()
    }

    fn next_close(&mut self, now: Instant) -> Option<Task<S>> {
        while self.may_close() {
            let (slot, reason) = self.queues.closes.pop_front()?;
            let Some(index) = self.slots.get(slot) else { continue };
            let Some(session) = self.slots[index].session.take() else { continue };
            self.running.closes += 1;
            let deadline = self.begin_work(index, Work::Close, self.config.close_timeout, now);
            return Some(Task::Close { slot, session, reason, deadline });
        }
        None
    }

    fn next_connect(&mut self, now: Instant) -> Option<Task<S>> {
        if self.gate.allowance == 0 || !self.connect_is_due(now) {
            return None;
        }
        let (slot, deadline) = self.start_connect(now);
        Some(Task::Connect { slot, deadline })
    }

    fn next_reset(&mut self, now: Instant) -> Option<Task<S>> {
        while self.may_reset() {
            let slot = self.queues.resets.pop_front()?;
            let phase = |index: &u32| self.slots[*index].phase == Phase::Resetting;
            let Some(index) = self.slots.get(slot).filter(phase) else { continue };
            let Some(session) = self.borrow_session(index) else { continue };
            self.running.resets += 1;
            let deadline = self.begin_work(index, Work::Reset, self.config.reset_timeout, now);
            return Some(Task::Reset { slot, session, deadline });
        }
        None
    }

    fn next_check(&mut self, now: Instant) -> Option<Task<S>> {
        while self.may_check() {
            let slot = self.queues.checks.pop_front()?;
            let Some(index) = self.slots.get(slot) else { continue };
            let Slot { phase, asked, purpose, work, .. } = self.slots[index];
            let waits = phase == Phase::Checking || asked;
            if !waits || purpose != Purpose::Lend || work != Work::None {
                continue;
            }
            let Some(session) = self.borrow_session(index) else { continue };
            self.running.checks += 1;
            return Some(self.check(index, Purpose::Lend, session, now));
        }
        None
    }

    fn next_upkeep(&mut self, now: Instant) -> Option<Task<S>> {
        while self.may_keep() {
            let slot = self.queues.upkeep.pop_front()?;
            let Some(index) = self.slots.get(slot) else { continue };
            self.slots[index].queued = false;
            if self.slots[index].phase != Phase::Idle {
                self.forget_idle_timer(index);
                continue;
            }
            let purpose = if self.slots[index].suspect {
                Purpose::Sweep
            } else if self.keepalive_due(index).is_some_and(|at| at <= now) {
                Purpose::Keepalive
            } else if self.watch_due(index).is_some_and(|at| at <= now) {
                Purpose::Watch
            } else {
                self.arm(index);
                continue;
            };
            let Some(session) = self.borrow_session(index) else { continue };
            self.running.upkeep += 1;
            self.begin_check(index, purpose);
            return Some(self.check(index, purpose, session, now));
        }
        None
    }

    fn check(&mut self, index: u32, purpose: Purpose, session: S, now: Instant) -> Task<S> {
        match purpose {
            Purpose::Keepalive => self.counters.keepalives += 1,
            Purpose::Watch => {}
            _ => self.counters.checks += 1,
        }
        let deadline = self.begin_work(index, Work::Check, self.config.check_timeout, now);
        Task::Check { slot: self.slots.id(index), purpose, session, deadline }
    }

    /// What a task gets: the session itself, or one more handle to it.
    fn borrow_session(&mut self, index: u32) -> Option<S> {
        let session = &mut self.slots[index].session;
        match self.share {
            None => session.take(),
            Some(share) => session.as_ref().map(share),
        }
    }

    /// Its time runs from now on.
    fn begin_work(
        &mut self,
        index: u32,
        work: Work,
        limit: Duration,
        now: Instant,
    ) -> Option<Instant> {
        let deadline = later(now, limit);
        let slot = &mut self.slots[index];
        (slot.work, slot.deadline) = (work, deadline);
        self.arm(index);
        deadline
    }
}

#[inline]
fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
