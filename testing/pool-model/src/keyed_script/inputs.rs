//! What borrowers, owners, workers and time do.

use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use pool_core::core::{
    Acquired, ConnectFailure, Core, Lease, Refusal, Request, Returned, Taken, Task,
};
use pool_core::keyed_core::KeyId;
use pool_core::{CloseReason, ErrorKind, Machine};

use super::Back;
use super::harness::{Held, KeyedHarness, Running, Waiting, Work};
use super::view::Session;
use crate::script::violation::Checked;
use crate::script::{End, Patience};
use crate::{FakeError, FakeSession};

/// More tasks than any script can have at once.
const ENDLESS: usize = 10_000;

impl KeyedHarness {
    /// The key's place in the books, made where it is not known; `None` where the pool is closed.
    fn locate(&mut self, key: u8) -> Checked<Option<(usize, KeyId)>> {
        let name = usize::from(key) % self.names.len();
        if let Some(id) = self.names[name].id {
            return Ok(Some((name, id)));
        }
        let id = self.core.open_key(self.now);
        ensure!(id.is_none() == self.closed, "K5", "a new key: {id:?}, closed: {}", self.closed);
        let Some(id) = id else { return Ok(None) };
        ensure!(self.seen.insert(id), "K5", "{id:?} is known again");
        let known = &mut self.names[name];
        (known.id, known.used, known.max_size) = (Some(id), false, self.setup.max_size);
        (known.quiet_since, known.idle_since) = (None, None);
        self.observe()?;
        Ok(Some((name, id)))
    }

    fn touch(&mut self, name: usize) {
        (self.names[name].used, self.names[name].touched) = (true, true);
    }

    pub(super) fn acquire(&mut self, key: u8, patience: Patience) -> Checked {
        let Some((name, key)) = self.locate(key)? else { return Ok(()) };
        let millis = |n: u8| Duration::from_millis(u64::from(n));
        let deadline = match patience {
            Patience::Endless => None,
            Patience::None => Some(self.now),
            Patience::Past => self.now.checked_sub(millis(5)),
            Patience::Millis(n) => self.now.checked_add(millis(n)),
        };
        let site = Location::caller();
        self.ask(name, key, Request { arrived: self.now, deadline, site, ticket: None })
    }

    fn ask(&mut self, name: usize, key: KeyId, request: Request) -> Checked {
        self.touch(name);
        let now = self.now;
        let answer = self.core.with_core(key, now, |core| core.acquire(request, now));
        match answer {
            None => ensure!(false, "K5", "{key:?} was forgotten while it was known"),
            Some(Acquired::Ready(lease)) => self.lend(name, key, lease, request),
            Some(Acquired::Waiting(id)) => {
                self.waiters.push(Waiting { name, key, id, request, woken: false });
            }
            Some(Acquired::Refused(refusal)) => self.refused(&refusal)?,
        }
        self.observe().map(drop)
    }

    fn refused(&self, refusal: &Refusal<FakeError>) -> Checked {
        let closed = matches!(refusal, Refusal::Closed);
        ensure!(!closed || self.closed, "I13", "refused as closed, but is open");
        Ok(())
    }

    fn lend(&mut self, name: usize, key: KeyId, lease: Lease<Session>, request: Request) {
        let Lease { id, session, ticket, .. } = lease;
        self.held.push(Held { name, key, id, session, ticket, request });
    }

    pub(super) fn take_nth(&mut self, n: u8) -> Checked {
        match pick(n, self.waiters.len()) {
            Some(nth) => self.take(nth).map(drop),
            None => Ok(()),
        }
    }

    pub(super) fn take_all(&mut self) -> Checked {
        let mut nth = 0;
        while nth < self.waiters.len() {
            if !self.waiters[nth].woken || !self.take(nth)? {
                nth += 1;
            }
        }
        Ok(())
    }

    /// Whether the wait is over.
    fn take(&mut self, nth: usize) -> Checked<bool> {
        let Waiting { name, key, id, request, .. } = self.waiters[nth];
        self.waiters[nth].woken = false;
        self.touch(name);
        let now = self.now;
        let taken = self.core.with_core(key, now, |core| core.take(id, now));
        let over = match taken {
            None => {
                ensure!(false, "K5", "{key:?} was forgotten with an outcome in it");
                true
            }
            Some(Taken::Pending) => false,
            Some(Taken::Ready(lease)) => {
                self.waiters.remove(nth);
                self.lend(name, key, lease, request);
                true
            }
            Some(Taken::Refused(refusal)) => {
                self.waiters.remove(nth);
                self.refused(&refusal)?;
                true
            }
        };
        self.observe()?;
        Ok(over)
    }

