//! What breaks today's pools, row by row of our list of lessons (M1 to M16), and does not break
//! this one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use pool_core::{AsyncPool, CloseReason, Config, ConfigBuilder, Pool, Runtime};
use pool_model::{Behaviour, Executor, FakeAsyncBackend, FakeBackend, ManualClock, audit};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

type Tasks = AsyncPool<FakeAsyncBackend>;

fn pool(config: ConfigBuilder) -> (FakeBackend, Tasks, Executor) {
    let (backend, executor) = (FakeBackend::new(), Executor::new());
    let config = config.seed(Some(1)).build().unwrap();
    let fake = FakeAsyncBackend(backend.clone());
    let pool = AsyncPool::builder_on(executor.runtime(), fake).config(config).build();
    (backend, pool, executor)
}

fn sized(max_size: usize) -> (FakeBackend, Tasks, Executor) {
    pool(Config::builder().max_size(max_size))
}

/// Borrows as many as can be had at once, and returns them.
fn lendable(pool: &Tasks, executor: &Executor) -> usize {
    let mut held = Vec::new();
    while let Ok(session) = executor.block_on(pool.get_timeout(SECOND)) {
        held.push(session);
    }
    held.len()
}

#[test]
fn m01_a_pool_made_smaller_before_it_is_filled_keeps_to_its_size() {
    let (backend, pool, executor) = sized(16);
    pool.resize(4);
    assert_eq!(lendable(&pool, &executor), 4);
    assert_eq!(backend.truth.most_alive(), 4);
}

#[test]
fn m02_a_pool_made_smaller_and_larger_while_all_is_lent_keeps_to_its_size() {
    let (backend, pool, executor) = sized(10);
    let held: Vec<_> = (0..10).map(|_| executor.block_on(pool.get()).unwrap()).collect();
    pool.resize(5);
    pool.resize(10);
    assert!(executor.block_on(pool.get_timeout(SECOND)).is_err());
    drop(held);
    assert_eq!(lendable(&pool, &executor), 10);
    assert_eq!(backend.truth.most_alive(), 10);
}

#[test]
fn m03_a_retain_predicate_that_panics_costs_one_session() {
    let (_, pool, executor) = sized(2);
    drop((executor.block_on(pool.get()).unwrap(), executor.block_on(pool.get()).unwrap()));
    let retain = || pool.retain(|_| panic!("the predicate panics as told"));
    assert!(catch_unwind(AssertUnwindSafe(retain)).is_err());
    executor.run();
    assert_eq!(pool.stats().open(), 1);
    assert_eq!(lendable(&pool, &executor), 2);
}

#[test]
fn m04_a_session_whose_check_outlives_its_borrower_is_not_lent_unchecked() {
    let (backend, pool, executor) = sized(1);
    drop(executor.block_on(pool.get()).unwrap());
    executor.advance(2 * SECOND);
    backend.checks.always(Behaviour::Block);
    {
        let mut borrow = pin!(pool.get());
        assert!(borrow.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        executor.run();
        assert_eq!(backend.checks.blocked(), 1);
    }
    assert!(pool.try_get().is_none(), "it is still being checked");
    // The check never ends: the session is closed, not lent.
    assert_eq!(executor.block_on(pool.get()).unwrap().id, 1);
    assert_eq!(pool.stats().counters.closed(CloseReason::CheckFailed), 1);
}

#[test]
fn m05_a_connect_that_panics_frees_its_slot() {
    let (backend, pool, executor) = sized(1);
    backend.connects.next(Behaviour::Panic);
    assert_eq!(executor.block_on(pool.get()).unwrap().id, 0);
    assert_eq!(pool.stats().counters.connect_failures, 1);
}

#[test]
fn m06_nobody_is_counted_as_waiting_after_a_cancelled_borrow() {
    let (_, pool, executor) = sized(1);
    let _held = executor.block_on(pool.get()).unwrap();
    {
        let mut borrow = pin!(pool.get());
        assert!(borrow.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(pool.stats().waiting, 1);
    }
    assert_eq!((pool.stats().waiting, pool.stats().counters.cancelled), (0, 1));
}

#[test]
fn m07_the_idle_timeout_leaves_min_idle_alone() {
    let config = Config::builder().min_idle(2).idle_timeout(Some(100 * MILLI));
    let (backend, pool, executor) = pool(config);
    executor.advance(60 * SECOND);
    assert_eq!((backend.truth.created(), pool.stats().idle), (2, 2));
}

#[test]
fn m08_a_hog_that_returns_and_takes_again_waits_its_turn() {
    let (_, pool, executor) = sized(1);
    let served = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    for task in 0..2 {
        let (pool, served) = (pool.clone(), Arc::clone(&served));
        executor.start(async move {
            for _ in 0..1000 {
                let session = pool.get().await.unwrap();
                // Somebody else always asks meanwhile.
                let mut yielded = false;
                std::future::poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    match std::mem::replace(&mut yielded, true) {
                        true => std::task::Poll::Ready(()),
                        false => std::task::Poll::Pending,
                    }
                })
                .await;
                drop(session);
                served[task].fetch_add(1, Ordering::Relaxed);
                let [a, b] = [&served[0], &served[1]].map(|count| count.load(Ordering::Relaxed));
                assert!(a.abs_diff(b) <= 1 || a.max(b) == 1000, "{a} and {b}");
            }
        });
    }
    executor.run();
    assert_eq!(pool.stats().counters.served, 2000);
}

