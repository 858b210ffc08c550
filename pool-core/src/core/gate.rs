//! When a session may be opened: tickets, backoff, and the breaker.

use std::time::{Duration, Instant};

use super::report::Refusal;
use super::slots::{Phase, SlotId};
use super::{Core, Notice, later};
use crate::backend::ErrorKind;
use crate::event::{CloseReason, Event};

/// The longest delay, which every clock can say: 100 years.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Why the last connect brought no session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectFailure<E> {
    /// The backend said why.
    Error(E),
    /// It took longer than `connect_timeout`.
    TimedOut,
    /// The backend panicked, or its task was dropped.
    Panicked,
}

#[derive(Debug)]
pub(super) struct Gate<E> {
    /// Failures since the last success.
    failures: u32,
    pub(super) not_before: Option<Instant>,
    /// The error that opened the breaker, and until when newcomers get it at once.
    breaker: Option<(Instant, E)>,
    /// A connect has succeeded since the last permanent error, so more than one may run.
    proven: bool,
    /// After a permanent error nothing is opened but for a borrower.
    demand_only: bool,
    /// Operations given up that have not come back.
    pub(super) abandoned: usize,
    pub(super) last_failure: Option<ConnectFailure<E>>,
    /// How many more connects may start, by the leave of a keyed pool; a pool of its own has no
    /// such limit.
    pub(super) allowance: usize,
    /// A connect is due that the allowance forbids.
    pub(super) starved: bool,
    /// What becomes idle is given up, so that another key can have its place.
    pub(super) yielding: bool,
}

impl<E> Default for Gate<E> {
    fn default() -> Self {
        Self {
            failures: 0,
            not_before: None,
            breaker: None,
            proven: false,
            demand_only: false,
            abandoned: 0,
            last_failure: None,
            allowance: usize::MAX,
            starved: false,
            yielding: false,
        }
    }
}

impl<S, E: Clone> Core<S, E> {
    /// A connect brought a session.
    pub fn connected(&mut self, id: SlotId, session: S, now: Instant) {
        let Some(index) = self.slots.get(id).filter(|&i| self.slots[i].phase == Phase::Connecting)
        else {
            self.forget_abandoned();
            return self.adopt_orphan(session);
        };
        self.counters.created += 1;
        let took = now.saturating_duration_since(self.slots[index].since);
        self.emit(|| Event::Connected { took });
        self.gate.failures = 0;
        self.gate.not_before = None;
        self.gate.breaker = None;
        self.gate.proven = true;
        self.gate.demand_only = false;
        self.gate.last_failure = None;
        let slot = &mut self.slots[index];
        (slot.born, slot.since, slot.verified) = (now, now, now);
        self.settle(index, session, now);
        self.dispatch(now);
    }

    /// A connect failed.
    pub fn connect_failed(
        &mut self,
        id: SlotId,
        kind: ErrorKind,
        failure: ConnectFailure<E>,
        now: Instant,
    ) {
        let Some(index) = self.slots.get(id).filter(|&i| self.slots[i].phase == Phase::Connecting)
        else {
            return self.forget_abandoned();
        };
        self.free(index);
        self.counters.connect_failures += 1;
        self.emit(|| Event::ConnectFailed { kind });
        self.note_failure(kind, failure, now);
        self.dispatch(now);
    }

    /// A connect outlived its timeout: its slot is free, its task may still run.
    pub(super) fn abandon_connect(&mut self, index: u32, now: Instant) {
        self.free(index);
        self.gate.abandoned += 1;
        self.counters.connect_failures += 1;
        self.emit(|| Event::ConnectFailed { kind: ErrorKind::Transient });
        self.note_failure(ErrorKind::Transient, ConnectFailure::TimedOut, now);
    }

    /// An operation that was given up has come to its end.
    pub(super) fn forget_abandoned(&mut self) {
        self.gate.abandoned = self.gate.abandoned.saturating_sub(1);
    }

    /// A session that came back after its slot was given up can only be closed. It counts as
    /// abandoned until that is done.
    pub(super) fn adopt_orphan(&mut self, session: S) {
        self.gate.abandoned += 1;
        self.counters.created += 1;
        self.counters.closed[CloseReason::Interrupted as usize] += 1;
        self.emit(|| Event::Added);
        self.emit(|| Event::Closed { reason: CloseReason::Interrupted, age: Duration::ZERO });
        self.queues.orphans.push_back(session);
    }

