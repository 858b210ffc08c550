//! What happens to sessions nobody uses: checks, keepalives, expiry, resets.

use std::time::{Duration, Instant};

use super::slot::{Phase, Slot, SlotId, Work};
use super::{Core, later};
use crate::event::Event;
use crate::kinds::{CloseReason, Operation, Purpose};

/// How far apart the ticks are in which sessions that expired together are retired.
const TICK: Duration = Duration::from_millis(100);

impl<S, E: Clone> Core<S, E> {
    /// The peer of a session answered a check, a keepalive or a sweep, or did not. Where sessions
    /// are shared, the task's handle is dropped before, and `None` is given.
    pub fn checked(&mut self, id: SlotId, session: Option<S>, alive: bool, now: Instant) {
        let Some((index, late)) = self.ended(id, Work::Check, session, now) else { return };
        let (purpose, alive) = (self.slots[index].purpose, alive && !late);
        self.emit(|| Event::Checked { session: id.number(), purpose, alive });
        if self.slots[index].phase == Phase::Closing {
            self.resume_close(index);
        } else if late {
            // It failed at its deadline, so its session closes with the leases that are out.
        } else if alive {
            let slot = &mut self.slots[index];
            slot.asked = false;
            if purpose == Purpose::Watch {
                // A look is no sign of life.
                slot.watched = now;
            } else {
                (slot.verified, slot.suspect, slot.used) = (now, false, false);
                self.freshest = self.freshest.max(Some(now));
            }
            if !std::mem::replace(&mut slot.proven, true) {
                self.gate.note_good_session();
            }
            match self.slots[index].load() {
                0 => self.vacated(index, now),
                _ => {
                    // When the last lease ends, its idle timers are set anew.
                    self.slot_timers.clear(index);
                    if self.slots[index].phase == Phase::Reserved {
                        self.arm(index);
                    }
                    self.relink(index);
                }
            }
        } else {
            self.fail_check(index, now);
        }
        self.dispatch(now);
    }

    /// A reset ended.
    pub fn reset_done(&mut self, id: SlotId, session: Option<S>, clean: bool, now: Instant) {
        let Some((index, _)) = self.ended(id, Work::Reset, session, now) else { return };
        if self.slots[index].phase == Phase::Closing {
            self.resume_close(index);
        } else if clean {
            let slot = &mut self.slots[index];
            (slot.since, slot.verified, slot.suspect) = (now, now, false);
            self.vacated(index, now);
        } else {
            self.begin_close(index, CloseReason::ResetFailed, now);
        }
        self.dispatch(now);
    }

    /// A task of a slot came to its end, too late or not: its session is back, and it counts no
    /// more.
    fn ended(
        &mut self,
        id: SlotId,
        work: Work,
        session: Option<S>,
        now: Instant,
    ) -> Option<(u32, bool)> {
        let Some(index) = self.slots.get(id) else {
            self.hung.remove(id);
            if let Some(session) = session {
                self.adopt_late(session, now);
            }
            return None;
        };
        if self.slots[index].work != work {
            if let Some(session) = session {
                self.adopt_orphan(session, now);
            }
            return None;
        }
        let late = self.slots[index].interrupted;
        self.end_work(index);
        if session.is_some() {
            self.slots[index].session = session;
        }
        Some((index, late))
    }

    /// The task of a check, a reset or a close ended without giving its session back: it panicked
    /// or was dropped. The session is gone, where it is not shared.
    pub fn lost(&mut self, id: SlotId, now: Instant) {
        let Some(index) = self.slots.get(id) else {
            self.hung.remove(id);
            return;
        };
        let work = self.slots[index].work;
        if work == Work::None {
            return;
        }
        self.end_work(index);
        if work == Work::Close {
            self.free(index);
        } else if self.slots[index].session.is_none() {
            let counted = self.slots[index].phase == Phase::Closing;
            self.count_closed(index, (!counted).then_some(CloseReason::Panicked), now);
            self.free(index);
        } else if self.slots[index].phase == Phase::Closing {
            self.resume_close(index);
        } else {
            self.slots[index].asked = false;
            self.retire(index, CloseReason::Panicked, now);
        }
        self.dispatch(now);
    }

