//! The async front over the fake backend, on both kinds of tokio runtime and in paused time.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pool_core::{Acquire, AcquireError, AsyncPool, AsyncPooled, CloseReason, Config, ErrorKind};
use pool_model::{Behaviour, FakeAsyncBackend, FakeBackend};

const SECOND: Duration = Duration::from_secs(1);

fn fake() -> (FakeBackend, FakeAsyncBackend) {
    let backend = FakeBackend::new();
    (backend.clone(), FakeAsyncBackend(backend))
}

fn config(max_size: usize) -> Config {
    Config::builder().max_size(max_size).build().unwrap()
}

/// Lets the other tasks run until something is so.
async fn until(what: impl Fn() -> bool) {
    while !what() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn f2_futures_and_guards_are_send_and_small() {
    fn sendable<T: Send + 'static>() -> usize {
        size_of::<T>()
    }
    assert!(sendable::<Acquire<FakeAsyncBackend>>() <= 256);
    assert!(sendable::<AsyncPooled<FakeAsyncBackend>>() <= 128);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_share_few_sessions() {
    let (backend, async_backend) = fake();
    let pool = AsyncPool::new(async_backend, config(4));
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                for _ in 0..50 {
                    let session = pool.get().await.unwrap();
                    tokio::task::yield_now().await;
                    session.use_it(|| ());
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(backend.truth.most_alive() <= 4);
    pool.close().await.unwrap();
    assert_eq!(backend.truth.alive(), 0);
    assert_eq!(pool.stats().counters.served, 64 * 50);
}

#[tokio::test(start_paused = true)]
async fn deadlines_follow_paused_time() {
    let (backend, async_backend) = fake();
    let pool = AsyncPool::new(async_backend, config(1));
    let held = pool.get().await.unwrap();
    let error = pool.get().await.unwrap_err();
    assert!(error.is_timeout());
    assert!(error.to_string().contains("async_pool.rs"), "{error}");
    drop(held);
    tokio::time::sleep(2 * SECOND).await;
    drop(pool.get().await.unwrap());
    assert_eq!(backend.checks.calls(), 1);
    backend.checks.next(Behaviour::Block);
    tokio::time::sleep(2 * SECOND).await;
    // The check hangs; it is given up after 5 s and a new session takes over.
    assert_eq!(pool.get().await.unwrap().id, 1);
    assert_eq!(pool.stats().counters.closed(CloseReason::CheckFailed), 1);
    backend.connects.next(Behaviour::Block);
    pool.evict_all();
    assert_eq!(pool.get().await.unwrap().id, 2);
    assert_eq!(pool.stats().hung(), 0);
}

#[tokio::test(start_paused = true)]
async fn idle_sessions_are_kept_alive() {
    let (backend, async_backend) = fake();
    let config = Config::builder().keepalive_interval(Some(30 * SECOND)).build().unwrap();
    let pool = AsyncPool::new(async_backend, config);
    drop(pool.get().await.unwrap());
    tokio::time::sleep(300 * SECOND).await;
    assert!((9..=12).contains(&backend.keepalives.calls()), "{}", backend.keepalives.calls());
    tokio::time::sleep(400 * SECOND).await;
    assert_eq!(backend.truth.alive(), 0, "idle_timeout ends it all the same");
}

#[tokio::test(start_paused = true)]
async fn idle_sessions_that_ask_by_themselves_are_looked_at_and_those_that_gave_up_replaced() {
    let (backend, async_backend) = fake();
    let config = Config::builder()
        .watch_interval(Some(30 * SECOND))
        .min_idle(1)
        .max_size(1)
        .build()
        .unwrap();
    let pool = AsyncPool::new(async_backend, config);
    let killer = pool.get().await.unwrap().killer();
    tokio::time::sleep(100 * SECOND).await;
    assert!((4..=7).contains(&backend.probes.calls()), "{}", backend.probes.calls());
    killer();
    tokio::time::sleep(40 * SECOND).await;
    assert_eq!((backend.truth.created(), pool.stats().idle), (2, 1));
    assert_eq!((backend.checks.calls(), backend.keepalives.calls()), (0, 0));
}

#[tokio::test]
async fn a_permanent_error_reaches_all_who_wait_after_one_attempt() {
    let (backend, async_backend) = fake();
    backend.connects.always(Behaviour::BlockErr(ErrorKind::Permanent));
    let pool = AsyncPool::new(async_backend, config(4));
    let borrowers: Vec<_> = (0..8)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.get().await.map(drop) })
        })
        .collect();
    until(|| pool.stats().waiting == 8 && backend.connects.blocked() == 1).await;
    backend.connects.open(1);
    for borrower in borrowers {
        assert!(matches!(borrower.await.unwrap(), Err(AcquireError::Connect(_))));
    }
    assert_eq!(backend.connects.calls(), 1);
}

