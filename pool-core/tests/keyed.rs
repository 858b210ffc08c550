//! One pool per key, one total over all, one set of workers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use pool_core::{
    AcquireError, AsyncKeyedPool, Backend, CloseReason, Config, ConfigBuilder, Guard, KeyedConfig,
    KeyedPool,
};
use pool_model::{Executor, FakeAsyncBackend, FakeBackend, ManualClock};

const SECOND: Duration = Duration::from_secs(1);

fn config(per_key: usize, total: usize) -> KeyedConfig {
    KeyedConfig::new(Config::builder().max_size(per_key).build().unwrap(), total).unwrap()
}

fn until(what: impl Fn() -> bool) {
    while !what() {
        thread::yield_now();
    }
}

/// A pool whose keys share one backend, so that its truth is the total.
fn shared(config: KeyedConfig) -> (FakeBackend, KeyedPool<&'static str, FakeBackend>) {
    let backend = FakeBackend::new();
    let of_key = backend.clone();
    (backend, KeyedPool::new(config, move |_| of_key.clone()))
}

/// The same for tasks, in the executor's time.
fn on(
    executor: &Executor,
    per_key: ConfigBuilder,
) -> (FakeBackend, AsyncKeyedPool<&'static str, FakeAsyncBackend>) {
    let backend = FakeBackend::new();
    let of_key = FakeAsyncBackend(backend.clone());
    let config = KeyedConfig::new(per_key.jitter(0.0).build().unwrap(), 10).unwrap();
    let make = move |_: &&str| of_key.clone();
    (backend, AsyncKeyedPool::builder_on(executor.runtime(), config, make).build())
}

#[test]
fn a_session_that_is_added_for_a_key_nobody_used_is_kept_alive() {
    let executor = Executor::new();
    let (backend, pool) = on(&executor, Config::builder().keepalive_interval(Some(30 * SECOND)));
    pool.add(&"a", Backend::connect(&backend).unwrap()).unwrap();
    executor.advance(31 * SECOND);
    assert_eq!(backend.keepalives.calls(), 1);
}

#[test]
fn a_key_that_is_forgotten_is_gone_with_its_backend() {
    let executor = Executor::new();
    let (backend, pool) = on(&executor, Config::builder());
    let handles = || Arc::strong_count(&backend.truth);
    let before = handles();
    drop(executor.block_on(pool.get(&"a")).unwrap());
    pool.evict(&"a");
    executor.run();
    assert_eq!((pool.keys().len(), handles()), (1, before + 1));
    executor.advance(61 * SECOND);
    assert_eq!((pool.keys().len(), pool.stats().keys, handles()), (0, 0, before));
}

#[test]
fn whoever_releases_a_session_waits_for_its_reset() {
    let executor = Executor::new();
    let (backend, pool) = on(&executor, Config::builder());
    let mut lease = executor.block_on(pool.get(&"a")).unwrap();
    lease.mark_dirty();
    executor.block_on(pool.release(lease));
    assert_eq!((backend.resets.calls(), pool.stats_of(&"a").unwrap().idle), (1, 1));
}

#[test]
fn keys_do_not_share_sessions() {
    let backends: Arc<Mutex<HashMap<String, FakeBackend>>> = Arc::default();
    let made = Arc::clone(&backends);
    let pool = KeyedPool::new(config(2, 10), move |host: &String| {
        let backend = FakeBackend::new();
        made.lock().unwrap().insert(host.clone(), backend.clone());
        backend
    });
    for host in ["a", "b", "a"] {
        drop(pool.get(&host.to_owned()).unwrap());
    }
    let backends = backends.lock().unwrap().clone();
    assert_eq!(backends.len(), 2);
    assert!(backends.values().all(|backend| backend.truth.created() == 1));
    assert_eq!(pool.stats().open, 2);
    pool.close().unwrap();
    assert!(backends.values().all(|backend| backend.truth.alive() == 0));
    assert!(matches!(pool.get(&"a".to_owned()), Err(AcquireError::Closed)));
    assert!(matches!(pool.get(&"new".to_owned()), Err(AcquireError::Closed)));
}

#[test]
fn each_key_has_its_limit_and_all_have_the_total() {
    let (backend, pool) = shared(config(3, 4));
    let a: Vec<_> = (0..3).map(|_| pool.get(&"a").unwrap()).collect();
    assert!(pool.get_timeout(&"a", Duration::ZERO).is_err());
    let b = pool.get(&"b").unwrap();
    assert_eq!(backend.truth.alive(), 4);
    thread::scope(|scope| {
        let starved = scope.spawn(|| pool.get(&"c").map(|guard| guard.id));
        until(|| pool.stats().starved == 1);
        assert_eq!(backend.truth.alive(), 4);
        // What comes back under another key makes room.
        drop(a);
        assert!(starved.join().unwrap().is_ok());
    });
    assert!(backend.truth.most_alive() <= 4);
    drop(b);
}

