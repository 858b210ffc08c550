//! The shell around the core under loom: every interleaving of two or three threads, up to a
//! bound of preemptions, for lost wake-ups (loom sees the deadlock), double leases and leaks.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=2 CARGO_TARGET_DIR=target/loom \
//!     cargo test -p pool-core --test loom --release
//! ```
#![cfg(loom)]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use loom::sync::{Mutex, Notify};
use loom::thread;
use pool_core::{AcquireError, AsyncPool, Backend, BoxFuture, Clock, Config, Pool, Runtime, Stats};
use pool_model::{FakeAsyncBackend, FakeBackend, FakeSession, ManualClock, audit};

const SECOND: Duration = Duration::from_secs(1);

fn config(size: usize) -> Config {
    Config::builder().max_size(size).seed(Some(1)).build().unwrap()
}

fn session(backend: &FakeBackend) -> FakeSession {
    Backend::connect(backend).unwrap()
}

struct Unpark(Notify);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let parked = Arc::new(Unpark(Notify::new()));
    let waker = Waker::from(Arc::clone(&parked));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        parked.0.wait();
    }
}

/// A runtime whose tasks all run in the one thread that calls [`Tasks::run`].
#[derive(Clone)]
struct Tasks {
    clock: Arc<ManualClock>,
    queue: Arc<Mutex<(Vec<BoxFuture<()>>, Option<Waker>)>>,
}

impl Tasks {
    fn new() -> Self {
        let queue = Arc::new(Mutex::new((Vec::new(), None)));
        Self { clock: Arc::new(ManualClock::new()), queue }
    }

    /// Runs tasks until the pool has drained.
    fn run(&self) {
        let mut running: Vec<BoxFuture<()>> = Vec::new();
        let parked = Arc::new(Unpark(Notify::new()));
        let waker = Waker::from(Arc::clone(&parked));
        loop {
            {
                let mut queue = self.queue.lock().unwrap();
                running.append(&mut queue.0);
                queue.1 = Some(waker.clone());
            }
            let before = running.len();
            running.retain_mut(|task| {
                task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
            });
            if running.is_empty() && before > 0 && self.queue.lock().unwrap().0.is_empty() {
                return;
            }
            if running.len() == before {
                parked.0.wait();
            }
        }
    }
}

impl Clock for Tasks {
    fn now(&self) -> Instant {
        self.clock.now()
    }
}

