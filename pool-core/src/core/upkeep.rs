//! What happens to sessions nobody uses: checks, keepalives, expiry, resets, closing.

use std::time::{Duration, Instant};

use super::slots::{Phase, Purpose, SlotId};
use super::{Core, later};
use crate::event::{CloseReason, Event};

/// How far apart the ticks are in which sessions that expired together are retired.
const TICK: Duration = Duration::from_millis(100);

impl<S, E: Clone> Core<S, E> {
    /// The peer of a session answered a check, a keepalive or a sweep, or did not.
    pub fn checked(&mut self, id: SlotId, session: S, alive: bool, now: Instant) {
        let Some(index) = self.slots.get(id) else {
            self.forget_abandoned();
            return self.adopt_late(session);
        };
        match self.slots[index].phase {
            Phase::Checking => {}
            Phase::Closing => return self.resume_close(index, session),
            _ => return self.adopt_orphan(session),
        }
        let purpose = self.slots[index].purpose;
        self.count_done(purpose);
        if alive {
            self.slots[index].verified = now;
            self.settle(index, session, now);
        } else {
            self.slots[index].session = Some(session);
            self.fail_check(index, purpose, now);
        }
        self.dispatch(now);
    }

    /// The task of a check, a reset or a keepalive ended without giving its session back: it
    /// panicked or was dropped. The session is gone.
    pub fn lost(&mut self, id: SlotId, now: Instant) {
        let Some(index) = self.slots.get(id) else { return self.forget_abandoned() };
        if self.slots[index].session.is_some() {
            return;
        }
        match self.slots[index].phase {
            Phase::Checking => self.count_done(self.slots[index].purpose),
            Phase::Resetting => self.running.resets -= 1,
            Phase::Closing => self.running.closes -= usize::from(self.slots[index].close_runs),
            _ => return,
        }
        let reason = match self.slots[index].phase {
            Phase::Closing => None,
            _ => Some(CloseReason::Panicked),
        };
        self.count_closed(index, reason, now);
        self.free(index);
        self.dispatch(now);
    }

    /// A reset ended.
    pub fn reset_done(&mut self, id: SlotId, session: S, clean: bool, now: Instant) {
        let Some(index) = self.slots.get(id) else {
            self.forget_abandoned();
            return self.adopt_late(session);
        };
        match self.slots[index].phase {
            Phase::Resetting => {}
            Phase::Closing => return self.resume_close(index, session),
            _ => return self.adopt_orphan(session),
        }
        self.running.resets -= 1;
        if clean {
            (self.slots[index].since, self.slots[index].verified) = (now, now);
            self.settle(index, session, now);
        } else {
            self.slots[index].session = Some(session);
            self.begin_close(index, CloseReason::ResetFailed, now);
        }
        self.dispatch(now);
    }

