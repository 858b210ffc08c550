//! What a hard look found in the keyed pools before this one, as their users see it: rows 10 to 18
//! (tests/README.md says how each failed).

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use pool_core::{
    AcquireError, AsyncKeyedPool, Config, ErrorKind, KeyedConfig, KeyedPool, WaitPhase,
};
use pool_model::{Behaviour, FakeAsyncBackend, FakeBackend};
use tokio::runtime::Runtime;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn per_key(max_size: usize) -> Config {
    Config::builder().max_size(max_size).build().unwrap()
}

fn config(max_size: usize, total: usize) -> KeyedConfig {
    KeyedConfig::new(per_key(max_size), total).unwrap()
}

/// A pool whose keys share one backend.
fn threads(config: KeyedConfig) -> (FakeBackend, KeyedPool<usize, FakeBackend>) {
    let backend = FakeBackend::new();
    let of_key = backend.clone();
    (backend, KeyedPool::new(config, move |_| of_key.clone()))
}

fn tasks(config: KeyedConfig) -> (FakeBackend, AsyncKeyedPool<usize, FakeAsyncBackend>) {
    let backend = FakeBackend::new();
    let of_key = FakeAsyncBackend(backend.clone());
    (backend, AsyncKeyedPool::new(config, move |_| of_key.clone()))
}

fn current_thread() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Runs something that may hang the thread that it is on; true where it ended in time.
fn ends(within: Duration, work: impl FnOnce() + Send + 'static) -> bool {
    let (ended, end) = mpsc::channel();
    thread::spawn(move || {
        work();
        let _ = ended.send(());
    });
    end.recv_timeout(within).is_ok()
}

#[test]
fn row_10_a_future_that_is_never_polled_does_not_keep_the_driver_busy() {
    let ended = ends(5 * SECOND, || {
        let config = Config::builder().idle_timeout(Some(20 * MILLISECOND)).build().unwrap();
        let config = KeyedConfig::new(config, 4).unwrap().forget_after(50 * MILLISECOND);
        let (_, pool) = tasks(config);
        current_thread().block_on(async move {
            drop(pool.get(&1).await.unwrap());
            let never_polled = pool.get(&1);
            tokio::time::sleep(500 * MILLISECOND).await;
            drop(never_polled);
        });
    });
    assert!(ended, "the runtime stands still");
}

#[test]
fn row_10_failing_acquires_do_not_keep_the_driver_busy_where_keys_are_forgotten_at_once() {
    let ended = ends(5 * SECOND, || {
        let (backend, pool) = tasks(config(2, 4).forget_after(Duration::ZERO));
        backend.connects.always(Behaviour::Err(ErrorKind::Permanent));
        current_thread().block_on(async move {
            for _ in 0..3 {
                let refused = pool.get_timeout(&1, 200 * MILLISECOND).await;
                assert!(matches!(refused, Err(AcquireError::Connect(_))), "{refused:?}");
                tokio::time::sleep(10 * MILLISECOND).await;
            }
        });
    });
    assert!(ended, "the runtime stands still, or an outcome was lost");
}

#[test]
fn row_10_an_outcome_is_told_though_its_key_is_forgotten_at_once() {
    let (backend, pool) = threads(config(2, 4).forget_after(Duration::ZERO));
    backend.connects.always(Behaviour::Err(ErrorKind::Transient));
    for _ in 0..20 {
        let error = pool.get_timeout(&1, 20 * MILLISECOND).expect_err("nothing can be opened");
        assert!(error.is_timeout(), "{error:?}");
    }
}

#[test]
fn row_11_keys_do_not_displace_each_other_for_sessions_that_nobody_wants() {
    let per_key = Config::builder().max_size(2).min_idle(1).build().unwrap();
    let (backend, pool) = threads(KeyedConfig::new(per_key, 2).unwrap());
    for key in 0..4 {
        drop(pool.get(&key).unwrap());
    }
    thread::sleep(300 * MILLISECOND);
    let before = backend.truth.created();
    thread::sleep(SECOND);
    let connects = backend.truth.created() - before;
    assert!(connects <= 2, "{connects} connects in a second with no borrower");
}

/// How many leases each of two keys gets under a total of one session in 3 s, that many borrowers
/// of each never stopping.
fn compete(config: KeyedConfig, borrowers: [usize; 2]) -> [u64; 2] {
    let (_, pool) = threads(config);
    let leases: [AtomicU64; 2] = Default::default();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let keys = (0..2).flat_map(|key| std::iter::repeat_n(key, borrowers[key]));
        for key in keys {
            let (pool, leases, over) = (&pool, &leases, &over);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    if let Ok(session) = pool.get_timeout(&key, 3 * SECOND) {
                        leases[key].fetch_add(1, Ordering::Relaxed);
                        thread::sleep(2 * MILLISECOND);
                        drop(session);
                    }
                }
            });
        }
        thread::sleep(3 * SECOND);
        over.store(true, Ordering::Relaxed);
    });
    leases.map(AtomicU64::into_inner)
}

