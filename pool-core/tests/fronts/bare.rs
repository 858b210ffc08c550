//! The core itself, driven by hand in one thread.

use std::collections::{BTreeMap, VecDeque};
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pool_core::core::{
    Acquired, ConnectFailure, Core, Lease, LeaseId, Notice, Purpose, Refusal, Request, Returned,
    SlotId, Taken, Task, WaiterId,
};
use pool_core::{CloseReason, Config, ErrorKind, Event, EventError};

use crate::desk::{Desk, Failed, Kind, Session, Ticket, Verdict};
use crate::step::{How, Outcome, Step, View};

pub(crate) struct Bare {
    shared: bool,
    core: Core<Arc<Session>, Arc<Failed>>,
    now: Instant,
    /// For its numbers only.
    desk: Desk,
    running: BTreeMap<Ticket, Task<Arc<Session>>>,
    waiting: BTreeMap<usize, (Request, WaiterId)>,
    held: BTreeMap<usize, (LeaseId, Arc<Session>)>,
    borrowers: BTreeMap<usize, Outcome>,
    events: Vec<Event>,
    woken: VecDeque<WaiterId>,
    /// An operation that the core gives up ends then, as a task does; a thread goes on.
    interruptible: bool,
    interrupted: Vec<SlotId>,
}

impl Bare {
    pub(crate) fn new(config: Config, shared: bool, now: Instant, interruptible: bool) -> Self {
        let mut core = match shared {
            true => Core::shared(config, Arc::clone, true),
            false => Core::new(config, true),
        };
        core.describe_errors(|error: &Arc<Failed>| EventError::new(Arc::clone(error) as _));
        Self {
            core,
            shared,
            now,
            desk: Desk::default(),
            running: BTreeMap::new(),
            waiting: BTreeMap::new(),
            held: BTreeMap::new(),
            borrowers: BTreeMap::new(),
            events: Vec::new(),
            woken: VecDeque::new(),
            interruptible,
            interrupted: Vec::new(),
        }
    }

    /// When something is due, if that is before so much time has passed.
    pub(crate) fn until_due(&self, by: Duration) -> Duration {
        let due = self.core.poll_timeout().map(|at| at.saturating_duration_since(self.now));
        due.map_or(by, |due| due.min(by))
    }

    pub(crate) fn play(&mut self, step: Step) {
        let now = self.now;
        match step {
            Step::Borrow(patience) => {
                let (site, deadline) = (Location::caller(), Some(now + patience));
                let request = Request { arrived: now, deadline, site, ticket: None };
                self.ask(self.borrowers.len(), request);
            }
            Step::Return(borrower, how) => {
                let Some((lease, session)) = self.held.remove(&borrower) else { return };
                self.borrowers.insert(borrower, Outcome::Gone);
                self.give_back(lease, session, how);
            }
            Step::Finish(ticket, verdict) => self.finish(ticket, verdict),
            Step::Advance(by) => self.now += by,
            Step::Resize(size) => self.core.resize(size, now),
            Step::EvictAll => self.core.evict_all(now),
            Step::Close => self.core.close(now),
        }
        self.settle();
    }

    pub(crate) fn view(&self) -> View {
        View {
            stats: self.core.stats(),
            working: self.running.keys().copied().collect(),
            borrowers: self.borrowers.clone(),
            events: self.events.iter().map(|event| format!("{event:?}")).collect(),
        }
    }

    fn ask(&mut self, borrower: usize, request: Request) {
        match self.core.acquire(request, self.now) {
            Acquired::Ready(lease) => self.lend(borrower, request, lease),
            Acquired::Refused(refusal) => self.refuse(borrower, &refusal),
            Acquired::Waiting(id) => {
                self.borrowers.insert(borrower, Outcome::Waits);
                self.waiting.insert(borrower, (request, id));
            }
        }
    }

    /// As a guard does.
    fn give_back(&mut self, lease: LeaseId, session: Arc<Session>, how: How) {
        let now = self.now;
        match how {
            How::Dirty => session.dirty.store(true, Ordering::SeqCst),
            How::Killed => session.broken.store(true, Ordering::SeqCst),
            How::Marked if self.shared => {
                self.core.mark_broken(lease, CloseReason::Marked, now);
                self.listen();
            }
            How::Detached => return self.core.detach(lease, now),
            How::Clean | How::Marked | How::Refused => {}
        }
        let state = match how {
            How::Marked => Returned::Broken(CloseReason::Marked),
            _ if session.is_broken() => Returned::Broken(CloseReason::Broken),
            How::Refused => Returned::Refused,
            _ if session.dirty.load(Ordering::SeqCst) => Returned::NeedsReset,
            _ => Returned::Clean,
        };
        let session = self.hand_back(session);
        self.core.release(lease, session, state, now);
    }

