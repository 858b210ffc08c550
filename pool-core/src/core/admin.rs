//! What the owner of a pool may ask of it.

use std::time::Instant;

use super::report::Refusal;
use super::slots::{Phase, Purpose, SlotId};
use super::waiters::{Fate, WaiterId};
use super::{Core, Notice};
use crate::event::{CloseReason, Event};

impl<S, E: Clone> Core<S, E> {
    /// Sets the most sessions open at once. What is too many is closed: idle sessions now, lent
    /// ones on return. Zero lets everybody wait.
    pub fn resize(&mut self, max_size: usize, now: Instant) {
        self.config.max_size = max_size;
        while self.live() > max_size {
            let oldest_first = self.slots.first_idle(false).or_else(|| self.last_reserved());
            let Some(index) = oldest_first else { break };
            self.take_back(index);
            self.begin_close(index, CloseReason::Resized, now);
        }
        self.dispatch(now);
    }

    /// Lets no session that is open or being opened now be lent again: idle ones are closed now,
    /// the others when they come back.
    pub fn evict_all(&mut self, now: Instant) {
        self.epoch = self.epoch.wrapping_add(1);
        self.close_free(CloseReason::Evicted, now);
        self.gate_reset();
        self.dispatch(now);
    }

    /// Ends the pool: waiters fail, idle sessions close, lent ones close when they come back.
    /// Nothing is opened, checked or lent any more. [`Notice::Drained`] tells when all is done.
    pub fn close(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        self.closed = true;
        while let Some(waiter) = self.waiters.front() {
            self.counters.refused_closed += 1;
            let id = self.waiters.finish(waiter, Refusal::Closed);
            self.notices.push_back(Notice::Wake(id));
        }
        self.close_free(CloseReason::PoolClosed, now);
        self.dispatch(now);
    }

    /// Puts a session opened elsewhere into the pool. It comes back where there is no room.
    pub fn add(&mut self, session: S, now: Instant) -> Result<(), S> {
        if self.closed || self.slots.in_use() >= self.config.max_size {
            return Err(session);
        }
        let index = self.open(now);
        self.counters.created += 1;
        self.emit(|| Event::Added);
        self.settle(index, session, now);
        self.dispatch(now);
        Ok(())
    }

    /// The idle sessions of this moment, for [`inspect`](Self::inspect).
    pub fn idle_slots(&self) -> Vec<SlotId> {
        let idle = self.slots.indices().filter(|&index| self.slots[index].phase == Phase::Idle);
        idle.map(|index| self.slots.id(index)).collect()
    }

    /// Takes an idle session out to look at it; [`inspected`](Self::inspected) brings it back.
    pub fn inspect(&mut self, slot: SlotId) -> Option<S> {
        let index = self.slots.get(slot).filter(|&i| self.slots[i].phase == Phase::Idle)?;
        self.slots.enter_checking(index, Purpose::Inspect);
        self.slots[index].deadline = None;
        self.slots[index].session.take()
    }

    /// Brings back what [`inspect`](Self::inspect) took, to keep it or to close it. A look is no
    /// sign of life.
    pub fn inspected(&mut self, slot: SlotId, session: S, keep: bool, now: Instant) {
        let Some(index) = self.slots.get(slot).filter(|&i| self.slots[i].phase == Phase::Checking)
        else {
            return self.adopt_orphan(session);
        };
        if keep {
            let suspect = self.slots[index].suspect;
            self.settle(index, session, now);
            self.slots[index].suspect = suspect;
            if suspect && self.slots[index].phase == Phase::Idle {
                self.queue_upkeep(index);
            }
        } else {
            self.slots[index].session = Some(session);
            self.begin_close(index, CloseReason::Discarded, now);
        }
        self.dispatch(now);
    }

    /// Lets that many more connects start, by the leave of whoever counts for several pools.
    pub fn allow_connects(&mut self, connects: usize) {
        self.gate.allowance = connects;
        self.gate.starved = false;
    }

    /// Lets no connect start until [`allow_connects`](Self::allow_connects) is called again.
    pub fn stop_connects(&mut self) {
        self.gate.allowance = 0;
    }

    /// Whether a connect is due that the allowance forbids.
    pub fn is_starved(&self) -> bool {
        self.gate.starved && self.connect_is_wanted()
    }

    /// Since when its least recently used idle session has been idle, if it can spare one.
    pub fn spare_since(&self) -> Option<Instant> {
        let spare = self.waiters.queued() == 0;
        let index = self.slots.first_idle(false).filter(|_| spare)?;
        Some(self.slots[index].since)
    }

    /// Closes its least recently used idle session to make room elsewhere.
    pub fn give_up_one(&mut self, now: Instant) {
        if let Some(index) = self.slots.first_idle(false) {
            self.begin_close(index, CloseReason::Displaced, now);
        }
    }

    /// Whether sessions that become idle are given up to make room elsewhere.
    pub fn set_yielding(&mut self, yielding: bool) {
        self.gate.yielding = yielding;
    }

    /// Starts to close what the pool owns and no task has.
    fn close_free(&mut self, reason: CloseReason, now: Instant) {
        for index in self.slots.indices() {
            let closable = match self.slots[index].phase {
                Phase::Idle | Phase::Reserved => true,
                Phase::Checking | Phase::Resetting => self.slots[index].session.is_some(),
                _ => false,
            };
            if closable {
                self.take_back(index);
                self.begin_close(index, reason, now);
            }
        }
    }

    /// Breaks the promise of a reserved session: its waiter queues again at its place, or is told
    /// that the pool is closed.
    fn take_back(&mut self, index: u32) {
        let Some(id) = self.slots[index].waiter.take() else { return };
        let Some(waiter) = self.reserved_waiter(id, index) else { return };
        self.waiters.unreserve(waiter);
        if self.closed {
            self.counters.refused_closed += 1;
            let id = self.waiters.finish(waiter, Refusal::Closed);
            self.notices.push_back(Notice::Wake(id));
        }
    }

    fn reserved_waiter(&self, id: WaiterId, slot: u32) -> Option<u32> {
        let waiter = self.waiters.get(id)?;
        matches!(self.waiters[waiter].fate, Fate::Reserved(index) if index == slot)
            .then_some(waiter)
    }

    /// The reserved session of the borrower that came last, so that none overtakes another.
    fn last_reserved(&self) -> Option<u32> {
        let reserved =
            self.slots.indices().filter(|&index| self.slots[index].phase == Phase::Reserved);
        reserved.max_by_key(|&index| {
            let waiter = self.slots[index].waiter.and_then(|id| self.waiters.get(id));
            waiter.map(|waiter| self.waiters[waiter].ticket)
        })
    }

    fn live(&self) -> usize {
        self.slots.in_use() - self.slots.count(Phase::Closing)
    }
}
