//! What borrowers do.

use std::panic::Location;
use std::time::Duration;

use pool_core::CloseReason;
use pool_core::core::{Acquired, Lease, Phase, Refusal, Request, Returned, Taken};

use super::facts::{Held, Waiting};
use super::handle::Handle;
use super::harness::Harness;
use super::violation::Checked;
use super::{Patience, Return};
use crate::FakeError;

impl Harness {
    pub(super) fn acquire(&mut self, patience: Patience) -> Checked {
        let millis = |n: u8| Duration::from_millis(u64::from(n));
        let deadline = match patience {
            Patience::Endless => None,
            Patience::None => Some(self.now),
            Patience::Past => self.now.checked_sub(millis(5)),
            Patience::Millis(n) => self.now.checked_add(millis(n)),
        };
        let site = Location::caller();
        let request = Request { arrived: self.now, deadline, site, ticket: None };
        self.arrivals += 1;
        // As the fronts do, which ask by the cheap clock first.
        if self.arrivals.is_multiple_of(2) {
            if let Some(lease) = self.core.acquire_ready(site, self.now) {
                self.tally.acquires += 1;
                return self.answered(Acquired::Ready(lease), request, self.arrivals);
            }
            let before = self.observe()?;
            // A promised session that is past its end may be found so.
            let same = before.queue == self.book.queue || !self.news.closed.is_empty();
            ensure!(same, "I13", "asking in vain changed the queue");
            let mut some = self.book.slots.iter().filter(|entry| entry.has_room()).peekable();
            let ready = some.peek().is_some() && self.book.queued() == 0;
            let ready = ready && some.all(|entry| self.is_ready(entry));
            ensure!(!ready, "I11", "nothing was lent although all that has room is ready");
        }
        self.ask(request, self.arrivals)
    }

    fn ask(&mut self, request: Request, arrival: u64) -> Checked {
        self.tally.acquires += 1;
        let answer = self.core.acquire(request, self.now);
        self.answered(answer, request, arrival)
    }

    fn answered(
        &mut self,
        answer: Acquired<Handle, FakeError>,
        request: Request,
        arrival: u64,
    ) -> Checked {
        match answer {
            // Whoever gets an id must be known when the rules are checked.
            Acquired::Waiting(id) => {
                let none_left = request.deadline.is_some_and(|at| at <= self.now);
                ensure!(!none_left, "I12", "queued although its deadline has come");
                self.waiters.push(Waiting { id, request, arrival });
                self.observe()?;
                let new = request.ticket.is_none();
                let fits = self.setup.max_waiters.is_none_or(|most| self.waits_by_now() <= most);
                ensure!(!new || fits, "I13", "{} wait", self.waits_by_now());
                Ok(())
            }
            Acquired::Ready(lease) => {
                let slot = lease.slot;
                let since = self.facts.get(&lease.session.id).map(|facts| facts.since);
                self.lend(lease, request, arrival, false)?;
                let now = self.now;
                if let Some(facts) = self.home.get(&slot).and_then(|id| self.facts.get_mut(id)) {
                    facts.since = facts.since.max(now);
                }
                let before = self.observe()?;
                ensure!(before.queued() == 0, "I10", "a newcomer overtook {:?}", before.queue);
                self.check_order(&before, Some((slot, since)))
            }
            Acquired::Refused(refusal) => {
                let open = !matches!(refusal, Refusal::Failed(_)) || self.gate.may_refuse(self.now);
                ensure!(open, "I18", "refused with an old error");
                self.vain |= matches!(refusal, Refusal::TimedOut(_));
                self.refused(&refusal, &request)?;
                let before = self.observe()?;
                if let Refusal::Overloaded { waiting } = refusal {
                    let most = self.setup.max_waiters.unwrap_or(usize::MAX);
                    let full = waiting >= most && waiting == before.stats.waiting;
                    ensure!(full, "I13", "overloaded at {waiting} of {most}");
                }
                if matches!(refusal, Refusal::TimedOut(_)) {
                    let ready = self.book.slots.iter().find(|entry| self.is_ready(entry));
                    let first = before.queued() + self.book.queued() == 0;
                    ensure!(!first || ready.is_none(), "I11", "refused although {ready:?}");
                    // What needs a check first may be checked now, for the next one.
                    for entry in &before.slots {
                        if let Some(id) = self.home.get(&entry.slot) {
                            self.facts.entry(*id).and_modify(|facts| facts.doubtful = true);
                        }
                    }
                }
                Ok(())
            }
        }
    }

    fn waits_by_now(&self) -> usize {
        self.book.stats.waiting
    }