#[tokio::test]
async fn f4_a_borrow_dropped_after_any_number_of_polls_leaves_nothing() {
    for lent in [false, true] {
        for polls in 0..6 {
            let (_, async_backend) = fake();
            let pool = AsyncPool::new(async_backend, config(1));
            let held = if lent { Some(pool.get().await.unwrap()) } else { None };
            {
                let mut borrow = pin!(pool.get());
                let mut cx = Context::from_waker(Waker::noop());
                for _ in 0..polls {
                    if borrow.as_mut().poll(&mut cx).is_ready() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            drop(held);
            let stats = pool.stats();
            assert_eq!((stats.waiting, stats.lent, stats.reserved), (0, 0, 0), "{polls} polls");
            drop(pool.get().await.unwrap());
            let counters = pool.stats().counters;
            let ended = counters.served + counters.cancelled + counters.timed_out;
            assert_eq!(counters.acquires, ended, "{polls} polls");
        }
    }
}

#[tokio::test]
async fn a_reservation_of_a_dropped_borrow_goes_to_the_next_in_line() {
    let (_, async_backend) = fake();
    let pool = AsyncPool::new(async_backend, config(1));
    let held = pool.get().await.unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    let mut first = Box::pin(pool.get());
    let mut second = Box::pin(pool.get());
    assert!(first.as_mut().poll(&mut cx).is_pending());
    assert!(second.as_mut().poll(&mut cx).is_pending());
    drop(held);
    assert_eq!(pool.stats().reserved, 1);
    assert!(pool.try_get().is_none(), "a newcomer does not overtake");
    drop(first);
    assert!(matches!(second.as_mut().poll(&mut cx), Poll::Ready(Ok(_))));
}

#[test]
fn f3_a_guard_may_be_dropped_anywhere() {
    let (backend, async_backend) = fake();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pool = runtime.block_on(async { AsyncPool::new(async_backend, config(4)) });
    let mut guards = runtime.block_on(async {
        let mut guards = Vec::new();
        for _ in 0..4 {
            guards.push(pool.get().await.unwrap());
        }
        guards
    });
    // Outside the runtime.
    drop(guards.pop());
    assert_eq!(pool.stats().idle, 1);
    // While its thread unwinds.
    let unwinding = guards.pop().unwrap();
    let panicked = std::thread::spawn(move || {
        let _unwinding = unwinding;
        panic!("as told");
    });
    assert!(panicked.join().is_err());
    assert_eq!(pool.stats().counters.closed(CloseReason::Panicked), 1);
    // After the runtime is gone.
    drop(runtime);
    guards.pop().unwrap().mark_dirty();
    drop(guards);
    // And a second runtime goes on where the first one ended.
    let second = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    second.block_on(async {
        let four = (pool.get().await, pool.get().await, pool.get().await, pool.get().await);
        assert!(four.0.is_ok() && four.1.is_ok() && four.2.is_ok() && four.3.is_ok());
        drop(four);
        pool.close().await.unwrap();
    });
    assert_eq!(backend.truth.alive(), 0);
}

#[test]
fn without_a_runtime_a_borrow_says_so() {
    let (_, async_backend) = fake();
    let pool = AsyncPool::new(async_backend, config(1));
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(pool.get()).poll(&mut cx) {
        Poll::Ready(Err(error)) => assert!(error.to_string().contains("runtime"), "{error}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn release_waits_for_the_reset_and_a_cancelled_one_closes_the_session() {
    let (backend, async_backend) = fake();
    let pool = AsyncPool::new(async_backend, config(1));
    let mut session = pool.get().await.unwrap();
    session.mark_dirty();
    pool.release(session).await;
    assert_eq!((pool.stats().idle, backend.resets.calls()), (1, 1));
    let mut session = pool.get().await.unwrap();
    session.mark_dirty();
    backend.resets.next(Behaviour::Block);
    {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(pin!(pool.release(session)).poll(&mut cx).is_pending());
    }
    assert_eq!(pool.get().await.unwrap().id, 1);
    assert_eq!(pool.stats().counters.closed(CloseReason::Interrupted), 1);
}

#[tokio::test]
async fn dropping_the_pool_ends_its_driver() {
    let (backend, async_backend) = fake();
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let pool = AsyncPool::new(async_backend, config(2));
    drop(pool.get().await.unwrap());
    drop(pool);
    until(|| backend.truth.alive() == 0).await;
    until(|| tokio::runtime::Handle::current().metrics().num_alive_tasks() == before).await;
}

#[tokio::test(start_paused = true)]
async fn panics_of_the_backend_cost_a_session_and_no_more() {
    let (backend, async_backend) = fake();
    let pool = AsyncPool::new(async_backend, config(1));
    backend.connects.next(Behaviour::Panic);
    drop(pool.get().await.unwrap());
    backend.checks.next(Behaviour::Panic);
    tokio::time::sleep(2 * SECOND).await;
    drop(pool.get().await.unwrap());
    backend.resets.next(Behaviour::Panic);
    pool.get().await.unwrap().mark_dirty();
    drop(pool.get().await.unwrap());
    backend.closes.always(Behaviour::Panic);
    pool.close().await.unwrap();
    assert_eq!(backend.truth.alive(), 0);
}
