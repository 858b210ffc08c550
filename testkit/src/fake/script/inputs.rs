//! What borrowers and owners do.

use std::panic::Location;
use std::time::Duration;

use pool_core::CloseReason;
use pool_core::core::{Acquired, Lease, Phase, Refusal, Request, Returned, Taken};

use super::books::{Facts, Held, Waiting};
use super::breach::Checked;
use super::harness::Harness;
use super::{Patience, Return};
use crate::fake::{FakeError, FakeSession};

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
            ensure!(before.queue == self.book.queue, "I13", "asking in vain changed the queue");
            let fresh = self.book.in_phase(Phase::Idle).all(|slot| self.is_fresh(slot));
            let ready = fresh && self.book.stats.idle > 0 && self.book.queued() == 0;
            ensure!(!ready, "I11", "nothing was lent although all that is idle is ready");
        }
        self.tally.acquires += 1;
        self.ask(request, self.arrivals)
    }

    fn ask(&mut self, request: Request, arrival: u64) -> Checked {
        let answer = self.core.acquire(request, self.now);
        self.answered(answer, request, arrival)
    }

    fn answered(
        &mut self,
        answer: Acquired<FakeSession, FakeError>,
        request: Request,
        arrival: u64,
    ) -> Checked {
        // Whoever gets an id must be known when the rules are checked.
        let answer = match answer {
            Acquired::Waiting(id) => {
                let none_left = request.deadline.is_some_and(|at| at <= self.now);
                ensure!(!none_left, "I12", "queued although its deadline has come");
                self.waiters.push(Waiting { id, request, arrival });
                None
            }
            Acquired::Ready(lease) => {
                let known = self.facts.contains_key(&lease.session.id);
                ensure!(known, "I6", "an unknown session was lent");
                Some(Ok(lease))
            }
            Acquired::Refused(refusal) => Some(Err(refusal)),
        };
        match answer {
            None => self.observe().map(drop),
            Some(Ok(lease)) => {
                self.lend(lease, request, arrival)?;
                let before = self.observe()?;
                ensure!(before.queued() == 0, "I10", "a newcomer overtook {:?}", before.queue);
                let slot = self.held.last().map(|held| held.slot);
                self.check_order(&before, slot)
            }
            Some(Err(refusal)) => {
                let open = !matches!(refusal, Refusal::Failed(_)) || self.gate.may_refuse(self.now);
                ensure!(open, "I18", "refused with an old error");
                self.refused(&refusal, &request)?;
                let before = self.observe()?;
                if matches!(refusal, Refusal::TimedOut(_)) {
                    for slot in before.in_phase(Phase::Idle) {
                        if let Some(id) = self.home.get(&slot) {
                            self.facts.entry(*id).and_modify(|facts| facts.doubtful = true);
                        }
                    }
                    let fresh = before.in_phase(Phase::Idle).find(|slot| self.is_fresh(*slot));
                    ensure!(fresh.is_none(), "I11", "refused although {fresh:?} was ready");
                }
                Ok(())
            }
        }
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
                ensure!(self.permanents > 0, "I18", "a permanent error that nobody reported");
            }
            Refusal::Overloaded { waiting } => {
                ensure!(false, "I13", "overloaded at {waiting}");
            }
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
    fn lend(&mut self, lease: Lease<FakeSession>, request: Request, arrival: u64) -> Checked {
        let Lease { id, slot, session, ticket, .. } = lease;
        session.use_it(|| ());
        self.tally.served += 1;
        ensure!(!self.closed, "I24", "lent after close");
        let Some(facts) = self.facts.get(&session.id) else {
            ensure!(false, "I6", "an unknown session was lent");
            return Ok(());
        };
        let home = self.home.get(&slot);
        ensure!(home == Some(&session.id), "I6", "{slot:?} lent {} of {home:?}", session.id);
        ensure!(facts.dead.is_none(), "I7", "lent although {:?}", facts.dead);
        ensure!(!facts.evicted, "I7", "lent although evicted");
        let limit = self.setup.max_lifetime.unwrap_or(Duration::MAX);
        ensure!(facts.age(self.now) < limit, "I9", "lent at the age of {:?}", facts.age(self.now));
        ensure!(!facts.suspect, "I9", "lent although suspect");
        let unused = self.now.saturating_duration_since(facts.used);
        let known = unused <= self.setup.check_after_idle || facts.checked;
        ensure!(known, "I9", "lent unchecked after {unused:?}");
        self.held.push(Held { id, slot, session, ticket, request, arrival });
        Ok(())
    }

    pub(super) fn take(&mut self, n: u8) -> Checked {
        let Some(pick) = pick(n, self.waiters.len()) else { return Ok(()) };
        let Waiting { id, request, arrival } = self.waiters[pick];
        let place = self.book.place(id);
        match self.core.take(id, self.now) {
            Taken::Ready(lease) => {
                ensure!(matches!(place, Some(Some(_))), "I13", "served from {place:?}");
                self.forget_waiter(pick);
                self.lend(lease, request, arrival)?;
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
        let Held { id, session, .. } = self.held.remove(pick);
        self.gone_lease = Some(id);
        session.use_it(|| ());
        let Some(facts) = self.facts.get_mut(&session.id) else { return Ok(()) };
        let returned = match state {
            Return::Clean => {
                facts.used(self.now);
                Returned::Clean
            }
            Return::Dirty => Returned::NeedsReset,
            Return::Broken => {
                facts.dead = Some("it came back broken");
                Returned::Broken(CloseReason::Marked)
            }
        };
        let left = self.core.release(id, Some(session), returned, self.now);
        ensure!(left.is_none(), "I6", "a session came back that has a slot");
        self.observe().map(drop)
    }

    pub(super) fn replace(&mut self, n: u8) -> Checked {
        let Some(pick) = pick(n, self.held.len()) else { return Ok(()) };
        let Held { id, session, ticket, request, arrival, .. } = self.held.remove(pick);
        if let Some(facts) = self.facts.get_mut(&session.id) {
            facts.dead = Some("it was broken when it was lent");
        }
        self.tally.served -= 1;
        self.tally.replaced += 1;
        let left = self.core.unusable(id, Some(session), CloseReason::Broken, self.now);
        ensure!(left.is_none(), "I6", "a session came back that has a slot");
        self.ask(Request { ticket: Some(ticket), ..request }, arrival)
    }

    pub(super) fn detach(&mut self, n: u8) -> Checked {
        let Some(pick) = pick(n, self.held.len()) else { return Ok(()) };
        let Held { id, slot, session, .. } = self.held.remove(pick);
        self.tally.detached += 1;
        self.detached.push(session);
        self.core.detach(id, self.now);
        self.observe()?;
        ensure!(self.book.phase(slot).is_none(), "I3", "a detached session keeps its slot");
        Ok(())
    }

    pub(super) fn resize(&mut self, max_size: usize) -> Checked {
        self.max_size = max_size;
        self.core.resize(max_size, self.now);
        self.observe().map(drop)
    }

    pub(super) fn evict_all(&mut self) -> Checked {
        for id in self.home.values() {
            self.facts.entry(*id).and_modify(|facts| facts.evicted = true);
        }
        for task in &mut self.running {
            task.evicted = true;
        }
        self.gate = super::gate::GateModel::new();
        self.core.evict_all(self.now);
        self.observe().map(drop)
    }

    pub(super) fn add(&mut self) -> Checked {
        let room = !self.closed && self.book.stats.open() < self.max_size;
        let session = FakeSession::new(&self.truth);
        let id = session.id;
        let added = self.core.add(session, self.now);
        ensure!(added.is_ok() == room, "I1", "added: {}, room: {room}", added.is_ok());
        match added {
            Ok(()) => {
                self.tally.created += 1;
                self.facts.insert(id, Facts::new(self.now));
                let new = self.core.phases().find(|(slot, _)| {
                    self.core.phases().any(|(s, phase)| s == *slot && phase != Phase::Vacant)
                        && self.book.phase(*slot).is_none()
                });
                if let Some((slot, _)) = new {
                    self.home.insert(slot, id);
                }
            }
            Err(session) => {
                self.dropped += 1;
                drop(session);
            }
        }
        self.observe().map(drop)
    }

    pub(super) fn inspect(&mut self, n: u8) -> Checked {
        let slots = self.core.idle_slots();
        ensure!(slots.len() == self.book.stats.idle, "I2", "{} idle", slots.len());
        let Some(pick) = pick(n, slots.len()) else { return Ok(()) };
        let Some(session) = self.core.inspect(slots[pick]) else {
            ensure!(false, "I2", "an idle slot without a session");
            return Ok(());
        };
        session.use_it(|| ());
        self.looks.push((slots[pick], session));
        self.observe().map(drop)
    }

    pub(super) fn inspected(&mut self, n: u8, keep: bool) -> Checked {
        let Some(pick) = pick(n, self.looks.len()) else { return Ok(()) };
        let (slot, session) = self.looks.remove(pick);
        if let Some(facts) = self.facts.get_mut(&session.id).filter(|_| !keep) {
            facts.dead = Some("it was refused");
        }
        self.core.inspected(slot, session, keep, self.now);
        self.observe().map(drop)
    }

    pub(super) fn close(&mut self) -> Checked {
        self.closed = true;
        self.core.close(self.now);
        let before = self.observe()?;
        let (was, is) = (before.stats.counters, self.book.stats.counters);
        let refused = is.refused_closed - was.refused_closed;
        ensure!(refused == before.stats.waiting as u64, "I24", "{refused} waiters refused");
        Ok(())
    }

    /// Calls that come too late or twice, and must change nothing.
    pub(super) fn stray(&mut self, n: u8) -> Checked {
        let idle = self.book.in_phase(Phase::Idle).next();
        let lent = self.book.in_phase(Phase::Lent).next();
        match (n % 10, self.gone_waiter, self.gone_slot) {
            (0, Some(id), _) => {
                let answer = self.core.take(id, self.now);
                ensure!(matches!(answer, Taken::Refused(Refusal::Closed)), "I13", "{answer:?}");
            }
            (1, Some(id), _) => self.core.cancel(id, self.now),
            (2, ..) => {
                if let Some(lease) = self.gone_lease {
                    self.core.detach(lease, self.now);
                }
            }
            (3, _, Some(slot)) => {
                let none = self.core.inspect(slot).is_none();
                ensure!(none, "I4", "a slot that is gone was looked at");
            }
            (4, _, Some(slot)) if self.book.stats.hung() == 0 => {
                self.core.closed(slot, self.now);
            }
            (5, _, Some(slot)) if self.book.stats.hung() == 0 => {
                self.core.lost(slot, self.now);
            }
            (6, ..) => {
                if let Some(slot) = idle.or(lent) {
                    self.core.closed(slot, self.now);
                    self.core.lost(slot, self.now);
                }
            }
            (7, ..) if self.closed => self.core.close(self.now),
            (8, ..) if self.gone_lease.is_some() => return self.stray_return(),
            (9, ..) => {
                if let Some(lease) = self.gone_lease {
                    self.core.mark_broken(lease, CloseReason::Marked, self.now);
                }
            }
            _ => {}
        }
        let before = self.observe()?;
        ensure!(before == self.book, "I4", "a stray call had an effect");
        Ok(())
    }

    /// A session comes back for a lease that has ended: it can only be closed.
    fn stray_return(&mut self) -> Checked {
        let Some(lease) = self.gone_lease else { return Ok(()) };
        let session = FakeSession::new(&self.truth);
        let facts = Facts { dead: Some("it came back too late"), ..Facts::new(self.now) };
        self.facts.insert(session.id, facts);
        self.tally.created += 1;
        let left = self.core.release(lease, Some(session), Returned::Clean, self.now);
        ensure!(left.is_none(), "I4", "a stray session came back");
        let before = self.observe()?;
        let orphans = self.book.in_phase(Phase::Orphan).count();
        let was = before.in_phase(Phase::Orphan).count();
        let same = before.slots.len() + 1 == self.book.slots.len();
        ensure!(same && orphans == was + 1, "I4", "a late return changed the slots");
        Ok(())
    }
}

/// What a number picks out of that many.
pub(super) fn pick(n: u8, from: usize) -> Option<usize> {
    (from > 0).then(|| usize::from(n) % from)
}
