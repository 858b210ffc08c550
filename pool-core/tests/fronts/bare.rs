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
use pool_core::{CloseReason, Config, ErrorKind, Event, KeyedConfig, Machine, Said};

use crate::books::{Books, ByName, One, describe};
use crate::desk::{Desk, Failed, Kind, Session, Ticket, Verdict};
use crate::step::{How, Outcome, Step, View};

impl Bare<One> {
    pub(crate) fn one(config: Config, shared: bool, now: Instant, interruptible: bool) -> Self {
        let mut core = match shared {
            true => Core::shared(config, Arc::clone, true),
            false => Core::new(config, true),
        };
        core.describe_errors(describe);
        Self::new(core, shared, now, interruptible)
    }
}

impl Bare<ByName> {
    pub(crate) fn keyed(
        config: KeyedConfig,
        shared: bool,
        now: Instant,
        interruptible: bool,
    ) -> Self {
        Self::new(ByName::new(config, shared), shared, now, interruptible)
    }
}

pub(crate) struct Bare<B: Books> {
    shared: bool,
    books: B,
    now: Instant,
    /// For its numbers only.
    desk: Desk,
    running: BTreeMap<Ticket, (B::Key, Task<Arc<Session>>)>,
    waiting: BTreeMap<usize, (Request, B::Key, WaiterId)>,
    held: BTreeMap<usize, (B::Key, LeaseId, Arc<Session>)>,
    borrowers: BTreeMap<usize, Outcome>,
    events: BTreeMap<u8, Vec<String>>,
    woken: VecDeque<(B::Key, WaiterId)>,
    /// An operation that the core gives up ends then, as a task does; a thread goes on.
    interruptible: bool,
    interrupted: Vec<(B::Key, SlotId)>,
}

impl<B: Books> Bare<B> {
    fn new(books: B, shared: bool, now: Instant, interruptible: bool) -> Self {
        Self {
            books,
            shared,
            now,
            desk: Desk::default(),
            running: BTreeMap::new(),
            waiting: BTreeMap::new(),
            held: BTreeMap::new(),
            borrowers: BTreeMap::new(),
            events: BTreeMap::new(),
            woken: VecDeque::new(),
            interruptible,
            interrupted: Vec::new(),
        }
    }

    fn core<R>(&mut self, key: B::Key, input: impl FnOnce(&mut One, Instant) -> R) -> Option<R> {
        let now = self.now;
        self.books.machine().with_core(key, now, |core| input(core, now))
    }

    /// As [`core`](Self::core), of a key that something of is open.
    fn known<R>(&mut self, key: B::Key, input: impl FnOnce(&mut One, Instant) -> R) -> R {
        self.core(key, input).unwrap_or_else(|| panic!("{key:?} was forgotten in use"))
    }

    fn tell(&mut self, key: B::Key, event: &Event) {
        let name = self.books.name(key);
        self.events.entry(name).or_default().push(format!("{event:?}"));
    }

    /// When something is due, if that is before so much time has passed.
    pub(crate) fn until_due(&self, by: Duration) -> Duration {
        let due = self.books.poll_timeout().map(|at| at.saturating_duration_since(self.now));
        due.map_or(by, |due| due.min(by))
    }

    pub(crate) fn play(&mut self, step: Step) {
        let now = self.now;
        match step {
            Step::Borrow(name, patience) => {
                let (site, deadline) = (Location::caller(), Some(now + patience));
                let request = Request { arrived: now, deadline, site, ticket: None };
                let borrower = self.borrowers.len();
                match self.books.locate(name, now) {
                    Some(key) => self.ask(borrower, key, request),
                    None => drop(self.borrowers.insert(borrower, Outcome::Closed)),
                }
            }
            Step::Return(borrower, how) => {
                let Some((key, lease, session)) = self.held.remove(&borrower) else { return };
                self.borrowers.insert(borrower, Outcome::Gone);
                self.give_back(key, lease, session, how);
            }
            Step::Finish(ticket, verdict) => self.finish(ticket, verdict),
            Step::Advance(by) => self.now += by,
            Step::Resize(name, size) => {
                if let Some(key) = self.books.locate(name, now) {
                    self.known(key, |core, now| core.resize(size, now));
                }
            }
            Step::ResizeTotal(total) => self.books.resize_total(total, now),
            Step::Evict(name) => {
                if let Some(key) = self.books.find(name) {
                    self.known(key, Core::evict_all);
                }
            }
            Step::Close => self.books.machine().close(now),
        }
        self.settle();
    }

    pub(crate) fn view(&self) -> View {
        View {
            stats: self.books.stats(),
            working: self.running.keys().copied().collect(),
            borrowers: self.borrowers.clone(),
            events: self.events.clone(),
        }
    }

    fn ask(&mut self, borrower: usize, key: B::Key, request: Request) {
        match self.known(key, |core, now| core.acquire(request, now)) {
            Acquired::Ready(lease) => self.lend(borrower, key, request, lease),
            Acquired::Refused(refusal) => self.refuse(borrower, &refusal),
            Acquired::Waiting(id) => {
                self.borrowers.insert(borrower, Outcome::Waits);
                self.waiting.insert(borrower, (request, key, id));
            }
        }
    }