#[test]
fn row_12_keys_that_are_as_busy_have_as_much() {
    let leases = compete(config(1, 1), [2, 2]);
    let (most, least) = (leases[0].max(leases[1]), leases[0].min(leases[1]));
    assert!(least * 4 >= most && least > 0, "leases by key in 3 s: {leases:?}");
}

/// One that is less busy has something at every turn of the busy one: 12 in 3 s by the default of
/// 250 ms, and its share of the borrowers where turns are as short as its leases.
#[test]
fn row_12_a_busy_key_leaves_the_others_their_turn() {
    let leases = compete(config(1, 1), [4, 1]);
    assert!(leases[1] >= 6, "leases by key in 3 s: {leases:?}");
    let leases = compete(config(1, 1).turn(8 * MILLISECOND), [4, 1]);
    assert!(leases[1] * 8 >= leases[0], "leases by key in 3 s with short turns: {leases:?}");
}

#[test]
fn row_13_a_slow_close_does_not_hold_up_the_session_that_comes_instead() {
    let (backend, pool) = threads(config(8, 10));
    // Several workers, all but one of which sleep when the session comes back.
    let mut sessions: Vec<_> = thread::scope(|scope| {
        let get = || scope.spawn(|| pool.get(&1).unwrap());
        let all: Vec<_> = (0..4).map(|_| get()).collect();
        all.into_iter().map(|borrower| borrower.join().unwrap()).collect()
    });
    thread::sleep(100 * MILLISECOND);
    backend.closes.next(Behaviour::Block);
    let session = sessions.pop().unwrap();
    session.killer()();
    let gate = backend.closes.clone();
    thread::spawn(move || {
        thread::sleep(2 * SECOND);
        gate.open(1);
    });
    let began = Instant::now();
    drop(session);
    drop(pool.get(&1).unwrap());
    let took = began.elapsed();
    assert!(took < SECOND, "replacing a dead session took {took:?}");
}

#[test]
fn row_13_many_slow_closes_hold_up_no_other_key() {
    let (backend, pool) = threads(config(1, 200));
    let dead: Vec<_> = (0..60).map(|key| pool.get(&key).unwrap()).collect();
    backend.closes.always(Behaviour::Block);
    dead.iter().for_each(|session| session.killer()());
    drop(dead);
    let began = Instant::now();
    let other = pool.get_timeout(&100, 2 * SECOND);
    let took = began.elapsed();
    backend.closes.always(Behaviour::Ok);
    backend.closes.open(60);
    assert!(other.is_ok() && took < SECOND, "{other:?} after {took:?}");
}

#[test]
fn row_14_forty_dead_hosts_do_not_hold_up_a_healthy_one() {
    let (dead, healthy) = (FakeBackend::new(), FakeBackend::new());
    dead.connects.always(Behaviour::Block);
    let (of_dead, of_healthy) = (dead.clone(), healthy);
    let pool = KeyedPool::new(config(2, 200), move |key: &usize| match key {
        0 => of_healthy.clone(),
        _ => of_dead.clone(),
    });
    let (answer, took) = thread::scope(|scope| {
        for key in 1..=40 {
            let pool = &pool;
            scope.spawn(move || pool.get_timeout(&key, 3 * SECOND).is_ok());
        }
        thread::sleep(300 * MILLISECOND);
        let began = Instant::now();
        let answer = pool.get_timeout(&0, 2 * SECOND).map(drop);
        let took = began.elapsed();
        dead.connects.always(Behaviour::Ok);
        dead.connects.open(200);
        (answer, took)
    });
    assert!(answer.is_ok() && took < SECOND, "{answer:?} after {took:?}");
}

#[test]
fn row_15_borrowers_on_another_runtime_go_on_when_the_drivers_ends() {
    let ended = ends(8 * SECOND, || {
        let (_, pool) = tasks(config(1, 4));
        let first = current_thread();
        let held = first.block_on(pool.get(&1)).unwrap();
        let (waiting, waits) = mpsc::channel();
        let other = pool.clone();
        let borrower = thread::spawn(move || {
            current_thread().block_on(async {
                let acquire = other.get_timeout(&2, 2 * SECOND);
                let mut acquire = Box::pin(acquire);
                std::future::poll_fn(|cx| {
                    let polled = acquire.as_mut().poll(cx);
                    let _ = waiting.send(());
                    polled
                })
                .await
                .is_ok()
            })
        });
        waits.recv().unwrap();
        drop(first);
        assert!(borrower.join().unwrap(), "no session for a borrower on another runtime");
        drop(held);
    });
    assert!(ended, "a borrower on another runtime got neither a session nor a timeout");
}

