//! When a session may be opened: demand, backoff, and the breaker.

use std::time::{Duration, Instant};

use super::report::Refusal;
use super::slot::{Phase, SlotId};
use super::{Core, Notice, later};
use crate::backend::ErrorKind;
use crate::event::Event;
use crate::kinds::{CloseReason, ConnectFailure, Operation};

/// The longest delay, which every clock can say: 100 years.
const LONGEST: Duration = Duration::from_secs(3_153_600_000);

/// A session that breaks this soon after it was opened was never any good.
const INFANCY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Gate<E> {
    /// Failures since a session was last found to be good.
    failures: u32,
    /// Permanent errors since a session was last found to be good.
    permanent: u32,
    pub(super) not_before: Option<Instant>,
    /// The error that newcomers get at once, and until when.
    breaker: Option<(Instant, E)>,
    /// A connect has succeeded since the last permanent error, so more than one may run.
    proven: bool,
    /// After a permanent error nothing is opened but for a borrower, or for who waits for a warm
    /// pool.
    demand_only: bool,
    pub(super) last_failure: Option<ConnectFailure<E>>,
    /// Somebody who never waits found nothing that could be lent.
    pub(super) asked_in_vain: bool,
    /// How many sessions somebody wants to be open, and waits for.
    pub(super) warm: usize,
    /// How many more connects may start, by the leave of a keyed pool; a pool of its own has no
    /// such limit.
    pub(super) allowance: usize,
    /// No place is left under the total of a keyed pool.
    pub(super) total_is_full: bool,
}

impl<E> Default for Gate<E> {
    fn default() -> Self {
        Self {
            failures: 0,
            permanent: 0,
            not_before: None,
            breaker: None,
            proven: false,
            demand_only: false,
            last_failure: None,
            asked_in_vain: false,
            warm: 0,
            allowance: usize::MAX,
            total_is_full: false,
        }
    }
}

impl<E> Gate<E> {
    /// A session was used, or gave a sign of life.
    pub(super) fn note_good_session(&mut self) {
        (self.failures, self.permanent) = (0, 0);
    }

    /// Failures since a session was last found to be good.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }
}