    fn end_work(&mut self, index: u32) {
        let slot = &mut self.slots[index];
        let (work, purpose) = (std::mem::replace(&mut slot.work, Work::None), slot.purpose);
        if !std::mem::take(&mut slot.interrupted) {
            match work {
                Work::Check => self.count_done(purpose),
                Work::Reset => self.running.resets -= 1,
                Work::Close => self.running.closes -= 1,
                Work::None => {}
            }
        }
        self.slots.end_lend_check(index);
        self.slots[index].deadline = None;
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.recover_limits(now);
        self.expire_waiters(now);
        if self.gate.not_before.is_some_and(|at| at <= now) {
            self.gate.not_before = None;
        }
        self.report_long_leases(now);
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
            Phase::Idle => self.idle_due(index, may_retire, now),
            Phase::Vacant => {}
            Phase::Reserved if self.slots[index].expires_at.is_some_and(|at| at <= now) => {
                self.retire(index, CloseReason::Lifetime, now);
            }
            _ if !given_up => self.arm_work(index),
            Phase::Connecting => self.abandon_connect(index, now),
            Phase::Closing | Phase::Orphan => self.closing_due(index, now),
            Phase::Checking | Phase::Lent | Phase::Reserved => {
                if self.slots[index].work == Work::Check && !self.slots[index].interrupted {
                    self.interrupt(index);
                    self.fail_check(index, now);
                }
            }
            Phase::Resetting => {
                self.interrupt(index);
                self.begin_close(index, CloseReason::Interrupted, now);
            }
        }
    }

    /// Of a slot that is lent only the check that runs has a time limit.
    fn arm_work(&mut self, index: u32) {
        let lent = self.slots[index].phase == Phase::Lent;
        if !lent || self.slots[index].work == Work::Check {
            self.arm(index);
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
                    self.slots[index].leaving = true;
                }
                return;
            }
            None => {}
        }
        if self.replacement_due(index).is_some_and(|at| at <= now) {
            self.slots.enter_age(index);
        }
        let upkeep = [self.keepalive_due(index), self.watch_due(index)];
        if upkeep.into_iter().flatten().any(|at| at <= now) {
            self.queue_upkeep(index);
        }
        self.arm_after(index, now);
    }

    /// A check begins as soon as somebody runs it.
    pub(super) fn begin_check(&mut self, index: u32, purpose: Purpose) {
        // A keepalive leaves its session its place in the order.
        if matches!(purpose, Purpose::Lend | Purpose::Inspect) {
            self.lendable.unlink(&mut self.slots, index);
        }
        if self.slots[index].load() == 0 {
            self.slots.enter(index, Phase::Checking);
        } else {
            self.slots[index].asked = true;
        }
        self.slots[index].purpose = purpose;
        self.slots[index].deadline = None;
        // A keepalive serves whoever comes meanwhile as well as a check for a borrower does, and a
        // look is over at once.
        if matches!(purpose, Purpose::Lend | Purpose::Keepalive | Purpose::Watch) {
            self.slots.begin_lend_check(index);
        }
    }

    /// Doubts a session, so that it is not lent before it gave a sign of life.
    pub(super) fn suspect(&mut self, index: u32) {
        self.slots[index].suspect = true;
    }

    pub(super) fn queue_upkeep(&mut self, index: u32) {
        if self.slots[index].phase == Phase::Idle && !self.slots[index].queued {
            self.slots[index].queued = true;
            self.queues.upkeep.push_back(self.slots.id(index));
        }
    }

    /// Whether no check is started because too many don't come back.
    pub(super) fn checks_are_hung(&self) -> bool {
        self.hung.count(Operation::Check) >= self.most_hung()
    }

    /// Why a session may not be lent again, if so. One that is lent may be lent beyond its age.
    #[inline]
    pub(super) fn must_retire(&self, index: u32, now: Instant) -> Option<CloseReason> {
        let slot = &self.slots[index];
        if self.closed {
            Some(CloseReason::PoolClosed)
        } else if slot.epoch != self.epoch {
            Some(CloseReason::Evicted)
        } else if slot.leases > 0 {
            slot.retiring
        } else if self.slots.staying() > self.config.max_size {
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

    /// When it is to be looked at again. What has just been used or asked needs no look.
    pub(super) fn watch_due(&self, index: u32) -> Option<Instant> {
        let slot = &self.slots[index];
        if slot.queued {
            return None;
        }
        let seen = slot.verified.max(slot.watched);
        later(seen, slot.shortened(self.config.watch_interval?))
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
            // A promise is void at the end of its session.
            Phase::Reserved => {
                let Slot { expires_at, deadline, .. } = self.slots[index];
                expires_at.into_iter().chain(deadline).min()
            }
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
        let slot = &self.slots[index];
        let (phase, work) = (slot.phase, slot.work);
        if matches!(phase, Phase::Lent | Phase::Reserved) && work == Work::None {
            self.slot_timers.clear(index);
            if phase == Phase::Reserved {
                self.arm(index);
            }
        }
    }

    /// Whether a slot has a timer for more than its end.
    pub(super) fn is_armed(&self, index: u32) -> bool {
        let at = self.slot_timers.at(index);
        at.is_some() && at != self.slots[index].expires_at
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

    fn idle_dues(&self, index: u32) -> [Option<Instant>; 5] {
        let slot = &self.slots[index];
        let unused = self.config.idle_timeout.and_then(|t| later(slot.since, slot.shortened(t)));
        let upkeep = [self.keepalive_due(index), self.watch_due(index)];
        [slot.expires_at, upkeep[0], upkeep[1], self.replacement_due(index), unused]
    }

    fn fail_check(&mut self, index: u32, now: Instant) {
        let purpose = self.slots[index].purpose;
        self.counters.check_failures += 1;
        self.note_born_broken(index, now);
        let reason = match purpose {
            Purpose::Keepalive => CloseReason::KeepaliveFailed,
            Purpose::Watch => CloseReason::Broken,
            _ => CloseReason::CheckFailed,
        };
        self.slots[index].asked = false;
        self.retire(index, reason, now);
        for other in self.slots.indices() {
            let slot = &mut self.slots[other];
            let free = matches!(slot.phase, Phase::Idle | Phase::Lent | Phase::Reserved);
            if free && !slot.asked && slot.session.is_some() && slot.verified < now {
                slot.suspect = true;
                self.queue_upkeep(other);
            }
        }
    }

    pub(super) fn count_done(&mut self, purpose: Purpose) {
        let running = match purpose {
            Purpose::Lend => &mut self.running.checks,
            Purpose::Keepalive | Purpose::Sweep | Purpose::Watch => &mut self.running.upkeep,
            Purpose::Inspect => return,
        };
        *running = running.saturating_sub(1);
    }
}