    /// As a guard does.
    fn give_back(&mut self, key: B::Key, lease: LeaseId, session: Arc<Session>, how: How) {
        match how {
            How::Dirty => session.dirty.store(true, Ordering::SeqCst),
            How::Killed => session.broken.store(true, Ordering::SeqCst),
            How::Marked if self.shared => {
                self.known(key, |core, now| core.mark_broken(lease, CloseReason::Marked, now));
                self.listen();
            }
            How::Detached => return self.known(key, |core, now| core.detach(lease, now)),
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
        self.known(key, |core, now| core.release(lease, session, state, now));
    }

    /// Where sessions are shared, the core has a handle of its own.
    fn hand_back(&self, session: Arc<Session>) -> Option<Arc<Session>> {
        (!self.shared).then_some(session)
    }

    fn lend(&mut self, borrower: usize, key: B::Key, request: Request, lease: Lease<Arc<Session>>) {
        let Lease { id, slot, session, ticket, arrived, uses, .. } = lease;
        let waited = self.now.saturating_duration_since(arrived);
        // The front delivers what the core said before it looks at what it got.
        self.listen();
        if session.is_broken() {
            let (session, reason) = (self.hand_back(session), CloseReason::Broken);
            self.known(key, |core, now| core.unusable(id, session, reason, now));
            return self.ask(borrower, key, Request { ticket: Some(ticket), ..request });
        }
        self.tell(key, &Event::Acquired { session: slot.number(), waited, uses });
        self.borrowers.insert(borrower, Outcome::Holds(session.key, session.id));
        self.held.insert(borrower, (key, id, session));
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

    /// It was closed, and nothing is open any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.books.is_drained()
    }

    /// Does all that can be done at this moment.
    fn settle(&mut self) {
        loop {
            let now = self.now;
            self.books.machine().handle_timeout(now);
            self.listen();
            let mut idle = true;
            while let Some((key, id)) = self.woken.pop_front() {
                idle = false;
                self.wake(key, id);
            }
            for (key, slot) in std::mem::take(&mut self.interrupted) {
                idle = false;
                self.interrupt(key, slot);
            }
            while let Some((key, task)) = self.books.machine().poll_task(now) {
                idle = false;
                let desk = self.desk.of(self.books.name(key));
                let ticket = match &task {
                    Task::Connect { .. } => (Kind::Connect, desk.key, desk.next_connect()),
                    Task::Check { purpose: Purpose::Keepalive, session, .. } => {
                        (Kind::Keepalive, session.key, session.id)
                    }
                    Task::Check { session, .. } => (Kind::Check, session.key, session.id),
                    Task::Reset { session, .. } => (Kind::Reset, session.key, session.id),
                    Task::Close { session, .. } => (Kind::Close, session.key, session.id),
                };
                self.running.insert(ticket, (key, task));
            }
            if idle {
                return;
            }
        }
    }

    /// Events are told before anybody wakes up.
    fn listen(&mut self) {
        while let Some((key, said)) = self.books.machine().poll_notice() {
            match said {
                Said::Core(Notice::Event(event)) => self.tell(key, &event),
                Said::Core(Notice::Wake(id)) => self.woken.push_back((key, id)),
                Said::Core(Notice::Interrupt(slot)) if self.interruptible => {
                    self.interrupted.push((key, slot));
                }
                Said::Core(_) => {}
                Said::Forgotten => self.books.forgotten(key),
            }
        }
    }

    fn wake(&mut self, key: B::Key, id: WaiterId) {
        let found = self.waiting.iter().find(|(_, waiting)| (waiting.1, waiting.2) == (key, id));
        let Some((&borrower, &(request, ..))) = found else { return };
        match self.known(key, |core, now| core.take(id, now)) {
            Taken::Pending => {}
            Taken::Ready(lease) => {
                self.waiting.remove(&borrower);
                self.lend(borrower, key, request, lease);
            }
            Taken::Refused(refusal) => {
                self.waiting.remove(&borrower);
                self.refuse(borrower, &refusal);
            }
        }
    }

    fn interrupt(&mut self, key: B::Key, slot: SlotId) {
        let running = self.running.iter().find(|(_, (of, task))| *of == key && task.slot() == slot);
        match running.map(|(ticket, (_, task))| (*ticket, task)) {
            Some((ticket, Task::Connect { .. })) => {
                self.running.remove(&ticket);
                let (failure, kind) = (ConnectFailure::TimedOut, ErrorKind::Transient);
                self.known(key, |core, now| core.connect_failed(slot, kind, failure, now));
            }
            // What works on a session comes back with the session.
            Some((ticket, Task::Check { .. } | Task::Reset { .. })) => {
                self.finish(ticket, Verdict::Transient);
            }
            other => panic!("a close has no other end: {other:?}"),
        }
    }

    fn finish(&mut self, ticket: Ticket, verdict: Verdict) {
        let Some((key, task)) = self.running.remove(&ticket) else { return };
        let ok = verdict == Verdict::Ok;
        match task {
            Task::Connect { slot, .. } => match verdict.result() {
                Ok(()) => {
                    let session = self.desk.of(ticket.1).session();
                    self.known(key, |core, now| core.connected(slot, session, now));
                }
                Err(error) => {
                    let failure = ConnectFailure::Error(Arc::new(error));
                    let kind = verdict.kind();
                    self.known(key, |core, now| core.connect_failed(slot, kind, failure, now));
                }
            },
            Task::Check { slot, session, .. } => {
                let session = self.hand_back(session);
                self.known(key, |core, now| core.checked(slot, session, ok, now));
            }
            Task::Reset { slot, session, .. } => {
                session.dirty.fetch_and(!ok, Ordering::SeqCst);
                let session = self.hand_back(session);
                self.known(key, |core, now| core.reset_done(slot, session, ok, now));
            }
            Task::Close { slot, .. } => self.known(key, |core, now| core.closed(slot, now)),
        }
    }
}
