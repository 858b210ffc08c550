//! Lending and taking back: the borrower's side of the core.

use std::panic::Location;
use std::time::{Duration, Instant};

use super::report::Refusal;
use super::slots::{Phase, Purpose, SlotId};
use super::waiters::{Fate, Request, Waiter, WaiterId};
use super::{Core, Notice};
use crate::config::Order;
use crate::event::{CloseReason, Event};

/// A session on its way to a borrower. Whoever holds it must [`release`](Core::release) or
/// [`detach`](Core::detach) its slot, or hand it back as [`unusable`](Core::unusable).
#[derive(Debug)]
pub struct Lease<S> {
    /// Its slot.
    pub slot: SlotId,
    /// The session.
    pub session: S,
    /// The borrower's place in the order of arrival.
    pub ticket: u64,
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

/// In which state a session comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returned {
    /// Can be lent again.
    Clean,
    /// Can be lent again after a reset.
    NeedsReset,
    /// Must be closed.
    Broken(CloseReason),
}

impl<S, E: Clone> Core<S, E> {
    /// A borrower wants a session, and waits for it until its deadline.
    #[inline]
    pub fn acquire(&mut self, request: Request, now: Instant) -> Acquired<S, E> {
        if request.ticket.is_none() {
            self.counters.acquires += 1;
        }
        if self.closed {
            self.counters.refused_closed += 1;
            return Acquired::Refused(Refusal::Closed);
        }
        let ticket = request.ticket.unwrap_or_else(|| self.waiters.ticket());
        if let Some(index) = self.ready(now) {
            return Acquired::Ready(self.lend(index, request.arrived, request.site, ticket, now));
        }
        if let Some(error) = self.breaker_error(now) {
            self.counters.failed += 1;
            return Acquired::Refused(Refusal::Failed(error));
        }
        if request.deadline.is_some_and(|at| at <= now) {
            // Whoever never waits gets any session that is ready, and finds one next time that is
            // only in need of a check now.
            if self.waiters.queued() == 0
                && let Some(index) = self.fresh_idle(now)
            {
                return Acquired::Ready(self.lend(
                    index,
                    request.arrived,
                    request.site,
                    ticket,
                    now,
                ));
            }
            self.counters.timed_out += 1;
            if let Some(index) = self.first_lendable(now) {
                self.slots[index].suspect = true;
                self.queue_upkeep(index);
            }
            let report = self.timeout_report(request.arrived, now);
            return Acquired::Refused(Refusal::TimedOut(report));
        }
        let id = self.waiters.push(request, ticket);
        self.dispatch(now);
        Acquired::Waiting(id)
    }

    /// A borrower wants a session that is ready this moment. Where there is none, it has not
    /// asked.
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

    /// The session for a newcomer, if nobody came before.
    #[inline]
    fn ready(&mut self, now: Instant) -> Option<u32> {
        if self.waiters.queued() > 0 {
            return None;
        }
        self.first_lendable(now).filter(|&index| !self.is_stale(index, now))
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
                    return Taken::Ready(self.lend(index, arrived, site, ticket, now));
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
        match self.waiters.remove(waiter) {
            Fate::Queued => self.counters.cancelled += 1,
            Fate::Reserved(index) => {
                self.counters.cancelled += 1;
                self.unreserve(index, now);
                self.dispatch(now);
            }
            Fate::Done(_) | Fate::Vacant => {}
        }
    }

    /// A session just lent turned out to be broken. Its borrower asks again with its old
    /// [`ticket`](Lease::ticket), and so keeps its place.
    pub fn unusable(&mut self, slot: SlotId, session: S, reason: CloseReason, now: Instant) {
        if self.slots.get(slot).is_some_and(|index| self.slots[index].phase == Phase::Lent) {
            self.counters.served -= 1;
            self.counters.replaced += 1;
        }
        self.release(slot, session, Returned::Broken(reason), now);
    }

    /// A borrower returns its session.
    pub fn release(&mut self, slot: SlotId, session: S, state: Returned, now: Instant) {
        let Some(index) = self.slots.get(slot).filter(|&i| self.slots[i].phase == Phase::Lent)
        else {
            return self.adopt_orphan(session);
        };
        let since = self.slots[index].since;
        self.emit(|| Event::Released { held: now.saturating_duration_since(since) });
        match state {
            Returned::Clean => {
                (self.slots[index].since, self.slots[index].verified) = (now, now);
                match self.heir(index, now) {
                    Some(waiter) => {
                        self.slots[index].session = Some(session);
                        return self.promise(index, waiter);
                    }
                    None => self.settle(index, session, now),
                }
            }
            Returned::Broken(reason) => {
                self.slots[index].session = Some(session);
                self.begin_close(index, reason, now);
            }
            Returned::NeedsReset => {
                self.slots[index].session = Some(session);
                match self.must_retire(index, now) {
                    Some(reason) => self.begin_close(index, reason, now),
                    None => {
                        self.slots[index].deadline = None;
                        self.slots.enter(index, Phase::Resetting);
                        self.queues.resets.push_back(slot);
                    }
                }
            }
        }
        self.dispatch(now);
    }

