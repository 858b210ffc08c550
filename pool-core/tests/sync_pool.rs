//! The sync front over the fake backend, in virtual time where time matters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use pool_core::{AcquireError, CloseReason, Config, ErrorKind, Guard, Pool};
use pool_model::{Behaviour, FakeBackend, ManualClock};

const SECOND: Duration = Duration::from_secs(1);

fn pool(backend: &FakeBackend, config: Config) -> Pool<FakeBackend> {
    Pool::new(backend.clone(), config)
}

fn timed(backend: &FakeBackend, config: Config) -> (Pool<FakeBackend>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new());
    let pool = Pool::builder(backend.clone()).config(config).clock(clock.clone()).build();
    (pool, clock)
}

/// Waits for what other threads are about to do; the deadlines of the pool don't move meanwhile.
fn until(what: impl Fn() -> bool) {
    while !what() {
        thread::yield_now();
    }
}

#[test]
fn a_returned_session_is_lent_again() {
    let backend = FakeBackend::new();
    let pool = pool(&backend, Config::default());
    let first = pool.get().unwrap().id;
    assert_eq!(pool.get().unwrap().id, first);
    assert_eq!(backend.truth.created(), 1);
}

#[test]
fn many_threads_share_few_sessions() {
    let backend = FakeBackend::new();
    let pool = pool(&backend, Config::builder().max_size(4).build().unwrap());
    let done = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let session = pool.get().unwrap();
                    session.use_it(thread::yield_now);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(done.into_inner(), 1600);
    assert!(backend.truth.most_alive() <= 4);
    pool.close().unwrap();
    assert_eq!(backend.truth.alive(), 0);
    let stats = pool.stats();
    assert_eq!(stats.counters.served, 1600);
    assert_eq!(stats.counters.closed_total(), stats.counters.created);
}

#[test]
fn a_session_that_broke_while_idle_is_replaced_unseen() {
    let backend = FakeBackend::new();
    let pool = pool(&backend, Config::default());
    let killer = {
        let session = pool.get().unwrap();
        session.killer()
    };
    killer();
    assert_eq!(pool.get().unwrap().id, 1);
    assert_eq!(pool.stats().counters.replaced, 1);
    assert_eq!(pool.stats().counters.closed(CloseReason::Broken), 1);
}

#[test]
fn a_session_idle_for_long_is_checked_and_a_dead_one_replaced() {
    let backend = FakeBackend::new();
    let (pool, clock) = timed(&backend, Config::default());
    drop(pool.get().unwrap());
    clock.advance(SECOND / 2);
    drop(pool.get().unwrap());
    assert_eq!(backend.checks.calls(), 0);
    clock.advance(2 * SECOND);
    drop(pool.get().unwrap());
    assert_eq!(backend.checks.calls(), 1);
    assert_eq!(backend.truth.created(), 1);
    clock.advance(2 * SECOND);
    backend.checks.next(Behaviour::Err(ErrorKind::Transient));
    assert_eq!(pool.get().unwrap().id, 1);
    assert_eq!(pool.stats().counters.closed(CloseReason::CheckFailed), 1);
}

#[test]
fn a_permanent_error_reaches_all_who_wait_after_one_attempt() {
    let backend = FakeBackend::new();
    backend.connects.always(Behaviour::BlockErr(ErrorKind::Permanent));
    let (pool, _clock) = timed(&backend, Config::default());
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..8).map(|_| scope.spawn(|| pool.get().map(drop))).collect();
        until(|| pool.stats().waiting == 8);
        backend.connects.open(1);
        for borrower in waiting {
            let error = borrower.join().unwrap().unwrap_err();
            assert!(matches!(error, AcquireError::Connect(_)), "{error}");
        }
    });
    assert_eq!(backend.connects.calls(), 1);
}

#[test]
fn after_a_permanent_error_nobody_dials_until_the_breaker_closes() {
    let backend = FakeBackend::new();
    backend.connects.always(Behaviour::Err(ErrorKind::Permanent));
    let (pool, clock) = timed(&backend, Config::default());
    for _ in 0..8 {
        assert!(matches!(pool.get(), Err(AcquireError::Connect(_))));
    }
    assert_eq!(backend.connects.calls(), 1, "while the breaker is open nobody dials");
    clock.advance(10 * SECOND);
    assert!(matches!(pool.get(), Err(AcquireError::Connect(_))));
    assert_eq!(backend.connects.calls(), 2);
}