#[test]
fn the_longest_idle_session_of_another_key_makes_room() {
    let backend = FakeBackend::new();
    let of_key = backend.clone();
    let clock = Arc::new(ManualClock::new());
    let pool = KeyedPool::builder(config(2, 2), move |_: &&str| of_key.clone())
        .clock(clock.clone())
        .build();
    drop(pool.get(&"old").unwrap());
    clock.advance(SECOND);
    drop(pool.get(&"young").unwrap());
    drop(pool.get(&"new").unwrap());
    let open = |key| pool.stats_of(&key).map_or(0, |stats| stats.open());
    until(|| open("old") == 0);
    assert_eq!((open("young"), open("new")), (1, 1));
    let closed = pool.stats_of(&"old").unwrap().counters.closed(CloseReason::Displaced);
    assert_eq!(closed, 1);
    assert!(backend.truth.most_alive() <= 2);
}

#[test]
fn a_detached_session_makes_room_for_another_key() {
    let (_, pool) = shared(config(1, 1));
    let kept = Guard::detach(pool.get(&"a").unwrap());
    drop(pool.get(&"b").unwrap());
    drop(kept);
}

#[test]
fn many_threads_over_many_keys_stay_within_the_total_and_all_are_served() {
    let backend = FakeBackend::new();
    let of_key = backend.clone();
    let pool = KeyedPool::new(config(2, 5), move |_: &usize| of_key.clone());
    thread::scope(|scope| {
        for worker in 0..16 {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..50 {
                    let key = (worker * 7 + round * 3) % 20;
                    let session = pool.get(&key).unwrap();
                    session.use_it(thread::yield_now);
                }
            });
        }
    });
    assert!(backend.truth.most_alive() <= 5, "{}", backend.truth.most_alive());
    pool.close().unwrap();
    assert_eq!(backend.truth.alive(), 0);
}

#[test]
fn idle_keys_are_forgotten() {
    let backend = FakeBackend::new();
    let of_key = backend.clone();
    let clock = Arc::new(ManualClock::new());
    let pool = KeyedPool::builder(config(2, 100), move |_: &usize| of_key.clone())
        .clock(clock.clone())
        .build();
    for key in 0..50 {
        drop(pool.get(&key).unwrap());
    }
    let held = pool.get(&7).unwrap();
    assert_eq!(pool.stats().keys, 50);
    for _ in 0..40 {
        clock.advance(30 * SECOND);
        thread::yield_now();
    }
    until(|| {
        clock.advance(SECOND);
        pool.stats().keys == 1
    });
    // A close that the clock has overtaken counts as given up and may still be under way.
    until(|| backend.truth.alive() == 1);
    drop(held);
}

#[test]
fn guards_outlive_their_pools() {
    let (backend, pool) = shared(config(1, 1));
    let held = pool.get(&"a").unwrap();
    drop(pool);
    drop(held);
    until(|| backend.truth.closed() == 1);
}

#[test]
fn a_total_of_zero_is_refused() {
    assert_eq!(KeyedConfig::new(Config::default(), 0).unwrap_err().field(), "max_total");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_over_many_keys_some_of_them_cancelled() {
    let backend = FakeBackend::new();
    let of_key = FakeAsyncBackend(backend.clone());
    let pool = AsyncKeyedPool::new(config(2, 5), move |_: &usize| of_key.clone());
    let tasks: Vec<_> = (0..64)
        .map(|worker| {
            let pool = pool.clone();
            tokio::spawn(async move {
                for round in 0..20 {
                    let session = pool.get(&((worker + round) % 20)).await.unwrap();
                    tokio::task::yield_now().await;
                    session.use_it(|| ());
                }
            })
        })
        .collect();
    for (index, task) in tasks.into_iter().enumerate() {
        if index % 5 == 0 {
            task.abort();
            let _ = task.await;
        } else {
            task.await.unwrap();
        }
    }
    assert!(backend.truth.most_alive() <= 5);
    for key in 0..20 {
        drop(pool.get(&key).await.unwrap());
    }
    pool.close().await.unwrap();
    assert_eq!(backend.truth.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_driver_task_serves_all_keys_and_ends_with_them() {
    let backend = FakeBackend::new();
    let of_key = FakeAsyncBackend(backend.clone());
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let pool = AsyncKeyedPool::new(config(2, 100), move |_: &usize| of_key.clone());
    for key in 0..50 {
        drop(pool.get(&key).await.unwrap());
    }
    tokio::time::sleep(SECOND).await;
    assert_eq!((metrics.num_alive_tasks(), backend.truth.alive()), (before + 1, 50));
    tokio::time::sleep(700 * SECOND).await;
    assert_eq!((pool.stats().keys, backend.truth.alive()), (0, 0));
    drop(pool.get(&1).await.unwrap());
    drop(pool);
    tokio::time::sleep(SECOND).await;
    assert_eq!((metrics.num_alive_tasks(), backend.truth.alive()), (before, 0));
}
