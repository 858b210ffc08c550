//! What the keys of one pool share: the total, the turns, and the time.
//!
//! A *turn* is for a keyed pool what a driver's poll is for a single one: it tells one key's core
//! the time, takes its tasks, and settles its account with the total. Turns come one after another;
//! tasks run side by side.

use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Wake, Waker};
use std::time::Instant;

use super::books::{Books, Found, Member, Turn};
use super::{KeyedConfig, KeyedStats};
use crate::clock::Clock;
use crate::core::{Core, Task};
use crate::shared::{Probe, Shared, quietly};

/// Whoever runs turns: told that there is one to run. Called outside all locks.
pub(super) trait Bell: Send + Sync + 'static {
    fn ring(&self);
}

type MakeProbe<K, P> = Box<dyn Fn(&K) -> P + Send + Sync>;

pub(super) struct Hub<K, P: Probe> {
    books: Mutex<Books<K, P>>,
    /// Held during a turn, so that the total is counted by one at a time.
    turn: Mutex<()>,
    make: MakeProbe<K, P>,
    config: KeyedConfig,
    pub(super) clock: Arc<dyn Clock>,
    bell: Box<dyn Bell>,
}

/// A task and the key that it belongs to.
pub(super) struct Job<P: Probe> {
    pub(super) shared: Arc<Shared<P>>,
    pub(super) task: Task<P::Session>,
    pub(super) member: u64,
}

