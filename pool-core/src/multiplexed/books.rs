//! Which sessions are open underneath, and how many shares each carries.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::Clock;

/// One session, as its shares know it.
#[derive(Debug, Default)]
pub(super) struct Member {
    broken: AtomicBool,
}

impl Member {
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    pub(super) fn mark_broken(&self) {
        self.broken.store(true, Ordering::Release);
    }
}

type Resize = Box<dyn Fn(usize) + Send + Sync>;

pub(super) struct Books<S> {
    state: Mutex<State<S>>,
    max_sessions: AtomicUsize,
    /// How old a session may become. A share's own age says nothing about that.
    max_lifetime: Option<Duration>,
    pool: OnceLock<PoolOfShares>,
}

/// What the books know of the pool that they are kept for.
struct PoolOfShares {
    clock: Arc<dyn Clock>,
    /// Tells the pool how many shares there can be in all.
    resize: Resize,
}

struct State<S> {
    entries: Vec<Entry<S>>,
    limit: usize,
}

struct Entry<S> {
    session: Arc<S>,
    member: Arc<Member>,
    shares: usize,
    lent: usize,
    /// From here on it is replaced, share by share as they come back.
    expires_at: Option<Instant>,
}

impl<S> Books<S> {
    pub(super) fn new(max_sessions: usize, limit: usize, max_lifetime: Option<Duration>) -> Self {
        let state = Mutex::new(State { entries: Vec::new(), limit });
        let max_sessions = AtomicUsize::new(max_sessions);
        Self { state, max_sessions, max_lifetime, pool: OnceLock::new() }
    }

    /// Whose time counts, and who is told when the limit falls; the first one stays.
    pub(super) fn belong_to(&self, clock: Arc<dyn Clock>, resize: Resize) {
        let _ = self.pool.set(PoolOfShares { clock, resize });
    }

    /// A place on a session that is open: the fullest one, so that others can empty.
    pub(super) fn attach(&self) -> Option<(Arc<S>, Arc<Member>)> {
        let now = self.now();
        let mut state = self.state();
        let limit = state.limit;
        let open = state.entries.iter_mut().filter(|entry| !entry.is_expired(now));
        let entry = open
            .filter(|entry| !entry.member.is_broken() && entry.shares < limit)
            .max_by_key(|entry| entry.shares)?;
        entry.shares += 1;
        Some((Arc::clone(&entry.session), Arc::clone(&entry.member)))
    }

    pub(super) fn has_room(&self) -> bool {
        self.state().entries.len() < self.max_sessions.load(Ordering::Relaxed)
    }

    /// Enters a new session with its first share; none where there are enough.
    pub(super) fn admit(&self, session: Arc<S>) -> Option<Arc<Member>> {
        let expires_at = self.max_lifetime.zip(self.now());
        let expires_at = expires_at.and_then(|(lifetime, now)| now.checked_add(lifetime));
        let mut state = self.state();
        if state.entries.len() >= self.max_sessions.load(Ordering::Relaxed) {
            return None;
        }
        let member = Arc::new(Member::default());
        let entry = Entry { session, member: Arc::clone(&member), shares: 1, lent: 0, expires_at };
        state.entries.push(entry);
        Some(member)
    }

    /// A share ends; the session comes back where it was the last.
    pub(super) fn leave(&self, member: &Arc<Member>, lent: bool) -> Option<Arc<S>> {
        let mut state = self.state();
        let index = state.position(member)?;
        let entry = &mut state.entries[index];
        entry.shares -= 1;
        entry.lent -= usize::from(lent);
        let last = entry.shares == 0;
        last.then(|| state.entries.swap_remove(index).session)
    }

    pub(super) fn count_loan(&self, member: &Arc<Member>, lent: bool) {
        let mut state = self.state();
        if let Some(index) = state.position(member) {
            let count = &mut state.entries[index].lent;
            *count = if lent { *count + 1 } else { count.saturating_sub(1) };
        }
    }

    /// Whether a session has more shares than it can carry, or is too old for any.
    pub(super) fn is_surplus(&self, member: &Arc<Member>) -> bool {
        let now = self.now();
        let state = self.state();
        state.position(member).is_some_and(|index| {
            let entry = &state.entries[index];
            entry.shares > state.limit || entry.is_expired(now)
        })
    }

    pub(super) fn refused(&self, member: &Arc<Member>) {
        let learned = {
            let mut state = self.state();
            let Some(index) = state.position(member) else { return };
            let carried = state.entries[index].lent.saturating_sub(1).max(1);
            let falls = carried < state.limit;
            if falls {
                tracing::info!(limit = carried, "the peer carries fewer leases per session");
                state.limit = carried;
            }
            falls.then_some(carried)
        };
        if let Some(limit) = learned {
            self.tell_pool(limit);
        }
    }

    /// Sets the most sessions. What is too many ends share by share as they come back.
    pub(super) fn resize(&self, max_sessions: usize) {
        self.max_sessions.store(max_sessions, Ordering::Relaxed);
        self.tell_pool(self.limit());
    }

    fn tell_pool(&self, limit: usize) {
        if let Some(pool) = self.pool.get() {
            (pool.resize)(limit.saturating_mul(self.max_sessions.load(Ordering::Relaxed)));
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.state().limit
    }

    pub(super) fn sessions(&self) -> usize {
        self.state().entries.len()
    }

    fn now(&self) -> Option<Instant> {
        self.pool.get().map(|pool| pool.clock.coarse())
    }

    fn state(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Entry<S> {
    fn is_expired(&self, now: Option<Instant>) -> bool {
        self.expires_at.zip(now).is_some_and(|(end, now)| now >= end)
    }
}

impl<S> State<S> {
    fn position(&self, member: &Arc<Member>) -> Option<usize> {
        self.entries.iter().position(|entry| Arc::ptr_eq(&entry.member, member))
    }
}