    /// A borrower keeps its session for good: the pool forgets it and may open another.
    pub fn detach(&mut self, slot: SlotId, now: Instant) {
        if let Some(index) = self.slots.get(slot).filter(|&i| self.slots[i].phase == Phase::Lent) {
            self.counters.detached += 1;
            self.emit(|| Event::Detached);
            self.free(index);
            self.dispatch(now);
        }
    }

    /// Puts a session that is free now where it belongs: idle, or out of the pool.
    #[inline]
    pub(super) fn settle(&mut self, index: u32, session: S, now: Instant) {
        let slot = &mut self.slots[index];
        slot.session = Some(session);
        slot.deadline = None;
        slot.suspect = false;
        if slot.expires_at.is_none() {
            let lifetime = self.config.max_lifetime.map(|limit| slot.shortened(limit));
            slot.expires_at = lifetime.and_then(|lifetime| slot.born.checked_add(lifetime));
        }
        let displaced = self.gate.yielding && self.waiters.queued() == 0;
        let displaced = displaced.then_some(CloseReason::Displaced);
        match self.must_retire(index, now).or(displaced) {
            Some(reason) => self.begin_close(index, reason, now),
            None => {
                // A lent session keeps its timer, which is never later than what is due now.
                let armed = self.slots[index].phase == Phase::Lent && self.is_armed(index);
                self.slots.enter(index, Phase::Idle);
                self.slots.link(index);
                self.freshest = self.freshest.max(Some(self.slots[index].verified));
                if !armed {
                    self.arm(index);
                }
            }
        }
    }

    /// Serves the queue from what is idle, in order, and starts the checks it needs.
    #[inline]
    pub(super) fn dispatch(&mut self, now: Instant) {
        while let Some(waiter) = self.waiters.front() {
            let Some(first) = self.first_lendable(now) else { break };
            let index = match self.is_stale(first, now) {
                false => first,
                true if self.slots.lend_checks() < self.waiters.queued() => {
                    self.slots.unlink(first);
                    self.slots.enter_checking(first, Purpose::Lend);
                    self.slots[first].deadline = None;
                    self.queues.checks.push_back(self.slots.id(first));
                    continue;
                }
                // Enough checks are under way; one that is ready further back need not wait.
                true => match self.fresh_idle(now) {
                    Some(index) => index,
                    None => break,
                },
            };
            self.slots.unlink(index);
            self.promise(index, waiter);
        }
        self.note_drained();
    }

    /// Who gets a session that has just come back in order. Where somebody waits, all that is idle
    /// has to be checked first.
    #[inline]
    fn heir(&self, index: u32, now: Instant) -> Option<u32> {
        let waiter = self.waiters.front()?;
        self.must_retire(index, now).is_none().then_some(waiter)
    }

    #[inline]
    fn promise(&mut self, index: u32, waiter: u32) {
        self.slots.enter(index, Phase::Reserved);
        let id = self.waiters.reserve(waiter, index);
        self.slots[index].waiter = Some(id);
        self.notices.push_back(Notice::Wake(id));
    }

    /// The idle session to lend next, once those that have to go are out of the way.
    #[inline]
    fn first_lendable(&mut self, now: Instant) -> Option<u32> {
        loop {
            let index = self.slots.first_idle(self.config.order == Order::Lifo)?;
            match self.must_retire(index, now) {
                None => return Some(index),
                Some(reason) => self.begin_close(index, reason, now),
            }
        }
    }

    /// The first idle session in order that can be lent without a check.
    fn fresh_idle(&self, now: Instant) -> Option<u32> {
        // Looking through a long list of stale ones again and again would cost too much.
        let silent = now.saturating_duration_since(self.freshest?);
        if silent > self.config.check_after_idle {
            return None;
        }
        let ready = |index| !self.is_stale(index, now) && self.must_retire(index, now).is_none();
        self.slots.idle(self.config.order == Order::Lifo).find(|&index| ready(index))
    }

    /// Whether it has to show a sign of life before it is lent.
    #[inline]
    fn is_stale(&self, index: u32, now: Instant) -> bool {
        let slot = &self.slots[index];
        // Most are lent in the same tick of the cheap clock in which they came back.
        slot.suspect
            || (now > slot.verified
                && now.saturating_duration_since(slot.verified) > self.config.check_after_idle)
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
        let grace =
            if slot.verified > slot.since { self.config.check_timeout } else { Duration::ZERO };
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
        self.slots.unlink(index);
        self.slots.enter(index, Phase::Lent);
        let slot = &mut self.slots[index];
        slot.since = now;
        slot.site = Some(site);
        slot.waiter = None;
        let session = slot.session.take();
        self.counters.served += 1;
        self.emit(|| {
            let waited = now.saturating_duration_since(arrived);
            Event::Acquired { waited }
        });
        match session {
            Some(session) => Lease { slot: self.slots.id(index), session, ticket },
            None => unreachable!("an idle or reserved slot owns its session"),
        }
    }

    /// A promised session is free again.
    pub(super) fn unreserve(&mut self, index: u32, now: Instant) {
        self.slots[index].waiter = None;
        match self.must_retire(index, now) {
            Some(reason) => self.begin_close(index, reason, now),
            None => {
                self.slots.enter(index, Phase::Idle);
                self.slots.link(index);
                self.freshest = self.freshest.max(Some(self.slots[index].verified));
                self.arm(index);
            }
        }
    }
}
