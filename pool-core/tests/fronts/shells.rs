//! The two fronts, each with what a script needs of it.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use pool_core::{
    AcquireError, AsyncAdapter, AsyncKeyedPool, AsyncPool, Blocking, Config, Domain, Event, Guard,
    Keyed, KeyedConfig, KeyedHandle, KeyedObserver, KeyedPool, LocalChecks, Observer, Pool, Single,
    Stats,
};
use pool_model::{Executor, ManualClock};

use crate::desk::{AsyncDesk, Desk, Failed, KEYS, Session};
use crate::step::{How, Outcome, Step, View};

/// What was told, by key.
#[derive(Default)]
struct Log(Mutex<BTreeMap<u8, Vec<String>>>);

impl Observer for Log {
    fn on_event(&self, event: &Event) {
        self.0.lock().unwrap().entry(0).or_default().push(format!("{event:?}"));
    }
}

impl KeyedObserver<u8> for Log {
    fn on_event(&self, key: &u8, event: &Event) {
        self.0.lock().unwrap().entry(*key).or_default().push(format!("{event:?}"));
    }
}

/// What each borrower of a front got.
type Book<G> = BTreeMap<usize, (Outcome, Option<G>)>;

struct Borrowers<G> {
    all: Mutex<Book<G>>,
}

impl<D: Domain<Backend: LocalChecks<Session = Arc<Session>>>> Borrowers<Guard<D>> {
    fn new() -> Arc<Self> {
        Arc::new(Self { all: Mutex::default() })
    }

    fn came(&self) -> usize {
        let mut all = self.lock();
        let number = all.len();
        all.insert(number, (Outcome::Waits, None));
        number
    }

    fn got(&self, number: usize, result: Result<Guard<D>, AcquireError<Failed>>) {
        let entry = match result {
            Ok(guard) => (Outcome::Holds(guard.key, guard.id), Some(guard)),
            Err(AcquireError::TimedOut(_)) => (Outcome::TimedOut, None),
            Err(AcquireError::Connect(_)) => (Outcome::Failed, None),
            Err(AcquireError::Closed) => (Outcome::Closed, None),
            Err(AcquireError::Overloaded { .. }) => (Outcome::Overloaded, None),
            Err(error) => panic!("{error}"),
        };
        self.lock().insert(number, entry);
    }

    fn leave(&self, number: usize, how: How) {
        let Some((_, Some(mut guard))) = self.lock().insert(number, (Outcome::Gone, None)) else {
            return;
        };
        match how {
            How::Clean => {}
            How::Dirty => guard.dirty.store(true, Ordering::SeqCst),
            How::Refused => Guard::refused(&guard),
            How::Marked => Guard::mark_broken(&mut guard),
            How::Killed => guard.broken.store(true, Ordering::SeqCst),
            How::Detached => return drop(Guard::detach(guard)),
        }
        drop(guard);
    }