    /// Where sessions are shared, the core has a handle of its own.
    fn hand_back(&self, session: Arc<Session>) -> Option<Arc<Session>> {
        (!self.shared).then_some(session)
    }

    fn lend(&mut self, borrower: usize, request: Request, lease: Lease<Arc<Session>>) {
        let Lease { id, slot, session, ticket, arrived, uses, .. } = lease;
        let waited = self.now.saturating_duration_since(arrived);
        // The front delivers what the core said before it looks at what it got.
        self.listen();
        if session.is_broken() {
            let session = self.hand_back(session);
            self.core.unusable(id, session, CloseReason::Broken, self.now);
            return self.ask(borrower, Request { ticket: Some(ticket), ..request });
        }
        self.events.push(Event::Acquired { session: slot.number(), waited, uses });
        self.borrowers.insert(borrower, Outcome::Holds(session.id));
        self.held.insert(borrower, (id, session));
    }

    fn refuse(&mut self, borrower: usize, refusal: &Refusal<Arc<Failed>>) {
        let outcome = match refusal {
            Refusal::Closed => Outcome::Closed,
            Refusal::Failed(_) => Outcome::Failed,
            Refusal::TimedOut(_) => Outcome::TimedOut,
            Refusal::Overloaded { .. } => Outcome::Overloaded,
        };
        self.borrowers.insert(borrower, outcome);
    }

    /// Does all that can be done at this moment.
    fn settle(&mut self) {
        loop {
            self.core.handle_timeout(self.now);
            self.listen();
            let mut idle = true;
            while let Some(id) = self.woken.pop_front() {
                idle = false;
                self.wake(id);
            }
            for slot in std::mem::take(&mut self.interrupted) {
                idle = false;
                self.interrupt(slot);
            }
            while let Some(task) = self.core.poll_task(self.now) {
                idle = false;
                let ticket = match &task {
                    Task::Connect { .. } => (Kind::Connect, self.desk.next_connect()),
                    Task::Check { purpose: Purpose::Keepalive, session, .. } => {
                        (Kind::Keepalive, session.id)
                    }
                    Task::Check { session, .. } => (Kind::Check, session.id),
                    Task::Reset { session, .. } => (Kind::Reset, session.id),
                    Task::Close { session, .. } => (Kind::Close, session.id),
                };
                self.running.insert(ticket, task);
            }
            if idle {
                return;
            }
        }
    }

    /// Events are told before anybody wakes up.
    fn listen(&mut self) {
        while let Some(notice) = self.core.poll_notice() {
            match notice {
                Notice::Event(event) => self.events.push(event),
                Notice::Wake(id) => self.woken.push_back(id),
                Notice::Interrupt(slot) if self.interruptible => self.interrupted.push(slot),
                Notice::Interrupt(_) | Notice::Progress | Notice::Drained => {}
            }
        }
    }

    fn wake(&mut self, id: WaiterId) {
        let found = self.waiting.iter().find(|(_, waiting)| waiting.1 == id);
        let Some((&borrower, &(request, _))) = found else { return };
        match self.core.take(id, self.now) {
            Taken::Pending => {}
            Taken::Ready(lease) => {
                self.waiting.remove(&borrower);
                self.lend(borrower, request, lease);
            }
            Taken::Refused(refusal) => {
                self.waiting.remove(&borrower);
                self.refuse(borrower, &refusal);
            }
        }
    }

    fn interrupt(&mut self, slot: SlotId) {
        let ticket = self.running.iter().find(|(_, task)| task.slot() == slot).map(|(key, _)| *key);
        match ticket.and_then(|ticket| self.running.remove(&ticket)) {
            Some(Task::Connect { .. }) => {
                let failure = ConnectFailure::TimedOut;
                self.core.connect_failed(slot, ErrorKind::Transient, failure, self.now);
            }
            other => panic!("only a connect has no other end: {other:?}"),
        }
    }

    fn finish(&mut self, ticket: Ticket, verdict: Verdict) {
        let Some(task) = self.running.remove(&ticket) else { return };
        let (now, ok) = (self.now, verdict == Verdict::Ok);
        match task {
            Task::Connect { slot, .. } => match verdict.result() {
                Ok(()) => self.core.connected(slot, self.desk.session(), now),
                Err(error) => {
                    let failure = ConnectFailure::Error(Arc::new(error));
                    self.core.connect_failed(slot, verdict.kind(), failure, now);
                }
            },
            Task::Check { slot, session, .. } => {
                let session = self.hand_back(session);
                self.core.checked(slot, session, ok, now);
            }
            Task::Reset { slot, session, .. } => {
                session.dirty.fetch_and(!ok, Ordering::SeqCst);
                let session = self.hand_back(session);
                self.core.reset_done(slot, session, ok, now);
            }
            Task::Close { slot, .. } => self.core.closed(slot, now),
        }
    }
}