    pub(super) fn cancel(&mut self, n: u8) -> Checked {
        let Some(nth) = pick(n, self.waiters.len()) else { return Ok(()) };
        let Waiting { name, key, id, .. } = self.waiters.remove(nth);
        self.touch(name);
        let now = self.now;
        let known = self.core.with_core(key, now, |core| core.cancel(id, now)).is_some();
        ensure!(known, "K5", "{key:?} was forgotten with a waiter in it");
        self.observe().map(drop)
    }

    pub(super) fn release(&mut self, n: u8, back: Back) -> Checked {
        let Some(nth) = pick(n, self.held.len()) else { return Ok(()) };
        let state = match back {
            Back::Refused if self.setup.is_shared() => Returned::Refused,
            Back::Clean | Back::Refused => Returned::Clean,
            Back::Dirty => Returned::NeedsReset,
            Back::Broken => Returned::Broken(CloseReason::Marked),
        };
        let Held { name, key, id, session, .. } = self.held.remove(nth);
        self.touch(name);
        let (now, session) = (self.now, self.hand_back(session));
        let left = self.core.with_core(key, now, |core| core.release(id, session, state, now));
        ensure!(left.is_some(), "K5", "{key:?} was forgotten with a lease out");
        self.observe().map(drop)
    }

    /// What the books get of a session that they have a handle of, or not.
    fn hand_back(&self, session: Session) -> Option<Session> {
        (!self.setup.is_shared()).then_some(session)
    }

    pub(super) fn replace(&mut self, n: u8) -> Checked {
        let Some(nth) = pick(n, self.held.len()) else { return Ok(()) };
        let Held { name, key, id, session, ticket, request } = self.held.remove(nth);
        self.touch(name);
        let (now, session) = (self.now, self.hand_back(session));
        let reason = CloseReason::Broken;
        let left = self.core.with_core(key, now, |core| core.unusable(id, session, reason, now));
        ensure!(left.is_some(), "K5", "{key:?} was forgotten with a lease out");
        self.observe()?;
        self.ask(name, key, Request { ticket: Some(ticket), ..request })
    }

    pub(super) fn detach(&mut self, n: u8) -> Checked {
        let Some(nth) = pick(n, self.held.len()).filter(|_| !self.setup.is_shared()) else {
            return Ok(());
        };
        let Held { name, key, id, session, .. } = self.held.remove(nth);
        self.touch(name);
        self.detached.push(session);
        let now = self.now;
        let known = self.core.with_core(key, now, |core| core.detach(id, now)).is_some();
        ensure!(known, "K5", "{key:?} was forgotten with a lease out");
        self.observe().map(drop)
    }

    pub(super) fn mark(&mut self, n: u8) -> Checked {
        let Some(nth) = pick(n, self.held.len()) else { return Ok(()) };
        let Held { name, key, id, .. } = self.held[nth];
        self.touch(name);
        let (now, reason) = (self.now, CloseReason::Marked);
        self.core.with_core(key, now, |core| core.mark_broken(id, reason, now));
        self.observe().map(drop)
    }

    /// Starts one task, if there is one.
    pub(super) fn start(&mut self) -> Checked<bool> {
        let told = self.core.has_task(self.now);
        let task = self.core.poll_task(self.now);
        ensure!(told || task.is_none(), "K6", "a task was not announced: {task:?}");
        let Some((key, task)) = task else {
            self.observe()?;
            return Ok(false);
        };
        let slot = task.slot();
        let (work, session) = match task {
            Task::Connect { .. } => (Work::Connect, None),
            Task::Check { purpose, session, .. } => (Work::Check(purpose), Some(session)),
            Task::Reset { session, .. } => (Work::Reset, Some(session)),
            Task::Close { session, .. } => (Work::Close, Some(session)),
        };
        self.running.push(Running { key, slot, work, session });
        let before = self.observe()?;
        if work == Work::Connect {
            self.check_connect(&before, key)?;
        }
        Ok(true)
    }

    pub(super) fn start_all(&mut self) -> Checked {
        let mut left = ENDLESS;
        while self.start()? {
            left -= 1;
            ensure!(left > 0, "K4", "tasks without end");
        }
        let told = self.core.has_task(self.now);
        ensure!(!told, "K4", "a task is announced that is not given");
        self.check_places_used()
    }

    pub(super) fn finish_nth(&mut self, n: u8, end: End) -> Checked {
        match pick(n, self.running.len()) {
            Some(nth) => self.end(nth, end),
            None => Ok(()),
        }
    }

    pub(super) fn finish_all(&mut self) -> Checked {
        while !self.running.is_empty() {
            self.end(0, End::Ok)?;
        }
        Ok(())
    }