    fn view(&self) -> BTreeMap<usize, Outcome> {
        self.lock().iter().map(|(number, (outcome, _))| (*number, *outcome)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Book<Guard<D>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Got<D> = Result<Guard<D>, AcquireError<Failed>>;
type Future<T> = Pin<Box<dyn std::future::Future<Output = T> + Send>>;

/// What owners of both kinds of pool do alike.
pub(crate) trait Owned: Clone + Send + 'static {
    type Domain: Domain<Backend: LocalChecks<Session = Arc<Session>>>;

    fn resize(&self, key: u8, size: usize);
    fn resize_total(&self, total: usize);
    fn evict(&self, key: u8);
    fn stats(&self) -> BTreeMap<u8, Stats>;
}

pub(crate) trait ForTasks: Owned {
    fn get(&self, key: u8, patience: Duration) -> Future<Got<Self::Domain>>;
    fn close(&self) -> Future<bool>;
}

pub(crate) trait ForThreads: Owned {
    /// What a worker does at a deadline. Of a single pool all that becomes of it can be seen.
    fn handle_timeout(&self) {}
    fn get(&self, key: u8, patience: Duration) -> Got<Self::Domain>;
    fn close(&self, timeout: Duration) -> bool;
}

macro_rules! owned {
    ($($one:ty, $guard:ty, $many:ty, $keyed:ty;)*) => {$(
        impl Owned for $one {
            type Domain = $guard;

            fn resize(&self, _: u8, size: usize) {
                <$one>::resize(self, size);
            }

            fn resize_total(&self, _: usize) {}

            fn evict(&self, _: u8) {
                <$one>::evict_all(self);
            }

            fn stats(&self) -> BTreeMap<u8, Stats> {
                BTreeMap::from([(0, <$one>::stats(self))])
            }
        }

        impl Owned for $many {
            type Domain = $keyed;

            fn resize(&self, key: u8, size: usize) {
                KeyedHandle::resize(self, &key, size);
            }

            fn resize_total(&self, total: usize) {
                KeyedHandle::resize_total(self, total);
            }

            fn evict(&self, key: u8) {
                KeyedHandle::evict(self, &key);
            }

            fn stats(&self) -> BTreeMap<u8, Stats> {
                (0..KEYS as u8).filter_map(|key| Some((key, self.stats_of(&key)?))).collect()
            }
        }
    )*};
}

owned! {
    AsyncPool<AsyncDesk>, Single<AsyncAdapter<AsyncDesk>>,
        AsyncKeyedPool<u8, AsyncDesk>, Keyed<u8, AsyncAdapter<AsyncDesk>>;
    Pool<Desk>, Single<Blocking<Desk>>, KeyedPool<u8, Desk>, Keyed<u8, Blocking<Desk>>;
}

impl ForTasks for AsyncPool<AsyncDesk> {
    fn get(&self, _: u8, patience: Duration) -> Future<Got<Self::Domain>> {
        Box::pin(self.get_timeout(patience))
    }

    fn close(&self) -> Future<bool> {
        let pool = self.clone();
        Box::pin(async move { pool.close_timeout(Duration::MAX).await.is_ok() })
    }
}

impl ForTasks for AsyncKeyedPool<u8, AsyncDesk> {
    fn get(&self, key: u8, patience: Duration) -> Future<Got<Self::Domain>> {
        Box::pin(self.get_timeout(&key, patience))
    }

    fn close(&self) -> Future<bool> {
        let pool = self.clone();
        Box::pin(async move { pool.close_timeout(Duration::MAX).await.is_ok() })
    }
}

impl ForThreads for Pool<Desk> {
    fn get(&self, _: u8, patience: Duration) -> Got<Self::Domain> {
        self.get_timeout(patience)
    }

    fn close(&self, timeout: Duration) -> bool {
        self.close_timeout(timeout).is_ok()
    }
}

impl ForThreads for KeyedPool<u8, Desk> {
    fn handle_timeout(&self) {
        KeyedHandle::handle_timeout(self);
    }

    fn get(&self, key: u8, patience: Duration) -> Got<Self::Domain> {
        self.get_timeout(&key, patience)
    }

    fn close(&self, timeout: Duration) -> bool {
        self.close_timeout(timeout).is_ok()
    }
}

pub(crate) struct Async<P: ForTasks> {
    executor: Executor,
    desk: Desk,
    pool: P,
    borrowers: Arc<Borrowers<Guard<P::Domain>>>,
    log: Arc<Log>,
}

impl Async<AsyncPool<AsyncDesk>> {
    pub(crate) fn one(config: Config, shared: bool) -> Self {
        Self::new(|executor, desk, log| {
            let builder = AsyncPool::builder_on(executor.runtime(), AsyncDesk(desk));
            let builder = builder.config(config).observer(log);
            if shared { builder.shared().build() } else { builder.build() }
        })
    }
}

impl Async<AsyncKeyedPool<u8, AsyncDesk>> {
    pub(crate) fn keyed(config: KeyedConfig, shared: bool) -> Self {
        Self::new(|executor, desk, log| {
            let make = move |key: &u8| AsyncDesk(desk.of(*key));
            let builder = AsyncKeyedPool::builder_on(executor.runtime(), config, make);
            let builder = builder.observer(log);
            if shared { builder.shared().build() } else { builder.build() }
        })
    }
}

impl<P: ForTasks> Async<P> {
    fn new(make: impl FnOnce(&Executor, Desk, Arc<Log>) -> P) -> Self {
        let (executor, desk, log) = (Executor::new(), Desk::default(), Arc::new(Log::default()));
        let pool = make(&executor, desk.clone(), log.clone());
        Self { executor, desk, pool, borrowers: Borrowers::new(), log }
    }

    pub(crate) fn play(&self, step: Step) {
        match step {
            Step::Borrow(key, patience) => {
                let borrowers = Arc::clone(&self.borrowers);
                let (number, get) = (borrowers.came(), self.pool.get(key, patience));
                self.executor.start(async move { borrowers.got(number, get.await) });
            }
            Step::Return(number, how) => self.borrowers.leave(number, how),
            Step::Finish(ticket, verdict) => self.desk.finish(ticket, verdict),
            Step::Advance(by) => self.executor.advance(by),
            Step::Resize(key, size) => self.pool.resize(key, size),
            Step::ResizeTotal(total) => self.pool.resize_total(total),
            Step::Evict(key) => self.pool.evict(key),
            Step::Close => {
                let close = self.pool.close();
                self.executor.start(async move { assert!(close.await) });
            }
        }
        self.executor.run();
    }

    pub(crate) fn view(&self) -> View {
        View {
            stats: self.pool.stats(),
            working: self.desk.waiting(),
            borrowers: self.borrowers.view(),
            events: self.log.0.lock().unwrap().clone(),
        }
    }
}

pub(crate) struct Sync<P: ForThreads> {
    clock: Arc<ManualClock>,
    desk: Desk,
    pool: P,
    borrowers: Arc<Borrowers<Guard<P::Domain>>>,
    log: Arc<Log>,
    threads: Vec<thread::JoinHandle<()>>,
    /// How many events each key had after the steps before.
    seen: BTreeMap<u8, usize>,
}

impl Sync<Pool<Desk>> {
    pub(crate) fn one(config: Config, shared: bool) -> Self {
        Self::new(|clock, desk, log| {
            let builder = Pool::builder(desk).config(config).clock(clock).observer(log);
            if shared { builder.shared().build() } else { builder.build() }
        })
    }
}

impl Sync<KeyedPool<u8, Desk>> {
    pub(crate) fn keyed(config: KeyedConfig, shared: bool) -> Self {
        Self::new(|clock, desk, log| {
            let builder = KeyedPool::builder(config, move |key: &u8| desk.of(*key));
            let builder = builder.clock(clock).observer(log);
            if shared { builder.shared().build() } else { builder.build() }
        })
    }
}

impl<P: ForThreads> Sync<P> {
    fn new(make: impl FnOnce(Arc<ManualClock>, Desk, Arc<Log>) -> P) -> Self {
        let (clock, desk) = (Arc::new(ManualClock::new()), Desk::default());
        let log = Arc::new(Log::default());
        let pool = make(clock.clone(), desk.clone(), log.clone());
        let (borrowers, threads) = (Borrowers::new(), Vec::new());
        Self { clock, desk, pool, borrowers, log, threads, seen: BTreeMap::new() }
    }

    pub(crate) fn play(&mut self, step: Step) {
        match step {
            Step::Borrow(key, patience) => {
                let (pool, borrowers) = (self.pool.clone(), Arc::clone(&self.borrowers));
                let number = borrowers.came();
                let borrow = move || borrowers.got(number, pool.get(key, patience));
                self.threads.push(thread::spawn(borrow));
            }
            Step::Return(number, how) => self.borrowers.leave(number, how),
            Step::Finish(ticket, verdict) => self.desk.finish(ticket, verdict),
            Step::Advance(by) => {
                self.clock.advance(by);
                // The end of a key's turn or of its delay can't be seen, so nobody would wait for the
                // worker that is to see it.
                self.pool.handle_timeout();
            }
            Step::Resize(key, size) => self.pool.resize(key, size),
            Step::ResizeTotal(total) => self.pool.resize_total(total),
            Step::Evict(key) => self.pool.evict(key),
            Step::Close => {
                // Here, as of a pool without keys nobody could tell that it is not closed yet.
                let pool = self.pool.clone();
                let _not_drained = pool.close(Duration::ZERO);
                self.threads.push(thread::spawn(move || assert!(pool.close(Duration::MAX))));
            }
        }
    }

    /// Waits until it looks like that; what it looks like instead where it never does.
    pub(crate) fn come_to(&mut self, expected: &View) -> Result<(), Box<View>> {
        let patience = std::time::Instant::now();
        loop {
            let mut view = self.view();
            for (key, events) in &mut view.events {
                let seen = self.seen.get(key).copied().unwrap_or_default();
                let expected = expected.events.get(key).map_or(&[][..], Vec::as_slice);
                put_in_order(events, expected, seen);
            }
            if view == *expected {
                self.seen = view.events.iter().map(|(key, events)| (*key, events.len())).collect();
                return Ok(());
            }
            if patience.elapsed() > Duration::from_secs(30) {
                return Err(Box::new(view));
            }
            thread::yield_now();
        }
    }

    pub(crate) fn join(self) {
        for thread in self.threads {
            thread.join().unwrap();
        }
    }

    fn view(&self) -> View {
        View {
            stats: self.pool.stats(),
            working: self.desk.waiting(),
            borrowers: self.borrowers.view(),
            events: self.log.0.lock().unwrap().clone(),
        }
    }
}

/// Two threads that act in one step, as where one returns what the other is about to wait for,
/// may reach the observer in either order. Two that were promised leases of one session may
/// collect them in either order, and so be its first user or its second.
fn put_in_order(events: &mut Vec<String>, expected: &[String], seen: usize) {
    let sorted = |events: &[String]| {
        let (mut texts, mut uses): (Vec<_>, Vec<_>) = events
            .iter()
            .map(|event| match event.split_once(", waited: ") {
                Some((session, rest)) if event.starts_with("Acquired") => {
                    let (waited, uses) = rest.split_once(", uses: ").unwrap();
                    (format!("{session} {waited}"), format!("{session} {uses}"))
                }
                _ => (event.clone(), String::new()),
            })
            .unzip();
        texts.sort();
        uses.sort();
        (texts, uses)
    };
    let both = events.get(seen..).zip(expected.get(seen..));
    if both.is_some_and(|(ours, theirs)| sorted(ours) == sorted(theirs)) {
        *events = expected.to_vec();
    }
}
