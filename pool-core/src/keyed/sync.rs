//! The keyed pool for threads.

use std::collections::VecDeque;
use std::fmt;
use std::hash::Hash;
use std::panic::Location;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::hub::{Bell, Due, Hub, Job};
use super::{KeyedConfig, KeyedStats};
use crate::acquire::Acquiring;
use crate::backend::Backend;
use crate::clock::{Clock, SystemClock};
use crate::error::{AcquireError, DrainTimeout};
use crate::stats::Stats;
use crate::sync::primitives::{Condvar, Mutex};
use crate::sync::{Blocking, LINGER, Pooled, drain, run, wait};

/// The most worker threads of a keyed pool, so the most keys that dial at once.
const MAX_WORKERS: usize = 32;

/// A pool per key, for threads; see [`KeyedConfig`]. Clones are handles to the same pools; when
/// the last one goes, all of them close without waiting.
pub struct KeyedPool<K, B>
where
    K: Eq + Hash + Clone + Send + 'static,
    B: Backend,
{
    handle: Arc<Handle<K, B>>,
}

struct Handle<K, B>
where
    K: Eq + Hash + Clone + Send + 'static,
    B: Backend,
{
    hub: Arc<Hub<K, Blocking<B>>>,
    crew: Arc<Crew<B>>,
}

/// The worker threads of all keys.
struct Crew<B: Backend> {
    state: Mutex<CrewState<B>>,
    changed: Condvar,
}

struct CrewState<B: Backend> {
    jobs: VecDeque<Job<Blocking<B>>>,
    workers: usize,
    sleeping: usize,
    rung: bool,
}

struct CrewBell<B: Backend>(Arc<Crew<B>>);

impl<B: Backend> Bell for CrewBell<B> {
    fn ring(&self) {
        self.0.state.lock().rung = true;
        self.0.changed.notify_one();
    }
}

impl<K, B> KeyedPool<K, B>
where
    K: Eq + Hash + Clone + Send + 'static,
    B: Backend,
{
    /// Pools whose backends are made by `backend` when a key is first used. Nothing is opened yet.
    pub fn new(config: KeyedConfig, backend: impl Fn(&K) -> B + Send + Sync + 'static) -> Self {
        Self::with_clock(config, Arc::new(SystemClock), backend)
    }

    /// As [`new`](Self::new), on a clock of your choice.
    pub fn with_clock(
        config: KeyedConfig,
        clock: Arc<dyn Clock>,
        backend: impl Fn(&K) -> B + Send + Sync + 'static,
    ) -> Self {
        let state = CrewState { jobs: VecDeque::new(), workers: 0, sleeping: 0, rung: false };
        let crew = Arc::new(Crew { state: Mutex::new(state), changed: Condvar::new() });
        let bell = Box::new(CrewBell(Arc::clone(&crew)));
        let on_jump = std::task::Waker::from(Arc::new(Jump(Arc::downgrade(&crew))));
        clock.subscribe(on_jump);
        let make = Box::new(move |key: &K| Blocking(backend(key)));
        let hub = Arc::new(Hub::new(make, config, clock, bell));
        Self { handle: Arc::new(Handle { hub, crew }) }
    }

    /// Borrows a session for that key, waiting at most `acquire_timeout`.
    ///
    /// # Errors
    ///
    /// As [`Pool::get`](crate::Pool::get).
    #[track_caller]
    pub fn get(&self, key: &K) -> Result<Pooled<B>, AcquireError<B::Error>> {
        let timeout = self.handle.hub.config().per_key.acquire_timeout;
        self.acquire(key, timeout, Location::caller())
    }

    /// Borrows a session for that key, waiting at most that long.
    ///
    /// # Errors
    ///
    /// As [`Pool::get`](crate::Pool::get).
    #[track_caller]
    pub fn get_timeout(
        &self,
        key: &K,
        timeout: Duration,
    ) -> Result<Pooled<B>, AcquireError<B::Error>> {
        self.acquire(key, Some(timeout), Location::caller())
    }

    /// The counts over all keys.
    pub fn stats(&self) -> KeyedStats {
        self.handle.hub.stats()
    }

    /// The counts of one key, if it is known.
    pub fn stats_of(&self, key: &K) -> Option<Stats> {
        self.handle.hub.known(key).map(|shared| shared.stats())
    }

    /// Closes all pools, and waits until their sessions are closed, those lent included: at most
    /// `close_timeout` in all.
    ///
    /// # Errors
    ///
    /// [`DrainTimeout`] with the counts of a key that still had sessions open.
    pub fn close(&self) -> Result<(), DrainTimeout> {
        let Handle { hub, crew } = &*self.handle;
        let deadline = hub.clock.now().checked_add(hub.config().per_key.close_timeout);
        hub.close();
        if hub.still_open().is_some()
            && let Err(error) = ensure(hub, crew)
        {
            tracing::warn!(%error, "no worker thread");
        }
        while let Some(shared) = hub.still_open() {
            if let Some(stats) = drain(&shared, deadline) {
                return Err(DrainTimeout { stats: Box::new(stats) });
            }
        }
        Ok(())
    }

    fn acquire(
        &self,
        key: &K,
        timeout: Option<Duration>,
        site: &'static Location<'static>,
    ) -> Result<Pooled<B>, AcquireError<B::Error>> {
        let Handle { hub, crew } = &*self.handle;
        let pin = hub.pin(key);
        let acquiring = Acquiring::new(Arc::clone(&pin.shared), timeout, site);
        wait(acquiring, &pin.shared, || ensure(hub, crew))
    }
}