    fn end(&mut self, nth: usize, end: End) -> Checked {
        let Running { key, slot, work, session } = self.running.remove(nth);
        let (now, shared) = (self.now, self.setup.is_shared());
        let new = (work == Work::Connect && end == End::Ok)
            .then(|| Arc::new(FakeSession::new(&self.truth)));
        let well = end == End::Ok;
        let known = self.core.with_core(key, now, |core| match (work, end) {
            (Work::Connect, End::Ok) => new.into_iter().for_each(|s| core.connected(slot, s, now)),
            (Work::Connect, End::Fail(kind)) => {
                let failure = ConnectFailure::Error(FakeError(kind));
                core.connect_failed(slot, kind, failure, now);
            }
            (Work::Connect, End::Lost) => {
                let failure = ConnectFailure::Panicked;
                core.connect_failed(slot, ErrorKind::Transient, failure, now);
            }
            (Work::Close, _) => {
                drop(session);
                core.closed(slot, now);
            }
            (_, End::Lost) => {
                drop(session);
                core.lost(slot, now);
            }
            (Work::Check(_), _) => {
                core.checked(slot, session.filter(|_| !shared), well, now);
            }
            (Work::Reset, _) => core.reset_done(slot, session.filter(|_| !shared), well, now),
        });
        ensure!(known.is_some(), "K5", "{key:?} was forgotten while {work:?} ran");
        if let Some(name) = self.names.iter().position(|name| name.id == Some(key)) {
            self.touch(name);
        }
        self.observe().map(drop)
    }

    pub(super) fn open(&mut self, key: u8) -> Checked {
        self.locate(key).map(drop)
    }

    /// Reading figures is no use.
    pub(super) fn look(&mut self, key: u8) -> Checked {
        let name = usize::from(key) % self.names.len();
        let Some(id) = self.names[name].id else { return Ok(()) };
        let known = self.core.look(id, Core::stats).is_some();
        ensure!(known, "K5", "{id:?} was forgotten while it was known");
        self.observe().map(drop)
    }

    pub(super) fn warm(&mut self, key: u8, sessions: usize) -> Checked {
        let Some((name, key)) = self.locate(key)? else { return Ok(()) };
        self.touch(name);
        self.names[name].warm = sessions;
        self.core.with_core(key, self.now, |core| core.warm(sessions));
        self.observe().map(drop)
    }

    pub(super) fn resize(&mut self, key: u8, max_size: usize) -> Checked {
        let Some((name, key)) = self.locate(key)? else { return Ok(()) };
        self.touch(name);
        self.names[name].max_size = max_size;
        let now = self.now;
        self.core.with_core(key, now, |core| core.resize(max_size, now));
        self.observe().map(drop)
    }

    pub(super) fn resize_total(&mut self, total: usize) -> Checked {
        self.total = total;
        self.core.resize_total(total, self.now);
        self.observe().map(drop)
    }

    pub(super) fn evict(&mut self, key: u8) -> Checked {
        let name = usize::from(key) % self.names.len();
        let Some(key) = self.names[name].id else { return Ok(()) };
        self.touch(name);
        let now = self.now;
        self.core.with_core(key, now, |core| core.evict_all(now));
        self.observe().map(drop)
    }

    pub(super) fn evict_all(&mut self) -> Checked {
        for name in 0..self.names.len() {
            self.evict(u8::try_from(name).unwrap_or(u8::MAX))?;
        }
        Ok(())
    }

    pub(super) fn add(&mut self, key: u8) -> Checked {
        let Some((name, key)) = self.locate(key)? else { return Ok(()) };
        self.touch(name);
        let room = !self.closed
            && self.view.open() < self.total
            && self.view.key(key).is_some_and(|key| key.stats.open() < key.stats.max_size);
        let session = Arc::new(FakeSession::new(&self.truth));
        let added = self.core.add(key, session, self.now).is_ok();
        ensure!(added == room, "K1", "added: {added}, room: {room}");
        self.observe().map(drop)
    }

    pub(super) fn close(&mut self) -> Checked {
        self.closed = true;
        self.core.close(self.now);
        self.observe().map(drop)
    }

    pub(super) fn tick(&mut self) -> Checked {
        self.core.handle_timeout(self.now);
        let due = self.core.poll_timeout();
        let honest = due.is_none_or(|at| at > self.now);
        ensure!(honest, "K5", "a timer is due {:?} ago", due.map(|at| self.now - at));
        self.observe()?;
        self.check_forgotten()
    }
}

fn pick(n: u8, of: usize) -> Option<usize> {
    usize::from(n).checked_rem(of)
}