    fn refused(&mut self, refusal: &Refusal<FakeError>, request: &Request) -> Checked {
        let latest = self.latest.max(self.now);
        match refusal {
            Refusal::Closed => {
                self.tally.refused_closed += 1;
                ensure!(self.closed, "I13", "refused as closed, but is open");
            }
            Refusal::Failed(_) => {
                self.tally.failed += 1;
                ensure!(self.hopeless > 0, "I18", "an error that nobody reported");
            }
            Refusal::Overloaded { .. } => self.tally.overloaded += 1,
            Refusal::TimedOut(report) => {
                self.tally.timed_out += 1;
                let due = request.deadline.is_some_and(|at| at <= latest);
                ensure!(due, "I12", "timed out before its deadline");
                let waited = latest.saturating_duration_since(request.arrived);
                ensure!(report.waited <= waited, "I12", "waited {:?}", report.waited);
            }
        }
        Ok(())
    }

    /// What must be true of a session at the moment of its lease.
    fn lend(
        &mut self,
        lease: Lease<Handle>,
        request: Request,
        arrival: u64,
        promised: bool,
    ) -> Checked {
        let Lease { id, slot, session, ticket, uses, born, .. } = lease;
        session.use_it(|| ());
        self.tally.served += 1;
        ensure!(!self.closed, "I24", "lent after close");
        let Some(facts) = self.facts.get_mut(&session.id) else {
            ensure!(false, "I6", "an unknown session was lent");
            return Ok(());
        };
        let home = self.home.get(&slot);
        ensure!(home == Some(&session.id), "I6", "{slot:?} lent {} of {home:?}", session.id);
        ensure!(facts.dead.is_none(), "I7", "lent although {:?}", facts.dead);
        ensure!(!facts.evicted, "I7", "lent although evicted");
        let told = (uses, born) == (facts.uses, facts.born);
        ensure!(told, "I32", "told {uses} uses since {born:?} of {facts:?}");
        facts.uses += 1;
        let others = self.book.entry(slot).map_or(0, |entry| entry.leases);
        let limit = self.setup.max_lifetime.unwrap_or(Duration::MAX);
        let age = facts.age(self.now);
        // Beyond its lifetime a session is lent only for as long as somebody has it anyway, and
        // has no successor.
        facts.overdue |= others > 0 && age >= limit;
        ensure!(age < limit || others > 0, "I9", "lent at the age of {age:?}");
        ensure!(!facts.suspect, "I9", "lent although suspect");
        let unused = self.now.saturating_duration_since(facts.used);
        let known = unused <= self.setup.check_after_idle || facts.checked;
        ensure!(known, "I9", "lent unchecked after {unused:?}");
        // Of a promise that was asked when it was given; others may have used the session since.
        let each_time = self.setup.check_after_idle.is_zero() && facts.touched && !promised;
        ensure!(!each_time, "I9", "lent unchecked after a use");
        ensure!(!facts.dirty || others > 0 || self.book.load(slot) > 0, "I38", "lent unclean");
        let since = self.now;
        let reported = false;
        self.held.push(Held { id, slot, session, ticket, request, arrival, since, reported });
        Ok(())
    }

    pub(super) fn take(&mut self, n: u8) -> Checked {
        let Some(pick) = pick(n, self.waiters.len()) else { return Ok(()) };
        let Waiting { id, request, arrival } = self.waiters[pick];
        let place = self.book.place(id);
        match self.core.take(id, self.now) {
            Taken::Ready(lease) => {
                let promised = place == Some(Some(lease.slot));
                ensure!(promised, "I13", "served from {place:?}");
                self.forget_waiter(pick);
                self.lend(lease, request, arrival, true)?;
            }
            Taken::Refused(refusal) => {
                ensure!(place.is_none(), "I13", "refused from {place:?}");
                self.forget_waiter(pick);
                self.refused(&refusal, &request)?;
            }
            Taken::Pending => ensure!(place.is_some(), "I13", "no outcome given"),
        }
        let before = self.observe()?;
        let still = place == Some(None);
        ensure!(!still || before == self.book, "I13", "asking in vain changed the books");
        Ok(())
    }

    pub(super) fn cancel(&mut self, n: u8) -> Checked {
        let Some(pick) = pick(n, self.waiters.len()) else { return Ok(()) };
        let id = self.waiters[pick].id;
        let place = self.book.place(id);
        self.forget_waiter(pick);
        self.core.cancel(id, self.now);
        let waited = usize::from(place.is_some());
        match place {
            Some(_) => self.tally.cancelled += 1,
            // It had an outcome of which nobody will know.
            None => self.tally.unknown += 1,
        }
        let before = self.observe()?;
        let (was, is) = (before.stats, self.book.stats);
        ensure!(is.waiting + waited == was.waiting, "I14", "{} waiting", is.waiting);
        ensure!(is.open() == was.open(), "I14", "{} open of {}", is.open(), was.open());
        ensure!(is.connecting == was.connecting, "I14", "a connect was lost");
        let lost = place.is_none_or(|slot| slot.is_none()) && before.slots != self.book.slots;
        ensure!(!lost, "I14", "a waiter without promise changed the slots");
        Ok(())
    }

    fn forget_waiter(&mut self, pick: usize) {
        let waiter = self.waiters.remove(pick);
        self.gone_waiter = Some(waiter.id);
    }

