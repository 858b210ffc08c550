//! I24 and I25 as far as the core goes; I26 belongs to the fronts.

use pool_core::core::{Acquired, Notice, Refusal, Returned, Task};
use pool_core::{CloseReason, Config};

use crate::rig::{Rig, millis};

#[test]
fn i24_close_fails_all_who_wait_in_the_same_step() {
    let mut rig = Rig::new(Config::builder().max_size(2).min_idle(1));
    rig.warm(2);
    let (lease, other) = (rig.get(), rig.get());
    let (promised, queued) = (rig.wait(), rig.wait());
    rig.release(other, Returned::Clean);
    rig.core.close(rig.now);
    assert_eq!(rig.stats().waiting, 0);
    assert!(matches!(rig.refusal(promised), Refusal::Closed));
    assert!(matches!(rig.refusal(queued), Refusal::Closed));
    assert!(matches!(rig.ask(None), Acquired::Refused(Refusal::Closed)));
    assert_eq!(rig.core.add(9, rig.now), Err(9));
    assert_eq!(rig.stats().counters.refused_closed, 3);
    rig.work();
    rig.release(lease, Returned::NeedsReset);
    rig.work();
    assert_eq!(rig.stats().counters.closed(CloseReason::PoolClosed), 2);
    assert!(rig.core.is_closed() && rig.core.is_drained());
}

#[test]
fn i24_what_arrives_after_close_is_closed() {
    let mut rig = Rig::new(Config::builder());
    rig.wait();
    let connect = rig.start_connect();
    rig.core.close(rig.now);
    rig.connected(connect);
    rig.work();
    // As it was given up, and after its session.
    assert_eq!((rig.stats().open(), rig.drained), (0, 2));
}

#[test]
fn i24_what_is_under_way_at_close_ends_in_a_close() {
    let config = Config::builder().max_size(3).check_after_idle(millis(10));
    let mut rig = Rig::new(config);
    rig.warm(3);
    let (reset, lent) = (rig.get(), rig.get());
    rig.release(reset, Returned::NeedsReset);
    rig.pass(millis(20));
    rig.wait();
    rig.wait();
    let under_way = rig.start();
    assert_eq!((rig.stats().checking, rig.stats().resetting), (1, 1));
    rig.core.close(rig.now);
    under_way.into_iter().for_each(|task| rig.end(task));
    rig.release(lent, Returned::Clean);
    assert_eq!((rig.stats().open(), rig.stats().closing), (3, 3));
    rig.work();
    assert_eq!(rig.stats().counters.closed(CloseReason::PoolClosed), 3);
}

/// A check of a dead peer took its own time before its session's close had any.
#[test]
fn i24_what_is_under_way_at_close_is_interrupted() {
    let mut rig = Rig::new(Config::builder().max_size(3).check_after_idle(millis(10)));
    rig.warm(3);
    let (reset, lent) = (rig.get(), rig.get());
    rig.release(reset, Returned::NeedsReset);
    rig.pass(millis(20));
    rig.wait();
    let under_way: Vec<_> = rig.start().iter().map(Task::slot).collect();
    assert_eq!((rig.stats().checking, rig.stats().resetting), (1, 1));
    rig.core.close(rig.now);
    let told: Vec<_> = std::iter::from_fn(|| rig.core.poll_notice()).collect();
    for slot in under_way {
        assert!(told.iter().any(|said| matches!(said, Notice::Interrupt(of) if *of == slot)));
    }
    rig.release(lent, Returned::Clean);
}

#[test]
fn i25_drained_is_said_once_when_the_last_session_is_closed() {
    let mut rig = Rig::new(Config::builder().close_timeout(millis(10)));
    rig.warm(2);
    let lease = rig.get();
    rig.core.close(rig.now);
    rig.core.close(rig.now);
    rig.work();
    assert!(!rig.core.is_drained());
    rig.release(lease, Returned::Clean);
    let _hanging = rig.only_task();
    assert_eq!((rig.stats().closing, rig.drained), (1, 0));
    rig.pass(millis(10));
    assert_eq!((rig.stats().closing, rig.drained), (0, 1));
    rig.core.close(rig.now);
    rig.stats();
    assert_eq!(rig.drained, 1);
}

#[test]
fn i25_an_empty_pool_is_drained_at_once() {
    let mut rig = Rig::new(Config::builder());
    rig.core.close(rig.now);
    rig.stats();
    assert_eq!(rig.drained, 1);
    assert_eq!(rig.core.poll_timeout(), None);
}