impl<K, P> Hub<K, P>
where
    K: Eq + Hash + Clone + Send + 'static,
    P: Probe,
{
    pub(super) fn new(
        make: MakeProbe<K, P>,
        config: KeyedConfig,
        clock: Arc<dyn Clock>,
        bell: Box<dyn Bell>,
    ) -> Self {
        let books = Books::new();
        Self { books: Mutex::new(books), turn: Mutex::new(()), make, config, clock, bell }
    }

    /// The pool of a key, made where there is none, and kept from being forgotten until the pin
    /// goes.
    pub(super) fn pin(self: &Arc<Self>, key: &K) -> Pin<K, P> {
        loop {
            if let Some(pin) = self.pin_known(key) {
                return pin;
            }
            // The backend is somebody else's code, so it is made outside the lock.
            let probe = (self.make)(key);
            let mut core = Core::new(self.config.per_key.clone(), false);
            core.allow_connects(0);
            let shared = Arc::new(Shared::new(core, probe, Arc::clone(&self.clock), None));
            let mut books = self.books();
            if books.by_key.contains_key(key) {
                continue;
            }
            let closed = books.closed;
            let id = books.next_id;
            books.next_id += 1;
            books.by_key.insert(key.clone(), id);
            let member = Member {
                key: key.clone(),
                shared: Arc::clone(&shared),
                pins: 0,
                used: 0,
                timer: None,
                quiet_since: None,
                ready: false,
                yielding: false,
            };
            books.members.insert(id, member);
            drop(books);
            if closed {
                shared.with(|state, now| state.core.close(now));
            }
            let waker = Waker::from(Arc::new(Ready { hub: Arc::downgrade(self), member: id }));
            shared.lock().driver = Some(waker);
        }
    }

    fn pin_known(self: &Arc<Self>, key: &K) -> Option<Pin<K, P>> {
        let mut books = self.books();
        let id = *books.by_key.get(key)?;
        let member = books.members.get_mut(&id)?;
        member.pins += 1;
        Some(Pin { hub: Arc::clone(self), shared: Arc::clone(&member.shared), member: id })
    }

    /// Runs one turn if one is due, and gives the tasks that came of it.
    pub(super) fn turn(self: &Arc<Self>) -> Option<Vec<Job<P>>> {
        let _one_at_a_time = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let Turn { id, shared, places, yielding } =
            self.books().next_turn(now, self.config.max_total)?;
        let waker = Waker::from(Arc::new(Ready { hub: Arc::downgrade(self), member: id }));
        let mut jobs = Vec::new();
        let (due, stats, starved, _dropped_unlocked) = shared.with(|state, now| {
            state.core.allow_connects(places);
            state.core.set_yielding(yielding);
            state.core.handle_timeout(now);
            while let Some(task) = state.core.poll_task(now) {
                jobs.push(Job { shared: Arc::clone(&shared), task, member: id });
            }
            let starved = state.core.is_starved();
            let due = state.core.poll_timeout();
            state.core.stop_connects();
            state.armed = due;
            // What is drained has no further turn.
            let unused = match state.core.is_drained() {
                true => Some(waker),
                false => state.driver.replace(waker),
            };
            (due, state.core.stats(), starved, unused)
        });
        let quiet = stats.open() + stats.waiting == 0;
        let found = Found { due, open: stats.open(), quiet, starved };
        // A key that is forgotten is dropped outside the lock, its backend with it.
        let forgotten = self.books().settle(id, now, &found, &self.config);
        drop(forgotten);
        self.make_room();
        Some(jobs)
    }

    /// Where a key starves: has another one give up the session that has been idle for longest,
    /// or the next one that comes back.
    fn make_room(&self) {
        let (others, starved) = {
            let books = self.books();
            let Some(first) = books.starved.front() else { return };
            if books.used < self.config.max_total {
                return;
            }
            let others = books.members.iter().filter(|(id, _)| *id != first);
            let others: Vec<_> =
                others.map(|(id, member)| (*id, Arc::clone(&member.shared))).collect();
            (others, books.starved.len())
        };
        let closing = others.iter().map(|(_, shared)| shared.stats().closing).sum::<usize>();
        if closing >= starved || self.give_up_longest_idle(&others) {
            return;
        }
        for (id, shared) in &others {
            shared.lock().core.set_yielding(true);
            if let Some(member) = self.books().members.get_mut(id) {
                member.yielding = true;
            }
        }
        // One may have come back before its key was told.
        self.give_up_longest_idle(&others);
    }

    fn give_up_longest_idle(&self, members: &[(u64, Arc<Shared<P>>)]) -> bool {
        let idle = members.iter().filter_map(|(_, shared)| {
            let since = shared.lock().core.spare_since()?;
            Some((since, shared))
        });
        let Some((_, shared)) = idle.min_by_key(|(since, _)| *since) else { return false };
        shared.with(|state, now| state.core.give_up_one(now));
        shared.nudge();
        true
    }

    /// A task has ended: its key is looked at again, and the others where there is room now.
    pub(super) fn job_done(&self, member: u64) {
        let calm: Vec<_> = {
            let mut books = self.books();
            books.make_ready(member);
            if books.starved.is_empty() { books.end_yielding() } else { Vec::new() }
        };
        for shared in calm {
            shared.lock().core.set_yielding(false);
        }
        self.bell.ring();
    }

    /// When the next turn is due at the latest, if none is now.
    pub(super) fn next_due(&self) -> Due {
        let books = self.books();
        if !books.ready.is_empty() {
            return Due::Now;
        }
        match books.timers.first() {
            Some((at, _)) if *at <= self.clock.now() => Due::Now,
            Some((at, _)) => Due::At(*at),
            None => Due::Never,
        }
    }

    /// Ends all keys: waiters fail, idle sessions close.
    pub(super) fn close(&self) {
        let members: Vec<_> = {
            let mut books = self.books();
            books.closed = true;
            let ids: Vec<_> = books.members.keys().copied().collect();
            for id in ids {
                books.make_ready(id);
            }
            books.members.values().map(|member| Arc::clone(&member.shared)).collect()
        };
        for shared in members {
            shared.with(|state, now| state.core.close(now));
        }
        self.bell.ring();
    }

    /// The first key that still has something open after [`close`](Self::close).
    pub(super) fn still_open(&self) -> Option<Arc<Shared<P>>> {
        let books = self.books();
        let open = books.members.values().find(|member| !member.shared.lock().core.is_drained());
        open.map(|member| Arc::clone(&member.shared))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.books().closed
    }

    pub(super) fn stats(&self) -> KeyedStats {
        let books = self.books();
        let open = books.members.values().map(|member| member.shared.stats().open()).sum();
        KeyedStats { keys: books.members.len(), open, starved: books.starved.len() }
    }

    pub(super) fn known(&self, key: &K) -> Option<Arc<Shared<P>>> {
        let books = self.books();
        let id = books.by_key.get(key)?;
        books.members.get(id).map(|member| Arc::clone(&member.shared))
    }

    pub(super) fn config(&self) -> &KeyedConfig {
        &self.config
    }

    fn books(&self) -> MutexGuard<'_, Books<K, P>> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What [`Hub::next_due`] says.
pub(super) enum Due {
    Now,
    At(Instant),
    Never,
}

/// Wakes the hub for one key.
struct Ready<K, P: Probe> {
    hub: Weak<Hub<K, P>>,
    member: u64,
}

impl<K, P> Wake for Ready<K, P>
where
    K: Eq + Hash + Clone + Send + 'static,
    P: Probe,
{
    fn wake(self: Arc<Self>) {
        if let Some(hub) = self.hub.upgrade() {
            hub.books().make_ready(self.member);
            quietly(|| hub.bell.ring());
        }
    }
}

/// Keeps a key from being forgotten while somebody borrows from it.
pub(super) struct Pin<K, P>
where
    K: Eq + Hash + Clone + Send + 'static,
    P: Probe,
{
    hub: Arc<Hub<K, P>>,
    pub(super) shared: Arc<Shared<P>>,
    member: u64,
}

impl<K, P> Drop for Pin<K, P>
where
    K: Eq + Hash + Clone + Send + 'static,
    P: Probe,
{
    fn drop(&mut self) {
        if let Some(member) = self.hub.books().members.get_mut(&self.member) {
            member.pins -= 1;
        }
    }
}
