//! What the owner of a pool may ask of it.

use std::sync::Arc;
use std::time::Instant;

use super::Core;
use super::report::Refusal;
use super::slot::{Phase, SlotId};
use crate::event::Event;
use crate::kinds::{CloseReason, Purpose};

impl<S, E: Clone> Core<S, E> {
    /// Sets the most sessions open at once. What is too many is closed: idle sessions now, lent
    /// ones with their last lease, and meanwhile they are not lent again. Zero lets everybody wait.
    pub fn resize(&mut self, max_size: usize, now: Instant) {
        Arc::make_mut(&mut self.config).max_size = max_size;
        self.surplus = 0;
        for index in self.slots.indices() {
            if self.slots[index].retiring == Some(CloseReason::Resized) {
                self.slots.keep(index);
                self.relink(index);
            }
        }
        while self.slots.staying() > max_size {
            let first = self.lendable.first_idle(&self.slots, false);
            let Some(index) = first.or_else(|| self.least_loaded(0)) else { break };
            self.surplus += usize::from(self.slots[index].leases > 0);
            self.retire(index, CloseReason::Resized, now);
        }
        self.dispatch(now);
    }

    /// Lets no session that is open or being opened now be lent again: idle ones are closed now,
    /// the others with their last lease.
    pub fn evict_all(&mut self, now: Instant) {
        self.epoch = self.epoch.wrapping_add(1);
        self.close_free(CloseReason::Evicted, now);
        self.gate_reset();
        self.dispatch(now);
    }

    /// Ends the pool: waiters fail, idle sessions close, lent ones close when they come back, and
    /// what is being opened is given up, and checks and resets are interrupted. Nothing is opened,
    /// checked or lent any more.
    /// [`Notice::Drained`](super::Notice::Drained) tells when all is done.
    pub fn close(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        self.closed = true;
        // Nobody would use what is tried.
        self.limits.grows_at = None;
        self.close_free(CloseReason::PoolClosed, now);
        self.end_upkeep(now);
        while let Some(waiter) = self.waiters.front() {
            self.counters.refused_closed += 1;
            self.end_wait(waiter, Refusal::Closed, now);
        }
        self.abandon_connects(now);
        self.note_progress();
        self.dispatch(now);
    }

    /// Asks for so many sessions to be open, though nobody waits for one; zero asks no more.
    /// [`Notice::Progress`](super::Notice::Progress) tells of each that is opened, or cannot be.
    pub fn warm(&mut self, sessions: usize) {
        self.gate.warm = sessions.min(self.config.max_size);
    }

    /// Sessions that are open and stay, those being opened excluded.
    pub fn opened(&self) -> usize {
        self.slots.staying() - self.slots.count(Phase::Connecting)
    }

    /// Puts a session opened elsewhere into the pool. It comes back where there is no room.
    pub fn add(&mut self, session: S, now: Instant) -> Result<(), S> {
        if self.closed || self.slots.in_use() >= self.config.max_size {
            return Err(session);
        }
        let index = self.open(now);
        self.counters.created += 1;
        let number = self.slots.id(index).number();
        self.emit(|| Event::Added { session: number });
        self.give_birth(index, session, now);
        self.dispatch(now);
        Ok(())
    }

    /// The idle sessions of this moment, for [`inspect`](Self::inspect).
    pub fn idle_slots(&self) -> Vec<SlotId> {
        self.slots.in_phase(Phase::Idle).map(|index| self.slots.id(index)).collect()
    }

    /// Takes an idle session out to look at it; [`inspected`](Self::inspected) brings it back.
    pub fn inspect(&mut self, slot: SlotId) -> Option<S> {
        let index = self.slots.get(slot).filter(|&i| self.slots[i].phase == Phase::Idle)?;
        self.begin_check(index, Purpose::Inspect);
        self.slots[index].session.take()
    }

    /// Brings back what [`inspect`](Self::inspect) took, to keep it or to close it. A look is no
    /// sign of life.
    pub fn inspected(&mut self, slot: SlotId, session: S, keep: bool, now: Instant) {
        let looked_at = |index: &u32| {
            let slot = &self.slots[*index];
            slot.phase == Phase::Checking && slot.purpose == Purpose::Inspect
        };
        let Some(index) = self.slots.get(slot).filter(looked_at) else {
            return self.adopt_orphan(session, now);
        };
        self.slots[index].session = Some(session);
        if keep {
            self.vacated(index, now);
            if self.slots[index].suspect {
                self.queue_upkeep(index);
            }
        } else {
            self.begin_close(index, CloseReason::Discarded, now);
        }
        self.dispatch(now);
    }

    /// Lets that many more connects start, by the leave of whoever counts for several pools.
    pub fn allow_connects(&mut self, connects: usize) {
        self.gate.allowance = connects;
    }