#[test]
fn m09_two_returns_wake_two_waiters_in_any_order_of_tasks() {
    for seed in 0..500 {
        let (backend, executor) = (FakeBackend::new(), Executor::shuffled(seed));
        let config = Config::builder().max_size(2).acquire_timeout(Some(SECOND)).build().unwrap();
        let fake = FakeAsyncBackend(backend);
        let pool = AsyncPool::builder_on(executor.runtime(), fake).config(config).build();
        let done = Arc::new(AtomicUsize::new(0));
        for _ in 0..4 {
            let (pool, done, executor) = (pool.clone(), Arc::clone(&done), executor.clone());
            executor.clone().start(async move {
                for _ in 0..3 {
                    let session = pool.get().await.unwrap();
                    executor.sleep_until(pool_core::Clock::now(&executor) + MILLI).await;
                    drop(session);
                }
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        executor.advance(SECOND);
        assert_eq!(done.load(Ordering::Relaxed), 4, "seed {seed}: {:?}", pool.stats());
    }
}

#[test]
fn m10_after_the_size_is_set_down_a_second_borrower_has_to_wait() {
    let (_, pool, executor) = sized(4);
    pool.resize(1);
    let _one = executor.block_on(pool.get()).unwrap();
    let error = executor.block_on(pool.get_timeout(SECOND)).unwrap_err();
    assert!(error.is_timeout());
}

#[test]
fn m11_nobody_is_counted_as_waiting_after_timeouts() {
    let (_, pool, executor) = sized(1);
    let _held = executor.block_on(pool.get()).unwrap();
    for _ in 0..3 {
        assert!(executor.block_on(pool.get_timeout(SECOND)).is_err());
    }
    assert_eq!((pool.stats().waiting, pool.stats().counters.timed_out), (0, 3));
}

#[test]
fn m12_a_session_in_use_does_not_run_into_the_idle_timeout() {
    let (backend, pool, executor) = pool(Config::builder().idle_timeout(Some(100 * MILLI)));
    for _ in 0..100 {
        drop(executor.block_on(pool.get()).unwrap());
        executor.advance(5 * MILLI);
    }
    assert_eq!(backend.truth.created(), 1);
    executor.advance(SECOND);
    assert_eq!(backend.truth.alive(), 0);
}

#[test]
fn m13_a_guard_may_be_dropped_outside_its_runtime() {
    let (backend, pool, executor) = sized(1);
    let mut session = executor.block_on(pool.get()).unwrap();
    session.mark_dirty();
    executor.shut_down();
    thread::spawn(move || drop(session)).join().unwrap();
    assert_eq!(pool.stats().lent, 0);
    drop(pool);
    assert_eq!(backend.truth.alive(), 0);
}

#[test]
fn m14_a_connect_that_panics_frees_its_slot_for_threads() {
    let backend = FakeBackend::new();
    let clock = Arc::new(ManualClock::new());
    let config = Config::builder().max_size(1).build().unwrap();
    let pool = Pool::builder(backend.clone()).config(config).clock(clock.clone()).build();
    backend.connects.next(Behaviour::Panic);
    thread::scope(|scope| {
        let borrower = scope.spawn(|| pool.get().map(drop));
        while pool.stats().counters.connect_failures == 0 {
            thread::yield_now();
        }
        clock.advance(SECOND);
        borrower.join().unwrap().unwrap();
    });
    audit(&pool.stats(), &backend.truth, &"m14");
}

#[test]
fn m15_a_check_that_panics_frees_its_slot_for_threads() {
    let backend = FakeBackend::new();
    let clock = Arc::new(ManualClock::new());
    let config = Config::builder().max_size(1).build().unwrap();
    let pool = Pool::builder(backend.clone()).config(config).clock(clock.clone()).build();
    drop(pool.get().unwrap());
    backend.checks.next(Behaviour::Panic);
    clock.advance(2 * SECOND);
    assert_eq!(pool.get().unwrap().id, 1);
    assert_eq!(pool.stats().open(), 1);
}

/// HikariCP's spike: 5 idle, 50 requests of 2 ms at once, connects of 150 ms, 50 at most.
#[test]
fn m16_a_spike_is_served_by_what_is_open() {
    let max_connecting = 2;
    let config = Config::builder().max_size(50).min_idle(5).max_connecting(max_connecting);
    let (backend, pool, executor) = pool(config);
    executor.run();
    assert_eq!(pool.stats().idle, 5);
    backend.connects.always(Behaviour::Block);
    let start = pool_core::Clock::now(&executor);
    let finished = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..50 {
        let (pool, executor, finished) = (pool.clone(), executor.clone(), Arc::clone(&finished));
        executor.clone().start(async move {
            let session = pool.get().await.unwrap();
            executor.sleep_until(pool_core::Clock::now(&executor) + 2 * MILLI).await;
            drop(session);
            finished.lock().unwrap().push(pool_core::Clock::now(&executor) - start);
        });
    }
    executor.advance(149 * MILLI);
    backend.connects.open(100);
    executor.advance(SECOND);
    let finished = finished.lock().unwrap();
    assert_eq!(finished.len(), 50);
    assert_eq!(finished.iter().max(), Some(&(20 * MILLI)), "ten rounds of five");
    assert!(backend.truth.created() <= 5 + max_connecting as u64, "{}", backend.truth.created());
}
