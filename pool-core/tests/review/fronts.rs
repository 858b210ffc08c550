//! Runtimes, drivers and budgets: rows 23, 24, 31 and 32, F5, F6, and the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pool_core::{AcquireError, AsyncPool, Config};
use pool_model::{Behaviour, Executor, FakeAsyncBackend};
use tokio::runtime::{Builder, Runtime};

use crate::rig::{SECOND, patient, poll_once, within_watchdog};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn row_23_a_session_promised_to_a_future_nobody_polls_goes_to_the_next_at_its_deadline() {
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    let config = patient().max_size(1).check_after_idle(Duration::MAX).build().unwrap();
    let pool = AsyncPool::builder_on(executor.runtime(), backend.clone()).config(config).build();
    let lease = executor.block_on(pool.get()).unwrap();
    let mut forgotten = Box::pin(pool.get_timeout(SECOND));
    let mut second = Box::pin(pool.get_timeout(3 * SECOND));
    assert!(poll_once(forgotten.as_mut()).is_none());
    assert!(poll_once(second.as_mut()).is_none());
    drop(lease);
    executor.advance(2 * SECOND);
    assert!(poll_once(second).is_some_and(|served| served.is_ok()));
    assert!(matches!(poll_once(forgotten), Some(Err(AcquireError::TimedOut(_)))));
}

/// A pool whose driver is on a runtime that nobody drives.
fn with_a_driver_that_stands_still(size: usize) -> (Runtime, AsyncPool<FakeAsyncBackend>) {
    let home = runtime();
    let config = patient().max_size(size).build().unwrap();
    let pool = AsyncPool::new(FakeAsyncBackend::default(), config);
    home.block_on(async { drop(pool.get().await.unwrap()) });
    (home, pool)
}

#[test]
fn row_24_an_acquire_ends_at_its_deadline_though_the_driver_s_runtime_stands_still() {
    let ended = within_watchdog(|| {
        let (_home, pool) = with_a_driver_that_stands_still(1);
        let other = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        other.block_on(async {
            let _lease = pool.try_get().unwrap();
            pool.get_timeout(SECOND).await.map(drop).map_err(|error| error.is_timeout())
        })
    });
    assert_eq!(ended, Some(Err(true)));
}

#[test]
fn f6_what_waits_for_a_driver_that_ends_gets_another() {
    let served = within_watchdog(|| {
        let (home, pool) = with_a_driver_that_stands_still(1);
        let other = runtime();
        other.block_on(async {
            // Only a driver can open the session that takes its place.
            pool.try_get().unwrap().killer()();
            let waiting = tokio::spawn({
                let pool = pool.clone();
                async move { pool.get().await.map(|lease| lease.id) }
            });
            tokio::task::yield_now().await;
            home.shutdown_background();
            waiting.await.unwrap()
        })
    });
    assert_eq!(served.map(Result::unwrap), Some(1));
}

#[test]
fn row_31_a_driver_that_ended_is_replaced_though_all_acquires_are_ready() {
    let kept = within_watchdog(|| {
        let backend = FakeAsyncBackend::default();
        let config = patient().keepalive_interval(Some(30 * SECOND)).build().unwrap();
        let pool = AsyncPool::new(backend.clone(), config);
        let home = runtime();
        home.block_on(async { drop(pool.get().await.unwrap()) });
        drop(home);
        let other = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        other.block_on(async {
            drop(pool.get().await.unwrap());
            tokio::time::sleep(31 * SECOND).await;
            backend.0.keepalives.calls()
        })
    });
    assert_eq!(kept, Some(1));
}

#[test]
fn row_31_a_driver_that_ended_is_replaced_by_try_get_too() {
    let kept = within_watchdog(|| {
        let backend = FakeAsyncBackend::default();
        let config = patient().keepalive_interval(Some(30 * SECOND)).build().unwrap();
        let pool = AsyncPool::new(backend.clone(), config);
        let home = runtime();
        home.block_on(async { drop(pool.get().await.unwrap()) });
        drop(home);
        let other = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        other.block_on(async {
            drop(pool.try_get().unwrap());
            tokio::time::sleep(31 * SECOND).await;
            backend.0.keepalives.calls()
        })
    });
    assert_eq!(kept, Some(1));
}

/// 64 tasks on 10 sessions that acquire and release without another await, until each was served
/// ten times; how often the others were served when the last one was for the first time.
fn all_are_served(runtime: &Runtime) {
    const TASKS: usize = 64;
    const ROUNDS: usize = 20_000;
    let served: Arc<Vec<AtomicUsize>> = Arc::new((0..TASKS).map(|_| AtomicUsize::new(0)).collect());
    runtime.block_on(async {
        let config = Config::builder().max_size(10).build().unwrap();
        let pool = AsyncPool::new(FakeAsyncBackend::default(), config);
        let mut idle = Vec::new();
        for _ in 0..10 {
            idle.push(pool.get().await.unwrap());
        }
        drop(idle);
        let stop = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..TASKS)
            .map(|number| {
                let (pool, served, stop) = (pool.clone(), Arc::clone(&served), Arc::clone(&stop));
                tokio::spawn(async move {
                    for _ in 0..ROUNDS {
                        if stop.load(Ordering::Relaxed) == TASKS {
                            break;
                        }
                        drop(pool.get().await.unwrap());
                        if served[number].fetch_add(1, Ordering::Relaxed) == 9 {
                            stop.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    let counts: Vec<_> = served.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    let most = counts.iter().max().unwrap();
    // Whoever hogs the runtime would have got through all its rounds before the others began.
    assert!(*most < ROUNDS, "one was served {most} times before all were ten times: {counts:?}");
}

#[test]
fn row_32_f5_tasks_that_await_nothing_but_acquires_are_all_served_on_one_thread() {
    assert!(within_watchdog(|| all_are_served(&runtime())).is_some());
}

#[test]
fn row_32_f5_tasks_that_await_nothing_but_acquires_are_all_served_on_two_threads() {
    let two = || Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    assert!(within_watchdog(move || all_are_served(&two())).is_some());
}

#[tokio::test]
async fn a_clock_that_is_paused_after_the_pool_was_made_is_the_pool_s_clock() {
    let backend = FakeAsyncBackend::default();
    let pool = AsyncPool::new(backend.clone(), patient().build().unwrap());
    drop(pool.get().await.unwrap());
    tokio::time::pause();
    // The pool looks at the clock again when the kernel's clock has ticked, within 10 ms.
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_millis(30) {
        std::hint::spin_loop();
    }
    tokio::time::advance(2 * SECOND).await;
    drop(pool.get().await.unwrap());
    assert_eq!(backend.0.checks.calls(), 1, "it was idle for two seconds of the runtime's time");
}

#[tokio::test]
async fn a_connect_in_a_black_hole_keeps_no_pool_on_tokio_from_closing() {
    let backend = FakeAsyncBackend::default();
    backend.0.connects.always(Behaviour::Block);
    let pool = AsyncPool::new(backend.clone(), patient().build().unwrap());
    let mut waiting = Box::pin(pool.get());
    assert!(poll_once(waiting.as_mut()).is_none());
    tokio::task::yield_now().await;
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    pool.close().await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!(matches!(waiting.await, Err(AcquireError::Closed)));
}