impl Runtime for Tasks {
    fn spawn(&self, task: BoxFuture<()>) -> bool {
        let waker = {
            let mut queue = self.queue.lock().unwrap();
            queue.0.push(task);
            queue.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// Time moves only where a model sets it forward before anything sleeps.
    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        let clock = Arc::clone(&self.clock);
        Box::pin(std::future::poll_fn(move |_| match clock.now() >= at {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }))
    }
}

fn drained(stats: &Stats, backend: &FakeBackend) {
    audit(stats, &backend.truth, &"loom");
    assert_eq!((stats.open(), backend.truth.alive()), (0, 0), "{stats:?}");
}

fn sync_pool(size: usize, sessions: usize) -> (FakeBackend, Pool<FakeBackend>, Arc<ManualClock>) {
    let backend = FakeBackend::new();
    let clock = Arc::new(ManualClock::new());
    let pool = Pool::builder(backend.clone()).config(config(size)).clock(clock.clone()).build();
    for _ in 0..sessions {
        pool.add(session(&backend)).unwrap();
    }
    (backend, pool, clock)
}

fn async_pool(size: usize, sessions: usize) -> (FakeBackend, AsyncPool<FakeAsyncBackend>, Tasks) {
    let backend = FakeBackend::new();
    let tasks = Tasks::new();
    let runtime = Arc::new(tasks.clone());
    let fake = FakeAsyncBackend(backend.clone());
    let pool = AsyncPool::builder_on(runtime, fake).config(config(size)).build();
    for _ in 0..sessions {
        pool.add(session(&backend)).unwrap();
    }
    (backend, pool, tasks)
}

#[test]
fn two_threads_and_a_worker_hand_one_session_on() {
    loom::model(|| {
        let (backend, pool, _clock) = sync_pool(1, 1);
        let other = pool.clone();
        let borrower = thread::spawn(move || other.get().unwrap().use_it(|| ()));
        pool.get().unwrap().use_it(|| ());
        borrower.join().unwrap();
        pool.close().unwrap();
        drained(&pool.stats(), &backend);
    });
}

#[test]
fn a_closer_meets_a_borrower() {
    loom::model(|| {
        let (backend, pool, _clock) = sync_pool(1, 1);
        let other = pool.clone();
        let borrower = thread::spawn(move || match other.get() {
            Ok(session) => session.use_it(|| ()),
            Err(error) => assert!(matches!(error, AcquireError::Closed), "{error}"),
        });
        pool.close().unwrap();
        borrower.join().unwrap();
        drained(&pool.stats(), &backend);
    });
}

#[test]
fn a_session_is_opened_for_a_borrower_that_a_closer_meets() {
    loom::model(|| {
        let (backend, pool, _clock) = sync_pool(1, 0);
        let other = pool.clone();
        let borrower = thread::spawn(move || drop(other.get()));
        pool.close().unwrap();
        borrower.join().unwrap();
        // A connect that was given up keeps no pool from closing, and its session closes behind it.
        while pool.stats().hung() + pool.stats().open() > 0 {
            thread::yield_now();
        }
        drained(&pool.stats(), &backend);
    });
}

#[test]
fn time_runs_out_while_a_session_comes_back() {
    loom::model(|| {
        let (backend, pool, clock) = sync_pool(1, 1);
        let held = pool.get().unwrap();
        let other = pool.clone();
        let borrower = thread::spawn(move || match other.get_timeout(SECOND) {
            Ok(session) => session.use_it(|| ()),
            Err(error) => assert!(error.is_timeout(), "{error}"),
        });
        clock.advance(2 * SECOND);
        drop(held);
        borrower.join().unwrap();
        pool.close().unwrap();
        drained(&pool.stats(), &backend);
    });
}

#[test]
fn a_retain_meets_a_borrower() {
    loom::model(|| {
        let (backend, pool, _clock) = sync_pool(1, 1);
        let other = pool.clone();
        let borrower = thread::spawn(move || other.get().unwrap().use_it(|| ()));
        pool.retain(|session| session.use_it(|| true));
        borrower.join().unwrap();
        pool.close().unwrap();
        drained(&pool.stats(), &backend);
    });
}

/// A borrow polled once and dropped leaves its reservation to the next in line.
#[test]
fn a_cancelled_borrow_meets_the_return_it_waits_for() {
    loom::model(|| {
        let (backend, pool, tasks) = async_pool(1, 1);
        let driver = thread::spawn(move || tasks.run());
        let held = pool.try_get().unwrap();
        let mut gone = Box::pin(pool.get());
        let _ = gone.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let other = pool.clone();
        let next = thread::spawn(move || block_on(other.get()).unwrap().use_it(|| ()));
        let returning = thread::spawn(move || drop(held));
        drop(gone);
        next.join().unwrap();
        returning.join().unwrap();
        block_on(pool.close()).unwrap();
        driver.join().unwrap();
        drained(&pool.stats(), &backend);
    });
}

#[test]
fn two_tasks_and_the_driver_share_what_it_opens() {
    loom::model(|| {
        let (backend, pool, tasks) = async_pool(1, 0);
        let driver = thread::spawn(move || tasks.run());
        let other = pool.clone();
        let borrower = thread::spawn(move || block_on(other.get()).unwrap().use_it(|| ()));
        block_on(pool.get()).unwrap().use_it(|| ());
        borrower.join().unwrap();
        block_on(pool.close()).unwrap();
        driver.join().unwrap();
        drained(&pool.stats(), &backend);
    });
}

#[test]
fn the_last_handle_goes_while_a_guard_comes_back() {
    loom::model(|| {
        let (backend, pool, tasks) = async_pool(1, 1);
        let held = pool.try_get().unwrap();
        let driver = thread::spawn(move || tasks.run());
        let returning = thread::spawn(move || drop(held));
        drop(pool);
        returning.join().unwrap();
        driver.join().unwrap();
        assert_eq!((backend.truth.alive(), backend.truth.closed()), (0, 1));
    });
}

#[test]
fn two_closers_both_see_the_end() {
    loom::model(|| {
        let (backend, pool, tasks) = async_pool(1, 1);
        let driver = thread::spawn(move || tasks.run());
        let other = pool.clone();
        let closer = thread::spawn(move || block_on(other.close()).unwrap());
        block_on(pool.close()).unwrap();
        closer.join().unwrap();
        driver.join().unwrap();
        drained(&pool.stats(), &backend);
    });
}
