//! How borrowers get a lease: at once, or in the order of their arrival.

use std::panic::Location;
use std::time::{Duration, Instant};

use super::leases::LeaseId;
use super::report::Refusal;
use super::slot::{Phase, SlotId};
use super::waiters::{Fate, Request, Waiter, WaiterId};
use super::{Core, Notice, later};
use crate::config::Order;
use crate::event::{Event, NotAcquired};
use crate::kinds::{CloseReason, Purpose};

/// A session on its way to a borrower. Whoever holds it must [`release`](Core::release) or
/// [`detach`](Core::detach) it, or hand it back as [`unusable`](Core::unusable).
#[derive(Debug)]
pub struct Lease<S> {
    /// For giving it back.
    pub id: LeaseId,
    /// Where the session lives.
    pub slot: SlotId,
    /// The session; in a pool of shared sessions, one more handle to it.
    pub session: S,
    /// The borrower's place in the order of arrival.
    pub ticket: u64,
    /// When the borrower asked.
    pub arrived: Instant,
    /// How often the session was lent before.
    pub uses: u64,
    /// When the session was opened.
    pub born: Instant,
}

/// The answer to [`Core::acquire`].
#[derive(Debug)]
pub enum Acquired<S, E> {
    /// A session was there.
    Ready(Lease<S>),
    /// The borrower queues; [`Core::take`] tells when its turn has come.
    Waiting(WaiterId),
    /// There will be none.
    Refused(Refusal<E>),
}

/// The answer to [`Core::take`].
#[derive(Debug)]
pub enum Taken<S, E> {
    /// The wait is over; the id is outdated.
    Ready(Lease<S>),
    /// Not yet.
    Pending,
    /// The wait is over without a session; the id is outdated.
    Refused(Refusal<E>),
}

impl<S, E: Clone> Core<S, E> {
    /// A borrower wants a session, and waits for it until its deadline.
    #[inline]
    pub fn acquire(&mut self, request: Request, now: Instant) -> Acquired<S, E> {
        self.counters.acquires += 1;
        if self.closed {
            self.counters.refused_closed += 1;
            return self.refuse(request, Refusal::Closed, now);
        }
        let ticket = request.ticket.unwrap_or_else(|| self.waiters.ticket());
        if let Some(index) = self.ready(now) {
            return Acquired::Ready(self.lend(index, request.arrived, request.site, ticket, now));
        }
        if let Some(error) = self.breaker_error(now) {
            self.counters.failed += 1;
            return self.refuse(request, Refusal::Failed(error), now);
        }
        if request.deadline.is_some_and(|at| at <= now) {
            return self.acquire_without_waiting(request, ticket, now);
        }
        let most = self.config.max_waiters;
        if request.ticket.is_none() && most.is_some_and(|most| self.waiters.waiting() >= most) {
            self.counters.overloaded += 1;
            let waiting = self.waiters.waiting();
            return self.refuse(request, Refusal::Overloaded { waiting }, now);
        }
        let id = self.waiters.push(request, ticket);
        self.dispatch(now);
        Acquired::Waiting(id)
    }

    /// A borrower wants a session that is ready this moment, and costs no search. Where there is
    /// none, it has not asked.
    #[inline]
    pub fn acquire_ready(
        &mut self,
        site: &'static Location<'static>,
        now: Instant,
    ) -> Option<Lease<S>> {
        if self.closed {
            return None;
        }
        let index = self.ready(now)?;
        self.counters.acquires += 1;
        let ticket = self.waiters.ticket();
        Some(self.lend(index, now, site, ticket, now))
    }

    /// Whoever never waits gets any session that is ready. It finds one next time that only needs
    /// a check now, or that has to be opened first.
    fn acquire_without_waiting(
        &mut self,
        request: Request,
        ticket: u64,
        now: Instant,
    ) -> Acquired<S, E> {
        if self.waiters.queued() == 0
            && let Some(index) = self.fresh(now)
        {
            return Acquired::Ready(self.lend(index, request.arrived, request.site, ticket, now));
        }
        self.counters.timed_out += 1;
        match self.first_lendable(now) {
            Some(index) => {
                self.suspect(index);
                self.queue_upkeep(index);
            }
            None => self.gate.asked_in_vain = true,
        }
        let report = self.timeout_report(request.arrived, now, false);
        self.refuse(request, Refusal::TimedOut(report), now)
    }