impl<S, E: Clone> Core<S, E> {
    /// A connect brought a session.
    pub fn connected(&mut self, id: SlotId, session: S, now: Instant) {
        let Some(index) = self.slots.get(id).filter(|&i| self.slots[i].phase == Phase::Connecting)
        else {
            self.hung.remove(id);
            return self.adopt_orphan(session, now);
        };
        self.counters.created += 1;
        let took = now.saturating_duration_since(self.slots[index].since);
        self.emit(|| Event::Connected { session: id.number(), took });
        self.gate.not_before = None;
        self.gate.breaker = None;
        self.gate.proven = true;
        self.gate.demand_only = false;
        self.gate.last_failure = None;
        self.slots[index].deadline = None;
        self.slot_timers.clear(index);
        self.give_birth(index, session, now);
        self.succeed_oldest(now);
        self.note_progress();
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
            self.hung.remove(id);
            return;
        };
        self.free(index);
        self.counters.connect_failures += 1;
        self.note_failure(kind, failure, now);
        self.dispatch(now);
    }

    /// A connect outlived its timeout: its slot is free, its task may still run.
    pub(super) fn abandon_connect(&mut self, index: u32, now: Instant) {
        self.notices.push_back(Notice::Interrupt(self.slots.id(index)));
        self.give_up(index, Operation::Connect, now);
        self.counters.connect_failures += 1;
        self.note_failure(ErrorKind::Transient, ConnectFailure::TimedOut, now);
    }

    /// Nobody wants the sessions any more that are being opened.
    pub(super) fn abandon_connects(&mut self, now: Instant) {
        for index in self.slots.indices() {
            if self.slots[index].phase == Phase::Connecting {
                self.notices.push_back(Notice::Interrupt(self.slots.id(index)));
                self.give_up(index, Operation::Connect, now);
            }
        }
    }

    /// A session that breaks before anybody could use it: opening it has failed after all.
    pub(super) fn note_born_broken(&mut self, index: u32, now: Instant) {
        let slot = &self.slots[index];
        let age = now.saturating_duration_since(slot.born);
        if !slot.proven && age <= self.config.check_after_idle.clamp(INFANCY, INFANCY * 10) {
            self.slots[index].proven = true;
            self.note_failure(ErrorKind::Transient, ConnectFailure::BrokenAtBirth, now);
        }
    }

    /// What a newcomer is told at once: the error that will not go away, while nothing is open
    /// that could still serve it.
    #[inline]
    pub(super) fn breaker_error(&self, now: Instant) -> Option<E> {
        let (until, error) = self.gate.breaker.as_ref()?;
        (now < *until && self.slots.in_use() == self.slots.count(Phase::Closing))
            .then(|| error.clone())
    }

    /// The error that will not go away by itself, if the last connect failed with such a one.
    pub fn hopeless(&self, now: Instant) -> Option<E> {
        self.gate.breaker.as_ref().filter(|(until, _)| now < *until).map(|(_, error)| error.clone())
    }

    /// Whether a connect is wanted and allowed but for the backoff.
    #[inline]
    pub(super) fn connect_is_wanted(&self) -> bool {
        let at_once = if self.gate.proven { self.config.max_connecting } else { 1 };
        self.slots.in_use() < self.config.max_size
            && !self.closed
            && self.connects_wanted() > 0
            && self.slots.count(Phase::Connecting) < at_once
            && !self.connects_are_hung()
    }

    #[inline]
    pub(super) fn connect_is_due(&self, now: Instant) -> bool {
        self.connect_is_wanted() && self.gate.not_before.is_none_or(|at| at <= now)
    }

    /// Whether no connect is started because too many don't come back.
    pub(super) fn connects_are_hung(&self) -> bool {
        self.hung.count(Operation::Connect) >= self.most_hung()
    }

    /// How many operations of a kind may hang after they were given up.
    pub(super) fn most_hung(&self) -> usize {
        2 * self.config.max_connecting + self.config.max_maintaining
    }

    /// The credentials may have changed: forgets what failed before.
    pub(super) fn gate_reset(&mut self) {
        let Gate { allowance, warm, .. } = self.gate;
        self.gate = Gate { allowance, warm, ..Gate::default() };
    }

    /// Whether anything at all could make a connect wanted.
    #[inline]
    pub(super) fn may_want_connects(&self) -> bool {
        let kept = self.config.min_idle + self.gate.warm + usize::from(self.gate.asked_in_vain);
        self.waiters.queued() + self.slots.overdue + kept > 0
    }

    /// Sessions that should be on their way, beyond those that are.
    fn connects_wanted(&self) -> usize {
        if !self.may_want_connects() {
            return 0;
        }
        let queued = self.waiters.queued();
        let each = (self.limits.learned as usize).max(1);
        let connecting = self.slots.count(Phase::Connecting);
        let resetting = self.slots.count(Phase::Resetting);
        let supply = (connecting + resetting) * each + self.slots.promised();
        let demand = queued.saturating_sub(supply).div_ceil(each);
        let warming = self.gate.warm.saturating_sub(self.slots.staying());
        let vain = usize::from(self.gate.asked_in_vain).saturating_sub(connecting);
        let asked_for = demand.max(warming).max(vain);
        if self.gate.demand_only {
            return asked_for;
        }
        let idle = self.slots.count(Phase::Idle) - self.slots.aging_idle();
        let spare = idle + self.slots.count(Phase::Checking);
        let kept = self.config.min_idle.saturating_sub(spare + resetting + connecting);
        let succeeding = self.slots.overdue.saturating_sub(connecting);
        asked_for.max(kept).max(succeeding)
    }

    /// Takes a slot for a new session.
    pub(super) fn open(&mut self, now: Instant) -> u32 {
        self.slots.reserve(self.config.max_size);
        self.slot_timers.reserve(self.config.max_size);
        let portion = 1.0 - self.config.jitter * self.rng.f64();
        self.slots.open(Phase::Connecting, now, self.epoch, portion as f32)
    }

    /// Takes a slot for a connect that starts now.
    pub(super) fn start_connect(&mut self, now: Instant) -> (SlotId, Option<Instant>) {
        let index = self.open(now);
        let deadline = later(now, self.config.connect_timeout);
        self.slots[index].deadline = deadline;
        self.arm(index);
        self.counters.connects += 1;
        self.gate.asked_in_vain = false;
        if self.gate.allowance != usize::MAX {
            self.gate.allowance -= 1;
        }
        (self.slots.id(index), deadline)
    }

    /// One session that is past its lifetime, and lent all the same, has a successor now.
    fn succeed_oldest(&mut self, now: Instant) {
        if self.slots.overdue == 0 {
            return;
        }
        let overdue = |index: &u32| {
            let slot = &self.slots[*index];
            slot.overdue && slot.retiring.is_none()
        };
        let oldest =
            self.slots.indices().filter(overdue).min_by_key(|&index| self.slots[index].born);
        if let Some(index) = oldest {
            self.retire(index, CloseReason::Lifetime, now);
        }
    }

    fn note_failure(&mut self, kind: ErrorKind, failure: ConnectFailure<E>, now: Instant) {
        if self.observed {
            let error = match (&failure, self.describe) {
                (ConnectFailure::Error(error), Some(describe)) => Some(describe(error)),
                _ => None,
            };
            let reason = failure.without_error();
            self.emit(|| Event::ConnectFailed { kind, reason, error });
        }
        let steps = if kind == ErrorKind::Busy && self.gate.failures == 0 { 2 } else { 1 };
        self.gate.failures = self.gate.failures.saturating_add(steps);
        let (base, max) = (self.config.backoff_base, self.config.backoff_max);
        let backoff = self.backoff_after(self.gate.failures, base, max);
        // A connect that was under way when a longer delay began does not shorten it.
        self.gate.not_before = self.gate.not_before.max(later(now, backoff));
        let permanent = kind == ErrorKind::Permanent;
        let nobody_there = kind == ErrorKind::Unreachable && self.counters.created == 0;
        if let ConnectFailure::Error(error) = &failure
            && (permanent || (nobody_there && self.config.fail_fast))
        {
            let mut until = self.gate.not_before;
            if permanent {
                // What failed for other reasons before says nothing about this one.
                self.gate.permanent = self.gate.permanent.saturating_add(1);
                let unit = self.config.breaker_delay;
                let cap = unit.saturating_mul(64);
                let delay = self.backoff_after(self.gate.permanent, unit, cap).max(backoff);
                until = later(now, delay);
                self.gate.not_before = self.gate.not_before.max(until);
                self.gate.proven = false;
                self.gate.demand_only = true;
            }
            self.gate.breaker = until.map(|until| (until, error.clone()));
            let error = error.clone();
            while let Some(waiter) = self.waiters.front() {
                self.counters.failed += 1;
                self.end_wait(waiter, Refusal::Failed(error.clone()), now);
            }
        }
        self.gate.last_failure = Some(failure);
        self.note_progress();
    }

    /// Between half and all of `unit * 2^failures`, at most `cap`.
    fn backoff_after(&mut self, failures: u32, unit: Duration, cap: Duration) -> Duration {
        let factor = 1_u32.checked_shl(failures.min(31)).unwrap_or(u32::MAX);
        let longest = unit.saturating_mul(factor).min(cap).min(LONGEST);
        longest.saturating_sub(longest.mul_f64(self.rng.f64() / 2.0))
    }
}