/// Starts a worker if there is none. The first one stays as long as anything may be open, so that
/// giving a session back never has to start a thread.
fn ensure<K, B>(hub: &Arc<Hub<K, Blocking<B>>>, crew: &Arc<Crew<B>>) -> std::io::Result<()>
where
    K: Eq + Hash + Clone + Send + 'static,
    B: Backend,
{
    {
        let mut state = crew.state.lock();
        if state.workers > 0 {
            return Ok(());
        }
        state.workers = 1;
    }
    start(hub, crew)
}

fn start<K, B>(hub: &Arc<Hub<K, Blocking<B>>>, crew: &Arc<Crew<B>>) -> std::io::Result<()>
where
    K: Eq + Hash + Clone + Send + 'static,
    B: Backend,
{
    let (worker_hub, worker_crew) = (Arc::clone(hub), Arc::clone(crew));
    let started = thread::Builder::new()
        .name("keyed-pool-worker".into())
        .spawn(move || work(&worker_hub, &worker_crew));
    if started.is_err() {
        crew.state.lock().workers -= 1;
    }
    started.map(drop)
}

enum Next<B: Backend> {
    Job { job: Job<Blocking<B>>, hand_over: bool },
    Turn,
    End,
}

fn work<K, B>(hub: &Arc<Hub<K, Blocking<B>>>, crew: &Arc<Crew<B>>)
where
    K: Eq + Hash + Clone + Send + 'static,
    B: Backend,
{
    loop {
        match next(hub, crew) {
            Next::End => return crew.changed.notify_all(),
            Next::Turn => {
                if let Some(jobs) = hub.turn() {
                    crew.state.lock().jobs.extend(jobs);
                }
            }
            Next::Job { job, hand_over } => {
                if hand_over && let Err(error) = start(hub, crew) {
                    tracing::warn!(%error, "no second worker thread, so deadlines may be late");
                }
                run(&job.shared, job.task);
                hub.job_done(job.member);
            }
        }
    }
}

/// Sleeps until there is something to do.
fn next<K, B>(hub: &Arc<Hub<K, Blocking<B>>>, crew: &Crew<B>) -> Next<B>
where
    K: Eq + Hash + Clone + Send + 'static,
    B: Backend,
{
    let idle_since = Instant::now();
    let mut state = crew.state.lock();
    loop {
        if let Some(job) = state.jobs.pop_front() {
            let hand_over = state.sleeping == 0 && state.workers < MAX_WORKERS;
            state.workers += usize::from(hand_over);
            return Next::Job { job, hand_over };
        }
        state.rung = false;
        // The hub's lock is never taken under this one.
        drop(state);
        let due = hub.next_due();
        let ended = hub.is_closed() && hub.still_open().is_none();
        if matches!(due, Due::Now) {
            return Next::Turn;
        }
        state = crew.state.lock();
        if !state.jobs.is_empty() || state.rung {
            continue;
        }
        let surplus = state.sleeping > 0;
        let lingered = idle_since.elapsed() >= LINGER;
        if ended || (surplus && lingered) {
            state.workers -= 1;
            return Next::End;
        }
        let until_due = match due {
            Due::At(at) => hub.clock.sleep_for(at),
            _ => None,
        };
        let until_end = surplus.then(|| LINGER.saturating_sub(idle_since.elapsed()));
        let at_most = until_due.into_iter().chain(until_end).min();
        state.sleeping += 1;
        state = crew.changed.wait(state, at_most);
        state.sleeping -= 1;
    }
}

/// Tells sleeping workers that a clock was set forward by hand.
struct Jump<B: Backend>(std::sync::Weak<Crew<B>>);

impl<B: Backend> std::task::Wake for Jump<B> {
    fn wake(self: Arc<Self>) {
        if let Some(crew) = self.0.upgrade() {
            crew.state.lock().rung = true;
            crew.changed.notify_all();
        }
    }
}

impl<K, B> Drop for Handle<K, B>
where
    K: Eq + Hash + Clone + Send + 'static,
    B: Backend,
{
    fn drop(&mut self) {
        self.hub.close();
    }
}

impl<K, B> Clone for KeyedPool<K, B>
where
    K: Eq + Hash + Clone + Send + 'static,
    B: Backend,
{
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle) }
    }
}

impl<K, B> fmt::Debug for KeyedPool<K, B>
where
    K: Eq + Hash + Clone + Send + 'static,
    B: Backend,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedPool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
