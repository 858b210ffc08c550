//! What the owner of a pool may ask of it: to be warm, and how it is.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use pool_core::core::WaitPhase;
use pool_core::{AsyncKeyedPool, Clock, ErrorKind, KeyedConfig, KeyedPool, Pool};
use pool_model::{Behaviour, Executor, FakeAsyncBackend, FakeBackend, FakeError, ManualClock};

use crate::rig::{HOUR, Lines, SECOND, patient, poll_once, pool, threads, until, within_watchdog};

#[test]
fn warming_waits_until_so_many_are_open() {
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    let tasks = pool(&executor, &backend, patient().max_size(4));
    executor.block_on(tasks.warm(3, SECOND)).unwrap();
    assert_eq!((tasks.stats().idle, backend.0.truth.created()), (3, 3));
    executor.block_on(tasks.warm(100, SECOND)).unwrap();
    assert_eq!(tasks.stats().idle, 4, "max_size at most");

    let backend = FakeBackend::new();
    let threads = Pool::new(backend.clone(), patient().max_size(4).build().unwrap());
    threads.warm(3, 10 * SECOND).unwrap();
    assert_eq!(threads.stats().idle, 3);
}

#[test]
fn warming_fails_at_once_where_it_is_hopeless_and_in_time_where_it_takes_too_long() {
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    backend.0.connects.next(Behaviour::Err(ErrorKind::Permanent));
    let tasks = pool(&executor, &backend, patient());
    let start = executor.now();
    let error = executor.block_on(tasks.warm(2, HOUR)).unwrap_err();
    assert_eq!((error.wanted, error.opened), (2, 0));
    let expected = FakeError(ErrorKind::Permanent);
    assert_eq!(error.last_failure.as_deref(), Some(&expected));
    assert_eq!(executor.now(), start);

    backend.0.connects.always(Behaviour::Block);
    let tasks = pool(&executor, &backend, patient());
    let start = executor.now();
    let error = executor.block_on(tasks.warm(2, 5 * SECOND)).unwrap_err();
    assert_eq!((error.opened, executor.now() - start), (0, 5 * SECOND));
    assert!(error.last_failure.is_none(), "nothing has failed");
    backend.0.connects.open(1);
    executor.run();
    backend.0.connects.always(Behaviour::Err(ErrorKind::Transient));
    let error = executor.block_on(tasks.warm(2, 5 * SECOND)).unwrap_err();
    let expected = FakeError(ErrorKind::Transient);
    assert_eq!((error.opened, error.last_failure.as_deref()), (1, Some(&expected)));

    let backend = FakeBackend::new();
    backend.connects.always(Behaviour::Err(ErrorKind::Permanent));
    let threads = Pool::new(backend, patient().build().unwrap());
    let error = within_watchdog(move || threads.warm(2, HOUR).unwrap_err().last_failure.is_some());
    assert_eq!(error, Some(true));
}

#[test]
fn a_warming_that_is_cancelled_asks_for_no_more() {
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    backend.0.connects.always(Behaviour::Block);
    let tasks = pool(&executor, &backend, patient().max_connecting(1));
    let mut warming = Box::pin(tasks.warm(4, HOUR));
    assert!(poll_once(warming.as_mut()).is_none());
    executor.run();
    drop(warming);
    backend.0.connects.open(10);
    executor.run();
    assert_eq!(backend.0.truth.created(), 1, "the one that was under way");
}

#[test]
fn a_keyed_pool_says_how_many_leases_a_key_s_session_carries() {
    let per_key = patient().leases_per_session(3).build().unwrap();
    let config = KeyedConfig::new(per_key, 2).unwrap();
    let lines = Lines::default();
    let pool = KeyedPool::builder(config.clone(), move |_: &u8| lines.clone());
    let pool = pool.shared().build();
    assert_eq!(pool.leases_per_session(&1), None);
    drop(pool.get(&1).unwrap());
    assert_eq!(pool.leases_per_session(&1), Some(3));
    let (executor, lines) = (Executor::new(), Lines::default());
    let make = move |_: &u8| lines.clone();
    let tasks = AsyncKeyedPool::builder_on(executor.runtime(), config, make).shared().build();
    drop(executor.block_on(tasks.get(&1)).unwrap());
    assert_eq!(tasks.leases_per_session(&1), Some(3));
    let clock = Arc::new(ManualClock::new());
    assert_eq!(threads(&clock, &Lines::default(), 3, patient()).leases_per_session(), 3);
}