    pub(super) fn release(&mut self, n: u8, state: Return) -> Checked {
        let Some(pick) = pick(n, self.held.len()) else { return Ok(()) };
        let held = self.held.remove(pick);
        held.session.use_it(|| ());
        let (now, id) = (self.now, held.session.id);
        let Some(facts) = self.facts.get_mut(&id) else { return Ok(()) };
        let returned = match state {
            Return::Clean | Return::Dirty => {
                // Whatever the others do: traffic of one is life for all.
                facts.used(now);
                facts.touched = true;
                facts.dirty |= state == Return::Dirty;
                self.look_was_good(id);
                if state == Return::Clean { Returned::Clean } else { Returned::NeedsReset }
            }
            Return::Broken => {
                facts.dead = Some("it came back broken");
                Returned::Broken(CloseReason::Marked)
            }
        };
        self.give_back(held, returned)?;
        self.observe().map(drop)
    }

    /// Ends a lease; where sessions are shared, its handle is dropped before.
    fn give_back(&mut self, held: Held, returned: Returned) -> Checked {
        let Held { id, session, .. } = held;
        self.gone_lease = Some(id);
        let session = self.hand_back(session);
        let left = self.core.release(id, session, returned, self.now);
        ensure!(left.is_none(), "I6", "a session came back that has a slot");
        Ok(())
    }

    /// What the core is given of a session that comes back.
    pub(super) fn hand_back(&mut self, session: Handle) -> Option<Handle> {
        if self.setup.shared {
            self.dropped += 1;
            drop(session);
            return None;
        }
        Some(session)
    }

    pub(super) fn replace(&mut self, n: u8) -> Checked {
        let Some(pick) = pick(n, self.held.len()) else { return Ok(()) };
        let Held { id, session, ticket, request, arrival, .. } = self.held.remove(pick);
        if let Some(facts) = self.facts.get_mut(&session.id) {
            facts.dead = Some("it was broken when it was lent");
        }
        self.look_failed(session.id);
        self.tally.acquires -= 1;
        self.tally.served -= 1;
        self.tally.replaced += 1;
        self.gone_lease = Some(id);
        let session = self.hand_back(session);
        let left = self.core.unusable(id, session, CloseReason::Broken, self.now);
        ensure!(left.is_none(), "I6", "a session came back that has a slot");
        self.observe()?;
        self.ask(Request { ticket: Some(ticket), ..request }, arrival)
    }

    /// The peer of a session refuses a borrower what it wanted (I35).
    pub(super) fn refuse(&mut self, n: u8, again: bool) -> Checked {
        let Some(pick) = pick(n, self.held.len()) else { return Ok(()) };
        let held = self.held.remove(pick);
        let (slot, id) = (held.slot, held.session.id);
        let others = self.held.iter().filter(|other| other.slot == slot).count();
        self.tally.refusals += 1;
        let grows_at = self.now.checked_add(self.setup.limit_recovery).filter(|_| !self.closed);
        self.limits.refused(slot, others, grows_at);
        if others == 0 {
            if let Some(facts) = self.facts.get_mut(&id) {
                facts.dead = Some("it does not carry a single lease");
            }
            self.look_failed(id);
        }
        let (ticket, arrival) = (held.ticket, held.arrival);
        let request = Request { arrived: self.now, ticket: Some(ticket), ..held.request };
        self.give_back(held, Returned::Refused)?;
        let before = self.observe()?;
        let (was, is) = (before.stats.counters, self.book.stats.counters);
        let same = was.connect_failures == is.connect_failures;
        ensure!(same, "I35", "a refusal counts as a failed connect");
        if again { self.ask(request, arrival) } else { Ok(()) }
    }

    pub(super) fn mark_broken(&mut self, n: u8) -> Checked {
        let Some(pick) = pick(n, self.held.len()) else { return Ok(()) };
        let Held { id, ref session, .. } = self.held[pick];
        if let Some(facts) = self.facts.get_mut(&session.id) {
            facts.dead = Some("its borrower said so");
        }
        self.core.mark_broken(id, CloseReason::Marked, self.now);
        self.observe().map(drop)
    }

    pub(super) fn detach(&mut self, n: u8) -> Checked {
        let Some(pick) = pick(n, self.held.len()) else { return Ok(()) };
        let Held { id, slot, session, .. } = self.held.remove(pick);
        self.gone_lease = Some(id);
        if let Some(facts) = self.facts.get_mut(&session.id) {
            facts.dead = Some("somebody keeps it for good");
        }
        self.tally.detached += u64::from(!self.setup.shared);
        self.detached.push(session);
        self.core.detach(id, self.now);
        self.observe()?;
        // Of a shared session its peers have handles, so it is closed with their last lease.
        let gone = match self.book.entry(slot) {
            None => true,
            Some(entry) => {
                let going = entry.phase == Phase::Closing || entry.retiring.is_some();
                self.setup.shared && going
            }
        };
        ensure!(gone, "I3", "a detached session keeps its slot");
        Ok(())
    }
}

/// What a number picks out of that many.
pub(super) fn pick(n: u8, from: usize) -> Option<usize> {
    (from > 0).then(|| usize::from(n) % from)
}