    /// A session is closed; `None` for one that had no slot any more.
    pub fn closed(&mut self, id: Option<SlotId>, now: Instant) {
        let slot = id.and_then(|id| self.slots.get(id));
        match slot {
            Some(index) if self.slots[index].close_runs => {
                self.running.closes -= 1;
                self.free(index);
                self.dispatch(now);
            }
            Some(_) => {}
            None => {
                self.running.closes = self.running.closes.saturating_sub(usize::from(id.is_none()));
                self.forget_abandoned();
            }
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(waiter) = self.waiters.pop_due(now) {
            self.counters.timed_out += 1;
            let report = self.timeout_report(self.waiters[waiter].arrived, now);
            let refusal = super::Refusal::TimedOut(report);
            let id = self.waiters.finish(waiter, refusal);
            self.notices.push_back(super::Notice::Wake(id));
        }
        if self.gate.not_before.is_some_and(|at| at <= now) {
            self.gate.not_before = None;
        }
        // Those who expired together leave in ticks, so that their replacements don't dial at once.
        let mut may_retire = self.slots.count(Phase::Idle).div_ceil(10).max(1);
        while let Some(index) = self.slot_timers.pop_due(now) {
            self.slot_due(index, &mut may_retire, now);
        }
        self.dispatch(now);
    }

    fn slot_due(&mut self, index: u32, may_retire: &mut usize, now: Instant) {
        let given_up = self.slots[index].deadline.is_some_and(|at| at <= now);
        match self.slots[index].phase {
            Phase::Vacant | Phase::Lent | Phase::Reserved => {}
            Phase::Idle => self.idle_due(index, may_retire, now),
            Phase::Connecting if given_up => self.abandon_connect(index, now),
            Phase::Checking if given_up => {
                let purpose = self.slots[index].purpose;
                self.count_done(purpose);
                self.fail_check(index, purpose, now);
            }
            Phase::Resetting if given_up => {
                self.running.resets -= 1;
                self.begin_close(index, CloseReason::Interrupted, now);
            }
            Phase::Closing if given_up => self.abandon_close(index),
            _ => self.arm(index),
        }
    }

    fn idle_due(&mut self, index: u32, may_retire: &mut usize, now: Instant) {
        let lifetime = self.config.max_lifetime;
        let slot = &self.slots[index];
        let hard_end = lifetime.and_then(|limit| slot.born.checked_add(limit));
        let unused = now.saturating_duration_since(slot.since);
        let unused_too_long = self.config.idle_timeout.is_some_and(|t| unused >= slot.shortened(t));
        let spare = self.slots.count(Phase::Idle) > self.config.min_idle;
        let reason = match self.must_retire(index, now) {
            None if unused_too_long && spare => Some(CloseReason::IdleTimeout),
            reason => reason,
        };
        match reason {
            Some(reason) if *may_retire > 0 || hard_end.is_some_and(|at| at <= now) => {
                *may_retire = may_retire.saturating_sub(1);
                return self.begin_close(index, reason, now);
            }
            Some(_) => {
                if let Some(next) = later(now, TICK) {
                    self.slot_timers.set(index, next);
                }
                return;
            }
            None => {}
        }
        if self.replacement_due(index).is_some_and(|at| at <= now) {
            self.slots.enter_age(index);
        }
        if self.keepalive_due(index).is_some_and(|at| at <= now) {
            self.queue_upkeep(index);
        }
        self.arm_after(index, now);
    }

    pub(super) fn queue_upkeep(&mut self, index: u32) {
        if !self.slots[index].queued {
            self.slots[index].queued = true;
            self.queues.upkeep.push_back(self.slots.id(index));
        }
    }

    /// Why an idle session may not stay, if so.
    #[inline]
    pub(super) fn must_retire(&self, index: u32, now: Instant) -> Option<CloseReason> {
        let slot = &self.slots[index];
        let live = self.slots.in_use() - self.slots.count(Phase::Closing);
        if self.closed {
            Some(CloseReason::PoolClosed)
        } else if slot.epoch != self.epoch {
            Some(CloseReason::Evicted)
        } else if live > self.config.max_size {
            Some(CloseReason::Resized)
        } else if slot.expires_at.is_some_and(|at| at <= now) {
            Some(CloseReason::Lifetime)
        } else {
            None
        }
    }

    pub(super) fn keepalive_due(&self, index: u32) -> Option<Instant> {
        let slot = &self.slots[index];
        if slot.queued {
            return None;
        }
        later(slot.verified, slot.shortened(self.config.keepalive_interval?))
    }

    /// When the successor of a session that `min_idle` needs should be opened.
    fn replacement_due(&self, index: u32) -> Option<Instant> {
        if self.config.min_idle == 0 || self.slots.is_aging(index) {
            return None;
        }
        let slot = &self.slots[index];
        let ends = slot.expires_at?;
        let life = ends.saturating_duration_since(slot.born);
        ends.checked_sub(self.config.connect_timeout.min(life / 10))
    }

    /// Sets the timer of a slot, unless an earlier one is set: that one will find out.
    pub(super) fn arm(&mut self, index: u32) {
        let due = match self.slots[index].phase {
            Phase::Idle => self.idle_dues(index).into_iter().flatten().min(),
            _ => self.slots[index].deadline,
        };
        if let Some(due) = due
            && self.slot_timers.at(index).is_none_or(|at| due < at)
        {
            self.slot_timers.set(index, due);
        }
    }

    /// A lent session that leaves the upkeep queue has a timer that was set without a look at its
    /// keepalive; when it comes back, another must be set.
    pub(super) fn forget_idle_timer(&mut self, index: u32) {
        if matches!(self.slots[index].phase, Phase::Lent | Phase::Reserved) {
            self.slot_timers.clear(index);
        }
    }

    pub(super) fn is_armed(&self, index: u32) -> bool {
        self.slot_timers.at(index).is_some()
    }

    /// Sets the timer of an idle slot to what is due after `now`.
    fn arm_after(&mut self, index: u32, now: Instant) {
        // What is overdue but may not happen yet (an idle timeout at `min_idle`) is looked at
        // again in a while.
        let pause = self.config.idle_timeout.map_or(TICK, |timeout| (timeout / 4).max(TICK));
        let again = later(now, pause);
        let dues = self.idle_dues(index).into_iter().flatten();
        let due = dues.filter_map(|at| if at > now { Some(at) } else { again }).min();
        if let Some(due) = due {
            self.slot_timers.set(index, due);
        }
    }

    fn idle_dues(&self, index: u32) -> [Option<Instant>; 4] {
        let slot = &self.slots[index];
        let unused = self.config.idle_timeout.and_then(|t| later(slot.since, slot.shortened(t)));
        [slot.expires_at, self.keepalive_due(index), self.replacement_due(index), unused]
    }

    /// Starts to close a session. Where a task still has it, that task's end comes first.
    pub(super) fn begin_close(&mut self, index: u32, reason: CloseReason, now: Instant) {
        self.slots.unlink(index);
        self.slots.enter(index, Phase::Closing);
        self.slots[index].deadline = later(now, self.config.close_timeout);
        self.count_closed(index, Some(reason), now);
        self.arm(index);
        if self.slots[index].session.is_some() {
            self.queues.closes.push_back((self.slots.id(index), reason));
        }
    }

    fn resume_close(&mut self, index: u32, session: S) {
        self.slots[index].session = Some(session);
        self.queues.closes.push_back((self.slots.id(index), CloseReason::Interrupted));
    }

    /// Closing took too long: the slot is free, whatever still runs.
    fn abandon_close(&mut self, index: u32) {
        self.gate.abandoned += 1;
        self.running.closes -= usize::from(self.slots[index].close_runs);
        if let Some(session) = self.free(index) {
            self.queues.orphans.push_back(session);
        }
    }

    /// A session that was given up has come back: it is closed, and counted already.
    fn adopt_late(&mut self, session: S) {
        self.gate.abandoned += 1;
        self.queues.orphans.push_back(session);
    }

    fn fail_check(&mut self, index: u32, purpose: Purpose, now: Instant) {
        let reason = match purpose {
            Purpose::Keepalive => CloseReason::KeepaliveFailed,
            Purpose::Inspect => CloseReason::Discarded,
            Purpose::Lend | Purpose::Sweep => CloseReason::CheckFailed,
        };
        self.begin_close(index, reason, now);
        if purpose == Purpose::Inspect {
            return;
        }
        self.counters.check_failures += 1;
        for other in self.slots.indices() {
            if self.slots[other].phase == Phase::Idle && !self.slots[other].suspect {
                self.slots[other].suspect = self.slots[other].verified < now;
                if self.slots[other].suspect {
                    self.queue_upkeep(other);
                }
            }
        }
    }

    fn count_done(&mut self, purpose: Purpose) {
        let running = match purpose {
            Purpose::Lend => &mut self.running.checks,
            Purpose::Keepalive | Purpose::Sweep => &mut self.running.upkeep,
            Purpose::Inspect => return,
        };
        *running = running.saturating_sub(1);
    }

    fn count_closed(&mut self, index: u32, reason: Option<CloseReason>, now: Instant) {
        let Some(reason) = reason else { return };
        self.counters.closed[reason as usize] += 1;
        let age = now.saturating_duration_since(self.slots[index].born);
        self.emit(|| Event::Closed { reason, age });
    }

    /// Gives a slot back. A session left in it is returned.
    pub(super) fn free(&mut self, index: u32) -> Option<S> {
        self.slot_timers.clear(index);
        self.slots.vacate(index)
    }
}