#[test]
fn a_borrow_that_times_out_explains_itself() {
    let backend = FakeBackend::new();
    let (pool, clock) = timed(&backend, Config::builder().max_size(1).build().unwrap());
    let held = pool.get().unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| pool.get().map(drop));
        until(|| pool.stats().waiting == 1);
        clock.advance(31 * SECOND);
        let error = waiting.join().unwrap().unwrap_err();
        assert!(error.is_timeout());
        let text = error.to_string();
        assert!(text.contains("1 of 1 lent") && text.contains("sync_pool.rs"), "{text}");
    });
    drop(held);
    assert_eq!(pool.stats().idle, 1);
}

#[test]
fn a_connect_that_fails_is_tried_again_with_backoff() {
    let backend = FakeBackend::new();
    for _ in 0..3 {
        backend.connects.next(Behaviour::Err(ErrorKind::Transient));
    }
    let (pool, clock) = timed(&backend, Config::default());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| pool.get().map(drop));
        for attempt in 1..=3 {
            backend.connects.wait_for_calls(attempt);
            until(|| pool.stats().counters.connect_failures == attempt);
            clock.advance(SECOND);
        }
        waiting.join().unwrap().unwrap();
    });
    assert_eq!(backend.connects.calls(), 4);
}

#[test]
fn a_connect_that_hangs_frees_its_slot_at_its_timeout() {
    let backend = FakeBackend::new();
    backend.connects.next(Behaviour::Block);
    let (pool, clock) = timed(&backend, Config::builder().max_size(1).build().unwrap());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| pool.get().map(drop));
        backend.connects.wait_for_calls(1);
        clock.advance(10 * SECOND);
        until(|| pool.stats().hung_connects == 1);
        clock.advance(SECOND);
        waiting.join().unwrap().unwrap();
        backend.connects.open(1);
        until(|| backend.truth.created() == 2 && backend.truth.alive() == 1);
    });
    until(|| pool.stats().hung_connects == 0);
}

#[test]
fn idle_sessions_are_kept_alive_and_dead_ones_found() {
    let backend = FakeBackend::new();
    let config = Config::builder().keepalive_interval(Some(30 * SECOND)).build().unwrap();
    let (pool, clock) = timed(&backend, config);
    drop(pool.get().unwrap());
    for round in 1..=5 {
        clock.advance(30 * SECOND);
        backend.keepalives.wait_for_calls(round);
        until(|| pool.stats().idle == 1);
    }
    assert_eq!(backend.checks.calls(), 0);
    backend.keepalives.next(Behaviour::Err(ErrorKind::Transient));
    clock.advance(30 * SECOND);
    until(|| pool.stats().open() == 0);
    assert_eq!(pool.stats().counters.closed(CloseReason::KeepaliveFailed), 1);
}

#[test]
fn idle_sessions_that_ask_by_themselves_are_looked_at_and_those_that_gave_up_replaced() {
    let backend = FakeBackend::new();
    let config = Config::builder()
        .watch_interval(Some(30 * SECOND))
        .min_idle(1)
        .max_size(1)
        .build()
        .unwrap();
    let (pool, clock) = timed(&backend, config);
    let killer = pool.get().unwrap().killer();
    clock.advance(30 * SECOND);
    until(|| backend.probes.calls() >= 3 && pool.stats().idle == 1);
    killer();
    clock.advance(30 * SECOND);
    until(|| backend.truth.created() == 2 && pool.stats().idle == 1);
    assert_eq!(pool.stats().counters.closed(CloseReason::Broken), 1);
    assert_eq!((backend.checks.calls(), backend.keepalives.calls()), (0, 0));
}

#[test]
fn idle_sessions_end_down_to_min_idle_and_old_ones_are_replaced() {
    let backend = FakeBackend::new();
    let config = Config::builder().max_size(5).min_idle(2).build().unwrap();
    let (pool, clock) = timed(&backend, config);
    until(|| pool.stats().idle == 2);
    let guards: Vec<_> = (0..5).map(|_| pool.get().unwrap()).collect();
    drop(guards);
    assert_eq!(pool.stats().idle, 5);
    clock.advance(Duration::from_secs(601));
    for _ in 0..50 {
        clock.advance(SECOND);
        thread::yield_now();
    }
    until(|| pool.stats().open() == 2);
    assert_eq!(pool.stats().counters.closed(CloseReason::IdleTimeout), 3);
    for _ in 0..70 {
        clock.advance(20 * SECOND);
        thread::yield_now();
    }
    until(|| pool.stats().counters.closed(CloseReason::Lifetime) >= 2);
    until(|| pool.stats().idle == 2);
}

