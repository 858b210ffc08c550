//! The two fronts, each with what a script needs of it.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use pool_core::{
    AcquireError, AsyncPool, AsyncPooled, Config, Domain, Event, Guard, LocalChecks, Observer,
    Pool, Pooled,
};
use pool_model::{Executor, ManualClock};

use crate::desk::{AsyncDesk, Desk, Failed, Session};
use crate::step::{How, Outcome, Step, View};

#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Observer for Log {
    fn on_event(&self, event: &Event) {
        self.0.lock().unwrap().push(format!("{event:?}"));
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
            Ok(guard) => (Outcome::Holds(guard.id), Some(guard)),
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

pub(crate) struct Async {
    executor: Executor,
    desk: Desk,
    pool: AsyncPool<AsyncDesk>,
    borrowers: Arc<Borrowers<AsyncPooled<AsyncDesk>>>,
    log: Arc<Log>,
}

impl Async {
    pub(crate) fn new(config: Config, shared: bool) -> Self {
        let (executor, desk, log) = (Executor::new(), Desk::default(), Arc::new(Log::default()));
        let builder = AsyncPool::builder_on(executor.runtime(), AsyncDesk(desk.clone()));
        let builder = builder.config(config).observer(log.clone());
        let pool = if shared { builder.shared().build() } else { builder.build() };
        Self { executor, desk, pool, borrowers: Borrowers::new(), log }
    }

    pub(crate) fn play(&self, step: Step) {
        match step {
            Step::Borrow(patience) => {
                let (pool, borrowers) = (self.pool.clone(), Arc::clone(&self.borrowers));
                let number = borrowers.came();
                self.executor.start(async move {
                    borrowers.got(number, pool.get_timeout(patience).await);
                });
            }
            Step::Return(number, how) => self.borrowers.leave(number, how),
            Step::Finish(ticket, verdict) => self.desk.finish(ticket, verdict),
            Step::Advance(by) => self.executor.advance(by),
            Step::Resize(size) => self.pool.resize(size),
            Step::EvictAll => self.pool.evict_all(),
            Step::Close => {
                let pool = self.pool.clone();
                self.executor.start(async move {
                    assert!(pool.close_timeout(Duration::MAX).await.is_ok());
                });
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

pub(crate) struct Sync {
    clock: Arc<ManualClock>,
    desk: Desk,
    pool: Pool<Desk>,
    borrowers: Arc<Borrowers<Pooled<Desk>>>,
    log: Arc<Log>,
    threads: Vec<thread::JoinHandle<()>>,
    /// Events of the steps before.
    seen: usize,
}

impl Sync {
    pub(crate) fn new(config: Config, shared: bool) -> Self {
        let (clock, desk) = (Arc::new(ManualClock::new()), Desk::default());
        let log = Arc::new(Log::default());
        let builder = Pool::builder(desk.clone()).config(config).clock(clock.clone());
        let builder = builder.observer(log.clone());
        let pool = if shared { builder.shared().build() } else { builder.build() };
        let (borrowers, threads) = (Borrowers::new(), Vec::new());
        Self { clock, desk, pool, borrowers, log, threads, seen: 0 }
    }

    pub(crate) fn play(&mut self, step: Step) {
        match step {
            Step::Borrow(patience) => {
                let (pool, borrowers) = (self.pool.clone(), Arc::clone(&self.borrowers));
                let number = borrowers.came();
                let borrow = move || borrowers.got(number, pool.get_timeout(patience));
                self.threads.push(thread::spawn(borrow));
            }
            Step::Return(number, how) => self.borrowers.leave(number, how),
            Step::Finish(ticket, verdict) => self.desk.finish(ticket, verdict),
            Step::Advance(by) => self.clock.advance(by),
            Step::Resize(size) => self.pool.resize(size),
            Step::EvictAll => self.pool.evict_all(),
            Step::Close => {
                let pool = self.pool.clone();
                let close = move || assert!(pool.close_timeout(Duration::MAX).is_ok());
                self.threads.push(thread::spawn(close));
            }
        }
    }

    /// Waits until it looks like that; what it looks like instead where it never does.
    pub(crate) fn come_to(&mut self, expected: &View) -> Result<(), Box<View>> {
        let patience = std::time::Instant::now();
        loop {
            let mut view = self.view();
            self.put_in_order(&mut view.events, &expected.events);
            if view == *expected {
                self.seen = view.events.len();
                return Ok(());
            }
            if patience.elapsed() > Duration::from_secs(30) {
                return Err(Box::new(view));
            }
            thread::yield_now();
        }
    }

    /// Two threads that act in one step, as where one returns what the other is about to wait
    /// for, may reach the observer in either order. Two that were promised leases of one session
    /// may collect them in either order, and so be its first user or its second.
    fn put_in_order(&self, events: &mut Vec<String>, expected: &[String]) {
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
        let both = events.get(self.seen..).zip(expected.get(self.seen..));
        if both.is_some_and(|(ours, theirs)| sorted(ours) == sorted(theirs)) {
            *events = expected.to_vec();
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