    /// Lets no connect start until [`allow_connects`](Self::allow_connects) is called again.
    pub fn stop_connects(&mut self) {
        self.gate.allowance = 0;
    }

    /// Whether the total of the keyed pool that it belongs to leaves room for a session.
    pub(crate) fn note_total(&mut self, is_full: bool) {
        self.gate.total_is_full = is_full;
    }

    /// What it has of a total, and what it leaves.
    pub(crate) fn load_on_total(&self) -> LoadOnTotal {
        let count = |phase| self.slots.count(phase);
        let open = self.slots.in_use();
        let (orphans, closing, retiring) =
            (count(Phase::Orphan), count(Phase::Closing), self.slots.retiring);
        let owned = count(Phase::Idle) + count(Phase::Lent) + count(Phase::Reserved);
        let known = open + orphans + self.waiters.known() + self.hung.len();
        let quiet = known == 0 && self.gate.warm == 0;
        LoadOnTotal { open, closing, retiring, orphans, spare: owned - retiring, quiet }
    }

    /// Whether a connect is wanted that the allowance forbids.
    pub fn is_starved(&self) -> bool {
        self.gate.allowance == 0 && self.connect_is_wanted()
    }

    /// Whether a connect is due, leave or no leave.
    pub fn wants_connect(&self, now: Instant) -> bool {
        self.connect_is_due(now)
    }

    /// Since when its least recently used idle session has been idle, if it can spare one.
    pub fn spare_since(&self) -> Option<Instant> {
        if self.waiters.queued() > 0 {
            return None;
        }
        self.lendable.idle_since(&self.slots)
    }

    /// Gives up one session to make room elsewhere: its least recently used idle one now, else the
    /// least loaded one with its last lease. False where there is none.
    pub fn give_up_one(&mut self, now: Instant) -> bool {
        self.give_up_one_to(0, now)
    }

    /// As [`give_up_one`](Self::give_up_one), for a borrower with that ticket: what is promised to
    /// somebody who came before is kept.
    pub fn give_up_one_to(&mut self, ticket: u64, now: Instant) -> bool {
        let idle = self.lendable.first_idle(&self.slots, false);
        let Some(index) = idle.or_else(|| self.least_loaded(ticket)) else { return false };
        self.retire(index, CloseReason::Displaced, now);
        self.dispatch(now);
        true
    }

    /// Whoever is first in the queue, by its place in the order of arrival.
    pub fn front_ticket(&self) -> Option<u64> {
        self.waiters.front_ticket()
    }

    /// The last ticket given, and where tickets go on from, where several cores share one order
    /// of arrival.
    pub fn last_ticket(&self) -> u64 {
        self.waiters.last_ticket()
    }

    #[allow(missing_docs)]
    pub fn set_last_ticket(&mut self, ticket: u64) {
        self.waiters.set_last_ticket(ticket);
    }

    /// The session with the fewest leases, of those that some have and that nobody is promised who
    /// came before that ticket.
    fn least_loaded(&self, ticket: u64) -> Option<u32> {
        let stays = |index: &u32| {
            let slot = &self.slots[*index];
            let owned = matches!(slot.phase, Phase::Lent | Phase::Reserved);
            owned
                && slot.retiring.is_none()
                && (slot.reserved == 0 || !self.waiters.is_promised_before(*index, ticket))
        };
        let lent = self.slots.indices().filter(stays);
        // Of promised ones that whose borrower came last, so that none overtakes another.
        lent.min_by_key(|&index| {
            let slot = &self.slots[index];
            let came = self.waiters.last_reserved(index).map(|waiter| self.waiters[waiter].ticket);
            (slot.leases, slot.load(), std::cmp::Reverse(came))
        })
    }

    /// Starts to close what nobody has, and lets the rest take no further lease.
    fn close_free(&mut self, reason: CloseReason, now: Instant) {
        for index in self.slots.indices() {
            self.retire(index, reason, now);
        }
    }
}

/// What a core has of a total over several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LoadOnTotal {
    /// Sessions that count against it.
    pub(crate) open: usize,
    /// Those of them that are being closed.
    pub(crate) closing: usize,
    /// Those of them that close with their last lease.
    pub(crate) retiring: usize,
    /// Sessions being closed that count against nothing.
    pub(crate) orphans: usize,
    /// Sessions that stay and that no task works on: they could be given up.
    pub(crate) spare: usize,
    /// Nothing is open, nobody waits or has yet to be told, and nothing hangs.
    pub(crate) quiet: bool,
}

impl LoadOnTotal {
    /// Sessions that are not on their way out.
    pub(crate) fn staying(&self) -> usize {
        self.open - self.closing - self.retiring
    }
}