    fn refuse(&mut self, request: Request, refusal: Refusal<E>, now: Instant) -> Acquired<S, E> {
        self.emit_refusal(&refusal, request.arrived, now);
        Acquired::Refused(refusal)
    }

    /// The session for a newcomer, if nobody came before.
    #[inline]
    fn ready(&mut self, now: Instant) -> Option<u32> {
        while self.waiters.queued() == 0 {
            let first = self.first_lendable(now);
            if self.waiters.queued() == 0 {
                return first.filter(|&index| !self.is_stale(index, now));
            }
            // One that had to go was promised to somebody, who comes first.
            self.dispatch(now);
        }
        None
    }

    /// Asks whether a waiter's turn has come.
    #[inline]
    pub fn take(&mut self, id: WaiterId, now: Instant) -> Taken<S, E> {
        let Some(waiter) = self.waiters.get(id) else {
            return Taken::Refused(Refusal::Closed);
        };
        match self.waiters[waiter].fate {
            Fate::Queued | Fate::Vacant => Taken::Pending,
            Fate::Done(_) => match self.waiters.remove(waiter) {
                Fate::Done(refusal) => Taken::Refused(refusal),
                _ => Taken::Pending,
            },
            Fate::Reserved(index) => {
                if self.must_retire(index, now).is_none() && !self.was_kept(index, now) {
                    let &Waiter { arrived, site, ticket, .. } = &self.waiters[waiter];
                    self.waiters.remove(waiter);
                    self.slots[index].reserved -= 1;
                    self.slots.reserved -= 1;
                    return Taken::Ready(self.begin_lease(index, arrived, site, ticket, now));
                }
                // It took too long to come; the waiter keeps its place.
                self.waiters.unreserve(waiter);
                self.unreserve(index, now);
                self.dispatch(now);
                Taken::Pending
            }
        }
    }

    /// A borrower went away before its turn.
    pub fn cancel(&mut self, id: WaiterId, now: Instant) {
        let Some(waiter) = self.waiters.get(id) else { return };
        let arrived = self.waiters[waiter].arrived;
        let fate = self.waiters.remove(waiter);
        if matches!(fate, Fate::Queued | Fate::Reserved(_)) {
            self.counters.cancelled += 1;
            self.emit(|| Event::NotAcquired {
                why: NotAcquired::Cancelled,
                waited: now.saturating_duration_since(arrived),
            });
        }
        if let Fate::Reserved(index) = fate {
            self.unreserve(index, now);
            self.dispatch(now);
        }
    }

    /// Serves the queue from what can be lent, in order, and starts the checks it needs.
    #[inline]
    pub(super) fn dispatch(&mut self, now: Instant) {
        if self.waiters.queued() > 0 {
            self.serve_queue(now);
        }
        if self.closed {
            self.note_drained();
        }
    }

    fn serve_queue(&mut self, now: Instant) {
        while self.waiters.queued() > 0 {
            let Some(first) = self.first_lendable(now) else { break };
            let index = match self.is_stale(first, now) {
                false => first,
                // Too many checks hang already: what cannot be verified is replaced.
                true if self.checks_are_hung() => {
                    self.retire(first, CloseReason::CheckFailed, now);
                    continue;
                }
                true if self.slots.lend_capacity() < self.waiters.queued() => {
                    self.begin_check(first, Purpose::Lend);
                    self.queues.checks.push_back(self.slots.id(first));
                    continue;
                }
                // Enough checks are under way; one that is ready further back need not wait.
                true => match self.fresh(now) {
                    Some(index) => index,
                    None => break,
                },
            };
            // Only now: what had to go on the way may have been promised to somebody older.
            let Some(waiter) = self.waiters.front() else { break };
            self.promise(index, waiter);
        }
    }

    #[inline]
    pub(super) fn promise(&mut self, index: u32, waiter: u32) {
        let slot = &mut self.slots[index];
        slot.reserved += 1;
        let alone = slot.leases == 0;
        self.slots.reserved += 1;
        if alone {
            self.slots.enter(index, Phase::Reserved);
            self.arm(index);
        }
        self.relink(index);
        let id = self.waiters.reserve(waiter, index);
        self.notices.push_back(Notice::Wake(id));
    }