#[test]
fn a_session_that_is_watched_is_looked_at_and_not_asked() {
    let config = || patient().watch_interval(Some(30 * SECOND)).jitter(0.0);
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    let tasks = pool(&executor, &backend, config());
    let kill = executor.block_on(tasks.get()).unwrap().killer();
    executor.advance(100 * SECOND);
    assert_eq!((tasks.stats().idle, backend.0.checks.calls()), (1, 0));
    kill();
    executor.advance(30 * SECOND);
    assert_eq!((backend.0.truth.closed(), backend.0.checks.calls()), (1, 0));

    let (clock, backend) = (Arc::new(ManualClock::new()), FakeBackend::new());
    let threads = Pool::builder(backend.clone()).config(config().build().unwrap());
    let threads = threads.clock(clock.clone()).build();
    let kill = threads.get().unwrap().killer();
    let looks = || backend.probes.calls();
    let before = looks();
    for nth in 1..=3 {
        clock.advance(30 * SECOND);
        until(|| looks() == before + nth && threads.stats().idle == 1);
    }
    kill();
    clock.advance(30 * SECOND);
    until(|| backend.truth.closed() == 1);
    assert_eq!(backend.checks.calls(), 0);
}

#[test]
fn a_try_get_closes_the_broken_session_that_it_meets_and_takes_the_next() {
    let backend = FakeBackend::new();
    let pool = Pool::new(backend.clone(), patient().max_size(2).build().unwrap());
    let lent = [pool.get().unwrap(), pool.get().unwrap()];
    let kill = lent[1].killer();
    drop(lent);
    kill();
    let lease = pool.try_get().unwrap();
    assert_eq!((lease.id, pool.stats().lent), (0, 1));
    until(|| backend.truth.closed() == 1);
}

#[test]
fn who_waits_while_the_only_session_is_promised_waits_for_its_return() {
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    let pool = pool(&executor, &backend, patient().max_size(1));
    let lease = executor.block_on(pool.get()).unwrap();
    let mut waiting = [Box::pin(pool.get()), Box::pin(pool.get())];
    assert!(waiting.iter_mut().all(|one| poll_once(one.as_mut()).is_none()));
    drop(lease);
    let health = pool.health();
    assert_eq!((health.stats.reserved, health.stats.closing), (1, 0));
    assert_eq!(health.waiting_for, Some(WaitPhase::Return));
}

/// Counts who keeps it.
struct Kept;

impl Wake for Kept {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn whoever_stops_waiting_leaves_no_waker_behind() {
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    let pool = pool(&executor, &backend, patient().max_size(1));
    let lease = executor.block_on(pool.get()).unwrap();
    backend.0.connects.always(Behaviour::Block);
    let kept = Arc::new(Kept);
    let waker = Waker::from(Arc::clone(&kept));
    let mut cx = Context::from_waker(&waker);
    assert!(pin!(pool.get()).poll(&mut cx).is_pending());
    assert!(pin!(pool.warm(1, HOUR)).poll(&mut cx).is_ready());
    pool.resize(2);
    assert!(pin!(pool.warm(2, HOUR)).poll(&mut cx).is_pending());
    assert!(pin!(pool.close_timeout(HOUR)).poll(&mut cx).is_pending());
    assert_eq!(Arc::strong_count(&kept), 2, "the waker at hand and the one kept here");
    drop(lease);
}

#[test]
fn two_warmings_at_once_both_get_what_they_asked_for() {
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    backend.0.connects.always(Behaviour::Block);
    let tasks = pool(&executor, &backend, patient().max_connecting(1));
    let mut many = Box::pin(tasks.warm(4, HOUR));
    let mut few = Box::pin(tasks.warm(1, HOUR));
    assert!(poll_once(many.as_mut()).is_none());
    assert!(poll_once(few.as_mut()).is_none());
    executor.run();
    backend.0.connects.open(1);
    executor.run();
    assert!(poll_once(few).is_some_and(|warmed| warmed.is_ok()));
    backend.0.connects.open(10);
    let start = executor.now();
    executor.block_on(many).unwrap();
    assert_eq!((executor.now(), tasks.stats().idle), (start, 4));
}

#[test]
fn health_says_why_nothing_can_be_had_and_who_waits_for_what() {
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    backend.0.connects.always(Behaviour::Err(ErrorKind::Transient));
    let pool = pool(&executor, &backend, patient());
    assert!(pool.health().is_ready(), "nothing is known against it");
    let mut waiting = Box::pin(pool.get());
    assert!(poll_once(waiting.as_mut()).is_none());
    executor.advance(10 * SECOND);
    let health = pool.health();
    assert!(!health.is_ready() && health.failures_in_a_row > 3 && health.retry_in.is_some());
    assert_eq!(health.longest_wait, Some(10 * SECOND));
    assert_eq!(health.waiting_for, Some(WaitPhase::Backoff));
    assert!(health.last_failure.is_some());
    backend.0.connects.always(Behaviour::Ok);
    let lease = executor.block_on(waiting).unwrap();
    let health = pool.health();
    assert!(health.is_ready() && health.last_failure.is_none() && health.retry_in.is_none());
    assert_eq!(health.oldest_lease.map(|lease| lease.age), Some(Duration::ZERO));
    drop(lease);
    assert_eq!(pool.health().failures_in_a_row, 0, "it was used and found good");
    executor.block_on(pool.close()).unwrap();
    assert!(!pool.health().is_ready());
}