#[test]
fn what_a_borrower_left_is_removed_before_the_next_one() {
    let backend = FakeBackend::new();
    let pool = pool(&backend, Config::default());
    pool.get().unwrap().mark_dirty();
    drop(pool.get().unwrap());
    assert_eq!(backend.resets.calls(), 1);
    assert_eq!(backend.truth.created(), 1);
}

#[test]
fn a_session_whose_borrower_panicked_is_closed() {
    let backend = FakeBackend::new();
    let pool = pool(&backend, Config::default());
    let panicked = thread::scope(|scope| {
        scope
            .spawn(|| {
                let _held = pool.get().unwrap();
                panic!("as told");
            })
            .join()
    });
    assert!(panicked.is_err());
    assert_eq!(pool.get().unwrap().id, 1);
    assert_eq!(pool.stats().counters.closed(CloseReason::Panicked), 1);
}

#[test]
fn close_waits_for_what_is_lent_and_refuses_newcomers() {
    let backend = FakeBackend::new();
    let pool = pool(&backend, Config::default());
    let held = pool.get().unwrap();
    thread::scope(|scope| {
        let closing = scope.spawn(|| pool.close_timeout(Duration::from_secs(3600)));
        until(|| pool.stats().closed);
        assert!(matches!(pool.get(), Err(AcquireError::Closed)));
        drop(held);
        closing.join().unwrap().unwrap();
    });
    assert_eq!(backend.truth.alive(), 0);
    pool.close().unwrap();
}

#[test]
fn close_gives_up_at_its_deadline() {
    let backend = FakeBackend::new();
    let pool = pool(&backend, Config::default());
    let _held = pool.get().unwrap();
    let error = pool.close_timeout(Duration::ZERO).unwrap_err();
    assert_eq!(error.stats.lent, 1);
}

#[test]
fn guards_outlive_their_pool() {
    let backend = FakeBackend::new();
    let pool = pool(&backend, Config::default());
    let held = pool.get().unwrap();
    drop(pool);
    assert_eq!(held.id, 0);
    drop(held);
    until(|| backend.truth.closed() == 1);
}

#[test]
fn the_size_follows_resize_both_ways() {
    let backend = FakeBackend::new();
    let pool = pool(&backend, Config::builder().max_size(8).build().unwrap());
    drop((0..8).map(|_| pool.get().unwrap()).collect::<Vec<_>>());
    pool.resize(2);
    until(|| pool.stats().open() == 2);
    let two = [pool.get().unwrap(), pool.get().unwrap()];
    assert!(pool.try_get().is_none());
    pool.resize(3);
    let third = pool.get().unwrap();
    drop((two, third));
    assert_eq!(pool.stats().idle, 3);
}

#[test]
fn a_detached_session_makes_room() {
    let backend = FakeBackend::new();
    let pool = pool(&backend, Config::builder().max_size(1).build().unwrap());
    let mine = Guard::detach(pool.get().unwrap());
    assert_eq!(pool.get().unwrap().id, 1);
    pool.add(mine).unwrap_err();
    assert_eq!(pool.stats().counters.detached, 1);
}

#[test]
fn retain_closes_what_the_predicate_refuses_and_survives_its_panic() {
    let backend = FakeBackend::new();
    let pool = pool(&backend, Config::default());
    drop((0..4).map(|_| pool.get().unwrap()).collect::<Vec<_>>());
    pool.retain(|session| {
        // The lock is free while the predicate runs.
        assert!(pool.stats().checking == 1);
        session.id % 2 == 0
    });
    until(|| pool.stats().open() == 2);
    let retain = std::panic::AssertUnwindSafe(|| pool.retain(|_| panic!("as told")));
    assert!(std::panic::catch_unwind(retain).is_err());
    drop(pool.get().unwrap());
}

#[test]
fn panics_of_the_backend_cost_a_session_and_no_more() {
    let backend = FakeBackend::new();
    let (pool, clock) = timed(&backend, Config::builder().max_size(1).build().unwrap());
    backend.connects.next(Behaviour::Panic);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| pool.get().map(drop));
        until(|| pool.stats().counters.connect_failures == 1);
        clock.advance(SECOND);
        waiting.join().unwrap().unwrap();
    });
    backend.checks.next(Behaviour::Panic);
    clock.advance(2 * SECOND);
    drop(pool.get().unwrap());
    backend.resets.next(Behaviour::Panic);
    pool.get().unwrap().mark_dirty();
    drop(pool.get().unwrap());
    backend.probes.next(Behaviour::Panic);
    drop(pool.get().unwrap());
    backend.closes.always(Behaviour::Panic);
    pool.close().unwrap();
    assert_eq!(backend.truth.alive(), 0);
}