    /// A promised lease is free again.
    pub(super) fn unreserve(&mut self, index: u32, now: Instant) {
        self.slots[index].reserved -= 1;
        self.slots.reserved -= 1;
        self.load_changed(index, now);
    }

    /// The session to lend next, once those that have to go are out of the way.
    #[inline]
    pub(super) fn first_lendable(&mut self, now: Instant) -> Option<u32> {
        loop {
            let newest = self.config.order == Order::Lifo;
            let index = self.lendable.first(&self.slots, newest)?;
            match self.must_retire(index, now) {
                None => return Some(index),
                Some(reason) => self.retire(index, reason, now),
            }
        }
    }

    /// The first session in order that can be lent without a check.
    fn fresh(&self, now: Instant) -> Option<u32> {
        // Looking through a long list of stale ones again and again would cost too much.
        let silent = now.saturating_duration_since(self.freshest?);
        if silent > self.config.check_after_idle {
            return None;
        }
        let ready = |index| !self.is_stale(index, now) && self.must_retire(index, now).is_none();
        let newest = self.config.order == Order::Lifo;
        self.lendable.all(&self.slots, newest).find(|&index| ready(index))
    }

    /// Whether it has to show a sign of life before it is lent.
    #[inline]
    pub(super) fn is_stale(&self, index: u32, now: Instant) -> bool {
        let slot = &self.slots[index];
        let after = self.config.check_after_idle;
        // Most are lent in the same tick of the cheap clock in which they came back.
        slot.suspect
            || (now > slot.verified && now.saturating_duration_since(slot.verified) > after)
            || (slot.used && after.is_zero())
    }

    /// Whether a promised session waited so long for its borrower that it needs another check.
    fn was_kept(&self, index: u32, now: Instant) -> bool {
        let slot = &self.slots[index];
        if now <= slot.verified {
            return slot.suspect;
        }
        let silent = now.saturating_duration_since(slot.verified);
        // Its check, if it had one, may be older than `check_after_idle` by the time that the
        // borrower takes to wake up; asking for another each time would never end.
        let checked = slot.verified > slot.since;
        let grace = if checked { self.config.check_timeout } else { Duration::ZERO };
        slot.suspect || silent > self.config.check_after_idle.max(grace)
    }

    #[inline]
    fn lend(
        &mut self,
        index: u32,
        arrived: Instant,
        site: &'static Location<'static>,
        ticket: u64,
        now: Instant,
    ) -> Lease<S> {
        // Not back where the clock goes back: a use that is older than the last sign of life
        // would pass for a check.
        let slot = &mut self.slots[index];
        slot.since = slot.since.max(now);
        self.begin_lease(index, arrived, site, ticket, now)
    }

    #[inline]
    fn begin_lease(
        &mut self,
        index: u32,
        arrived: Instant,
        site: &'static Location<'static>,
        ticket: u64,
        now: Instant,
    ) -> Lease<S> {
        let slot = &self.slots[index];
        // Others have it: an idle one that is past its lifetime is not lent at all.
        if slot.expires_at.is_some_and(|at| at <= now) {
            self.slots.mark_overdue(index);
        }
        let slot = &mut self.slots[index];
        slot.leases += 1;
        let first = slot.leases == 1;
        let (uses, born) = (slot.uses, slot.born);
        slot.uses += 1;
        let session = match self.share {
            None => slot.session.take(),
            Some(share) => slot.session.as_ref().map(share),
        };
        self.slots.leases += 1;
        if first {
            self.slots.enter(index, Phase::Lent);
        }
        self.relink(index);
        let most = self.config.max_size.saturating_mul(self.config.leases_per_session);
        let id = self.leases.begin(index, now, site, most);
        if let Some(at) = self.config.leak_after.and_then(|after| later(now, after)) {
            self.leases.watch(id, at);
        }
        self.counters.served += 1;
        match session {
            Some(session) => {
                Lease { id, slot: self.slots.id(index), session, ticket, arrived, uses, born }
            }
            None => unreachable!("a slot that can be lent owns its session"),
        }
    }

    /// Puts a slot into the list that it belongs to now, or into none.
    #[inline]
    pub(super) fn relink(&mut self, index: u32) {
        if self.slots[index].is_lendable() {
            self.lendable.link(&mut self.slots, index);
        } else {
            self.lendable.unlink(&mut self.slots, index);
        }
    }
}