/// Checks and resets that hang are bounded together; beyond that, what is dirty is closed.
#[test]
fn i39_no_reset_is_started_while_too_many_hang() {
    let config = Config::builder().max_size(1).max_connecting(1).max_maintaining(1);
    let mut rig = Rig::new(config.reset_timeout(millis(10)).close_timeout(millis(10)));
    for _ in 0..6 {
        rig.warm(1);
        let lease = rig.get();
        rig.release(lease, Returned::NeedsReset);
        let hanging = rig.start();
        rig.pass(millis(10));
        rig.pass(millis(10));
        for task in hanging.into_iter().filter(|task| matches!(task, Task::Close { .. })) {
            rig.end(task);
        }
    }
    assert_eq!(rig.stats().hung_checks, 3);
    assert_eq!(rig.stats().counters.closed(CloseReason::ResetFailed), 3);
}

/// Whoever waits for the end may look between the two: a connect that was given up when the pool
/// closed has come back with a session, which closes after all else.
#[test]
fn i40_the_end_is_told_again_after_a_session_that_came_late() {
    let mut rig = Rig::new(Config::builder());
    rig.wait();
    let slot = rig.start_connect();
    rig.core.close(rig.now);
    rig.stats();
    assert_eq!((rig.core.is_drained(), rig.drained), (true, 1), "it was given up");
    rig.core.connected(slot, 7, rig.now);
    assert!(!rig.core.is_drained(), "its session is still to be closed");
    let close = rig.only_task();
    rig.end(close);
    rig.stats();
    assert_eq!((rig.core.is_drained(), rig.drained), (true, 2));
}

/// What waits for its check then is replaced: nobody will ever know whether it is alive.
#[test]
fn i39_no_check_is_started_while_too_many_hang() {
    let config = Config::builder().max_size(6).max_connecting(1).max_maintaining(1);
    let config = config.check_after_idle(millis(10)).keepalive_interval(None);
    let mut rig = Rig::new(config.check_timeout(millis(10)).close_timeout(millis(10)));
    rig.warm(6);
    rig.pass(millis(20));
    let waiters: Vec<_> = (0..6).map(|_| rig.wait()).collect();
    let mut checks = 0;
    for _ in 0..10 {
        for task in rig.start() {
            match task {
                Task::Check { .. } => checks += 1,
                other => rig.end(other),
            }
        }
        rig.pass(millis(1));
        rig.pass(millis(9));
    }
    // The fourth was under way when the third was given up.
    assert_eq!((checks, rig.stats().hung_checks), (4, 4));
    assert_eq!(rig.stats().counters.closed(CloseReason::CheckFailed), 6);
    // They failed too young: connects have their delay.
    rig.pass(millis(60_000));
    rig.work();
    let leases: Vec<_> = waiters.into_iter().filter_map(|waiter| rig.take(waiter)).collect();
    assert_eq!(leases.len(), 6, "all are served by new sessions");
    // A stale one is not asked any more either.
    leases.into_iter().for_each(|lease| rig.release(lease, Returned::Clean));
    rig.pass(millis(20));
    rig.wait();
    let asked = rig.start().into_iter().any(|task| matches!(task, Task::Check { .. }));
    assert!(!asked);
}

/// Those that waited for their turn when too many hung.
#[test]
fn i39_resets_that_wait_while_too_many_hang_are_closes() {
    let config = Config::builder().max_size(6).max_connecting(1).max_maintaining(1);
    let mut rig = Rig::new(config.reset_timeout(millis(10)).close_timeout(millis(10)));
    rig.warm(6);
    let leases: Vec<_> = (0..6).map(|_| rig.get()).collect();
    leases.into_iter().for_each(|lease| rig.release(lease, Returned::NeedsReset));
    let mut resets = 0;
    for _ in 0..10 {
        for task in rig.start() {
            match task {
                Task::Reset { .. } => resets += 1,
                other => rig.end(other),
            }
        }
        rig.pass(millis(10));
    }
    assert_eq!((resets, rig.stats().hung_checks), (4, 4));
    let c = rig.stats().counters;
    let closed = (c.closed(CloseReason::Interrupted), c.closed(CloseReason::ResetFailed));
    assert_eq!((closed, rig.stats().open()), ((4, 2), 0));
}