#[test]
fn row_16_keys_asked_for_in_vain_are_forgotten() {
    let per_key = Config::builder().idle_timeout(Some(50 * MILLISECOND)).build().unwrap();
    let config = KeyedConfig::new(per_key, 100).unwrap().forget_after(20 * MILLISECOND);
    let (_, pool) = threads(config);
    for key in 0..200 {
        let _ = pool.get_timeout(&key, Duration::ZERO);
    }
    let until = Instant::now() + 5 * SECOND;
    while pool.stats().keys > 0 && Instant::now() < until {
        thread::sleep(20 * MILLISECOND);
    }
    assert_eq!(pool.stats().keys, 0, "keys asked for with no time to wait stay");
}

#[test]
fn row_16_keys_whose_futures_were_never_polled_are_forgotten() {
    let per_key = Config::builder().idle_timeout(Some(50 * MILLISECOND)).build().unwrap();
    let config = KeyedConfig::new(per_key, 100).unwrap().forget_after(20 * MILLISECOND);
    let ended = ends(10 * SECOND, || {
        let (_, pool) = tasks(config);
        current_thread().block_on(async move {
            drop(pool.get(&0).await.unwrap());
            let never_polled: Vec<_> = (1..100).map(|key| pool.get(&key)).collect();
            tokio::time::sleep(200 * MILLISECOND).await;
            drop(never_polled);
            tokio::time::sleep(2 * SECOND).await;
            assert_eq!(pool.stats().keys, 0, "keys stay");
        });
    });
    assert!(ended, "keys stay, or the runtime stands still");
}

#[test]
fn row_16_a_closed_pool_learns_no_keys() {
    let (_, pool) = threads(config(1, 4));
    drop(pool.get(&0).unwrap());
    pool.close().unwrap();
    for key in 1..100 {
        assert!(matches!(pool.get(&key), Err(AcquireError::Closed)));
    }
    assert!(pool.stats().keys <= 1, "{} keys of a closed pool", pool.stats().keys);
}

#[test]
fn row_17_an_acquire_costs_the_same_while_others_starve() {
    const KEYS: usize = 800;
    let (_, pool) = threads(config(1, KEYS));
    let held: Vec<_> = (1..KEYS).map(|key| pool.get(&key).unwrap()).collect();
    drop(pool.get(&0).unwrap());
    // The last place is kept busy, so that the other key starves throughout.
    let session = pool.get(&0).unwrap();
    thread::scope(|scope| {
        let starving = scope.spawn(|| pool.get_timeout(&KEYS, 20 * SECOND).map(drop));
        while pool.stats().starved == 0 {
            thread::yield_now();
        }
        let began = Instant::now();
        for _ in 0..1000 {
            let _ = pool.get_timeout(&1, Duration::ZERO);
        }
        let each = began.elapsed() / 1000;
        drop((session, held));
        starving.join().unwrap().unwrap();
        assert!(each < 300 * MILLISECOND / 1000, "{each:?} for each acquire");
    });
}

#[test]
fn row_18_dropping_the_last_handle_ends_acquires_that_wait() {
    current_thread().block_on(async {
        let (_, pool) = tasks(config(1, 1));
        let held = pool.get(&1).await.unwrap();
        let waiting = tokio::spawn(pool.get(&1));
        tokio::task::yield_now().await;
        drop(pool);
        let ended = tokio::time::timeout(2 * SECOND, waiting).await;
        let closed = matches!(ended, Ok(Ok(Err(AcquireError::Closed))));
        assert!(closed, "an acquire waits though no handle is left");
        drop(held);
    });
}

#[test]
fn row_18_a_starving_key_is_told_that_it_waits_for_the_total() {
    let (_, pool) = threads(config(1, 1));
    let _held = pool.get(&1).unwrap();
    match pool.get_timeout(&2, 200 * MILLISECOND) {
        Err(AcquireError::TimedOut(report)) => assert_eq!(format!("{:?}", report.phase), "Total"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn row_18_so_does_its_health() {
    current_thread().block_on(async {
        let (_, pool) = tasks(config(1, 1));
        let _held = pool.get(&1).await.unwrap();
        let mut waiting = Box::pin(pool.get(&2));
        let waits = std::future::poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending()));
        assert!(waits.await);
        assert_eq!(pool.health_of(&2).unwrap().waiting_for, Some(WaitPhase::Total));
    });
}

#[test]
fn the_pools_can_be_sent_about() {
    fn sent<T: Send + Sync + 'static>(_: &T) {}
    let (backend, pool) = threads(config(1, 1));
    sent(&pool);
    drop(Arc::new(backend));
}