    /// What a newcomer is told at once: the permanent error, while nothing is open that could
    /// still serve it.
    pub(super) fn breaker_error(&self, now: Instant) -> Option<E> {
        let (until, error) = self.gate.breaker.as_ref()?;
        (now < *until && self.slots.in_use() == self.slots.count(Phase::Closing))
            .then(|| error.clone())
    }

    /// Whether a connect is wanted and allowed but for the backoff.
    #[inline]
    pub(super) fn connect_is_wanted(&self) -> bool {
        let at_once = if self.gate.proven { self.config.max_connecting } else { 1 };
        self.slots.in_use() < self.config.max_size
            && !self.closed
            && self.connects_wanted() > 0
            && self.slots.count(Phase::Connecting) < at_once
            && self.gate.abandoned < self.most_abandoned()
    }

    #[inline]
    pub(super) fn connect_is_due(&self, now: Instant) -> bool {
        self.connect_is_wanted() && self.gate.not_before.is_none_or(|at| at <= now)
    }

    /// How many operations may be left running after they were given up.
    fn most_abandoned(&self) -> usize {
        2 * self.config.max_connecting + self.config.max_maintaining
    }

    /// The credentials may have changed: forgets what failed before.
    pub(super) fn gate_reset(&mut self) {
        let Gate { abandoned, allowance, starved, yielding, .. } = self.gate;
        self.gate = Gate { abandoned, allowance, starved, yielding, ..Gate::default() };
    }

    fn connects_wanted(&self) -> usize {
        if self.waiters.queued() == 0 && self.config.min_idle == 0 {
            return 0;
        }
        let connecting = self.slots.count(Phase::Connecting);
        let resetting = self.slots.count(Phase::Resetting);
        let supply = connecting + resetting + self.slots.promised();
        let demand = self.waiters.queued().saturating_sub(supply);
        if self.gate.demand_only {
            return demand;
        }
        let idle = self.slots.count(Phase::Idle) - self.slots.aging_idle();
        let spare = idle + self.slots.count(Phase::Checking);
        let warm = self.config.min_idle.saturating_sub(spare + resetting + connecting);
        demand.max(warm)
    }

    /// Takes a slot for a new session.
    pub(super) fn open(&mut self, now: Instant) -> u32 {
        self.slots.reserve(self.config.max_size);
        self.slot_timers.reserve(self.config.max_size);
        let share = 1.0 - self.config.jitter * self.rng.f64();
        self.slots.open(Phase::Connecting, now, self.epoch, share as f32)
    }

    /// Takes a slot for a connect that starts now.
    pub(super) fn start_connect(&mut self, now: Instant) -> (SlotId, Option<Instant>) {
        let index = self.open(now);
        let deadline = later(now, self.config.connect_timeout);
        self.slots[index].deadline = deadline;
        self.arm(index);
        self.counters.connects += 1;
        if self.gate.allowance != usize::MAX {
            self.gate.allowance -= 1;
        }
        (self.slots.id(index), deadline)
    }

    fn note_failure(&mut self, kind: ErrorKind, failure: ConnectFailure<E>, now: Instant) {
        let steps = if kind == ErrorKind::Busy && self.gate.failures == 0 { 2 } else { 1 };
        self.gate.failures = self.gate.failures.saturating_add(steps);
        let backoff = self.backoff(self.config.backoff_base, self.config.backoff_max);
        // A connect that was under way when a longer delay began does not shorten it.
        self.gate.not_before = self.gate.not_before.max(later(now, backoff));
        if let (ErrorKind::Permanent, ConnectFailure::Error(error)) = (kind, &failure) {
            let unit = self.config.breaker_delay;
            let delay = self.backoff(unit, unit.saturating_mul(64)).max(backoff);
            let until = later(now, delay);
            self.gate.not_before = self.gate.not_before.max(until);
            self.gate.breaker = until.map(|until| (until, error.clone()));
            self.gate.proven = false;
            self.gate.demand_only = true;
            while let Some(waiter) = self.waiters.front() {
                let id = self.waiters.finish(waiter, Refusal::Failed(error.clone()));
                self.counters.failed += 1;
                self.notices.push_back(Notice::Wake(id));
            }
        }
        self.gate.last_failure = Some(failure);
    }

    /// Between half and all of `unit * 2^failures`, at most `cap`.
    fn backoff(&mut self, unit: Duration, cap: Duration) -> Duration {
        let factor = 1_u32.checked_shl(self.gate.failures.min(31)).unwrap_or(u32::MAX);
        let longest = unit.saturating_mul(factor).min(cap).min(LONGEST);
        longest.saturating_sub(longest.mul_f64(self.rng.f64() / 2.0))
    }
}
