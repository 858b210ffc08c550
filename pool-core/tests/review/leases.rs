//! Several leases of one session: rows 1 to 9.

use std::sync::Arc;
use std::time::Duration;

use pool_core::{Clock, Config, Guard};
use pool_model::{Executor, ManualClock};

use crate::rig::{
    Does, HOUR, Lines, SECOND, limit, poll_once, refuse, tasks, threads, until, while_time_passes,
};

fn patient() -> pool_core::ConfigBuilder {
    // Time passes while threads work, so on a busy machine only checks may be late; a session that
    // is collected late is checked again, and so replaced by yet another.
    let config = Config::builder().acquire_timeout(Some(HOUR)).connect_timeout(HOUR);
    config.max_lifetime(None).idle_timeout(None)
}

#[test]
fn row_1_a_session_whose_check_hangs_is_replaced_by_another_on_tasks() {
    let (executor, lines) = (Executor::new(), Lines::default());
    for leases in [1, 4] {
        let pool = tasks(&executor, &lines, leases, patient());
        let dead = executor.block_on(pool.get()).unwrap().number;
        executor.advance(2 * SECOND);
        lines.facts.checks.now(Does::Hang);
        let lease = executor.block_on(pool.get()).unwrap();
        assert_ne!(lease.number, dead, "with {leases} leases");
        lines.facts.checks.now(Does::Succeed);
    }
}

#[test]
fn row_1_a_session_whose_check_hangs_is_replaced_by_another_on_threads() {
    for leases in [1, 4] {
        let (clock, lines) = (Arc::new(ManualClock::new()), Lines::default());
        let pool = threads(&clock, &lines, leases, patient());
        drop(pool.get().unwrap());
        clock.advance(2 * SECOND);
        lines.facts.checks.now(Does::Hang);
        let served = while_time_passes(&clock, move || pool.get().unwrap().number);
        assert!(served.is_some_and(|(number, _)| number > 0), "with {leases} leases: {served:?}");
        lines.facts.checks.now(Does::Succeed);
    }
}

#[test]
fn row_1_a_session_whose_check_hangs_while_a_lease_is_out_is_replaced_by_another() {
    let (clock, lines) = (Arc::new(ManualClock::new()), Lines::default());
    let pool = threads(&clock, &lines, 4, patient().max_size(2));
    let kept = pool.get().unwrap();
    clock.advance(2 * SECOND);
    lines.facts.checks.now(Does::Hang);
    let served = while_time_passes(&clock, move || pool.get().unwrap().number);
    assert!(served.is_some_and(|(number, _)| number > 0), "{served:?}");
    lines.facts.checks.now(Does::Succeed);
    drop(kept);
}

#[test]
fn row_1_a_session_whose_check_panics_is_replaced_by_another() {
    let (executor, lines) = (Executor::new(), Lines::default());
    let pool = tasks(&executor, &lines, 4, patient());
    drop(executor.block_on(pool.get()).unwrap());
    executor.advance(2 * SECOND);
    lines.facts.checks.now(Does::Panic);
    assert_eq!(executor.block_on(pool.get()).unwrap().number, 1);

    let (clock, lines) = (Arc::new(ManualClock::new()), Lines::default());
    let pool = threads(&clock, &lines, 4, patient());
    drop(pool.get().unwrap());
    clock.advance(2 * SECOND);
    lines.facts.checks.now(Does::Panic);
    let served = while_time_passes(&clock, move || pool.get().unwrap().number);
    assert!(served.is_some_and(|(number, _)| number > 0), "{served:?}");
}

#[test]
fn row_2_a_lease_that_outlives_its_session_s_lifetime_costs_nobody_a_place() {
    let (executor, lines) = (Executor::new(), Lines::default());
    let config = patient().max_size(1).max_lifetime(Some(60 * SECOND)).jitter(0.0);
    let pool = tasks(&executor, &lines, 4, config);
    let _tail = executor.block_on(pool.get()).unwrap();
    executor.advance(61 * SECOND);
    for _ in 0..3 {
        let lease = executor.block_on(pool.get_timeout(5 * SECOND)).unwrap();
        assert_eq!(lease.number, 0);
        executor.advance(60 * SECOND);
    }
    executor.advance(HOUR);
    let counters = pool.stats().counters;
    assert_eq!((counters.connect_failures, lines.facts.opened()), (0, 1));
}

#[test]
fn row_2_where_another_session_may_be_open_the_old_one_has_a_successor() {
    let (executor, lines) = (Executor::new(), Lines::default());
    let config = patient().max_size(2).max_lifetime(Some(60 * SECOND)).jitter(0.0);
    let pool = tasks(&executor, &lines, 4, config);
    let tail = executor.block_on(pool.get()).unwrap();
    executor.advance(61 * SECOND);
    drop(executor.block_on(pool.get()).unwrap());
    executor.run();
    assert_eq!(executor.block_on(pool.get()).unwrap().number, 1);
    assert_eq!(lines.facts.closed(), 0, "the lease that lasts still has its session");
    drop(tail);
    executor.run();
    assert_eq!(lines.facts.closed(), 1);
}

#[test]
fn row_3_one_refusal_with_three_other_leases_out_teaches_three() {
    let (executor, lines) = (Executor::new(), Lines::default());
    let pool = tasks(&executor, &lines, 4, patient().max_size(2));
    let leases: Vec<_> = (0..4).map(|_| executor.block_on(pool.get()).unwrap()).collect();
    for lease in leases {
        executor.block_on(pool.release(lease));
    }
    let mut leases: Vec<_> = (0..4).map(|_| executor.block_on(pool.get()).unwrap()).collect();
    assert_eq!(lines.facts.opened(), 1);
    let mut refused = leases.pop().unwrap();
    refuse(&mut refused);
    executor.block_on(pool.release(refused));
    assert_eq!(limit(&pool), 3);
}

#[test]
fn row_3_a_release_that_is_awaited_asks_and_cleans_once() {
    let (executor, lines) = (Executor::new(), Lines::default());
    let pool = tasks(&executor, &lines, 4, patient());
    let lease = executor.block_on(pool.get()).unwrap();
    let before = lines.facts.probes();
    executor.block_on(pool.release(lease));
    assert_eq!(lines.facts.probes() - before, 1);
}

#[test]
fn row_4_what_is_evicted_while_a_lease_is_out_is_lent_to_nobody() {
    let (executor, lines) = (Executor::new(), Lines::default());
    let pool = tasks(&executor, &lines, 4, patient().max_size(2));
    let old = executor.block_on(pool.get()).unwrap();
    pool.evict_all();
    let new = executor.block_on(pool.get()).unwrap();
    assert_eq!((old.number, new.number), (0, 1));
    drop(old);
    executor.run();
    assert_eq!(lines.facts.closed(), 1);
}

#[test]
fn row_4_a_session_that_one_borrower_marks_broken_is_lent_to_nobody() {
    let (executor, lines) = (Executor::new(), Lines::default());
    let pool = tasks(&executor, &lines, 4, patient().max_size(2));
    let mut first = executor.block_on(pool.get()).unwrap();
    let second = executor.block_on(pool.get()).unwrap();
    assert_eq!(first.number, second.number);
    Guard::mark_broken(&mut first);
    assert_eq!(executor.block_on(pool.get()).unwrap().number, 1, "while the first is out");
    drop(first);
    assert_eq!(executor.block_on(pool.get()).unwrap().number, 1, "while the second is out");
    drop(second);
    executor.run();
    assert_eq!(lines.facts.closed(), 1);
}

#[test]
fn row_5_a_limit_that_a_refusal_taught_is_unlearned_with_time() {
    let (executor, lines) = (Executor::new(), Lines::default());
    let config = patient().max_size(1).check_after_idle(Duration::MAX);
    let pool = tasks(&executor, &lines, 10, config);
    let kept = [(); 2].map(|()| executor.block_on(pool.get()).unwrap());
    let mut refused = executor.block_on(pool.get()).unwrap();
    refuse(&mut refused);
    drop(refused);
    assert_eq!(limit(&pool), 2);
    drop(kept);
    executor.advance(10 * 60 * SECOND);
    let leases = [(); 10].map(|()| poll_once(pool.get()).map(Result::unwrap));
    assert_eq!((leases.iter().flatten().count(), lines.facts.opened()), (10, 1));
    assert_eq!(limit(&pool), 10);
}

#[test]
fn row_6_a_pool_of_two_sessions_resized_to_one_leaves_one_open() {
    let (executor, lines) = (Executor::new(), Lines::default());
    let pool = tasks(&executor, &lines, 2, patient().max_size(2));
    let [a, b, c, d] = [(); 4].map(|()| executor.block_on(pool.get()).unwrap());
    let (of_first, of_second): (Vec<_>, Vec<_>) =
        [a, b, c, d].into_iter().partition(|lease| lease.number == 0);
    // In turn, so that what was used last is not all of one session.
    for pair in of_first.into_iter().zip(of_second) {
        drop(pair);
    }
    assert_eq!(lines.facts.alive(), 2);
    pool.resize(1);
    executor.run();
    assert_eq!(lines.facts.alive(), 1);
}

#[test]
fn row_7_a_place_that_comes_free_is_had_at_once_and_nothing_failed() {
    let (executor, lines) = (Executor::new(), Lines::default());
    let pool = tasks(&executor, &lines, 2, patient().max_size(1));
    let first = executor.block_on(pool.get()).unwrap();
    drop(executor.block_on(pool.get()).unwrap());
    executor.advance(2 * SECOND);
    lines.facts.checks.now(Does::Fail);
    // The session fails its check, so it takes no further lease, and no other may be opened beside
    // it.
    let mut waiting = Box::pin(pool.get());
    assert!(poll_once(waiting.as_mut()).is_none());
    executor.advance(30 * SECOND);
    assert!(poll_once(waiting.as_mut()).is_none());
    let start = executor.now();
    drop(first);
    assert_eq!(executor.block_on(waiting).unwrap().number, 1);
    assert_eq!(executor.now(), start);
    assert_eq!(pool.stats().counters.connect_failures, 0);
}

#[test]
fn row_8_a_session_that_min_idle_opened_expires_as_any_other() {
    let lines = Lines::default();
    let clock = Arc::new(ManualClock::new());
    let config = patient().min_idle(1).max_lifetime(Some(60 * SECOND)).jitter(0.0);
    let pool = threads(&clock, &lines, 2, config);
    until(|| pool.stats().idle == 1);
    clock.advance(61 * SECOND);
    until(|| lines.facts.closed() == 1 && pool.stats().idle == 1);
    assert_eq!(lines.facts.opened(), 2);
}

#[test]
fn row_9_a_session_is_pinged_once_an_interval_however_many_leases_it_carries() {
    let (executor, lines) = (Executor::new(), Lines::default());
    let config = patient().keepalive_interval(Some(30 * SECOND)).jitter(0.0);
    let pool = tasks(&executor, &lines, 10, config);
    let leases = [(); 10].map(|()| executor.block_on(pool.get()).unwrap());
    drop(leases);
    executor.advance(Duration::from_secs(31));
    assert_eq!((lines.facts.keepalives.calls(), lines.facts.opened()), (1, 1));
}

#[test]
fn row_9_a_burst_that_one_session_carries_opens_one() {
    let (executor, lines) = (Executor::new(), Lines::default());
    let pool = tasks(&executor, &lines, 10, patient());
    // More than one connect may run at once, now that one has succeeded.
    Guard::mark_broken(&mut executor.block_on(pool.get()).unwrap());
    executor.run();
    let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(pool.get())).collect();
    assert!(waiting.iter_mut().all(|acquire| poll_once(acquire.as_mut()).is_none()));
    executor.run();
    let leases: Vec<_> = waiting.iter_mut().filter_map(|w| poll_once(w.as_mut())).collect();
    assert_eq!((leases.len(), lines.facts.opened()), (4, 2));
}

#[test]
fn row_9_resize_counts_sessions_as_max_size_does() {
    let (executor, lines) = (Executor::new(), Lines::default());
    let pool = tasks(&executor, &lines, 4, patient().max_size(2));
    pool.resize(3);
    let leases: Vec<_> = (0..12).map(|_| executor.block_on(pool.get()).unwrap()).collect();
    assert_eq!((leases.len(), lines.facts.opened()), (12, 3));
}

#[test]
fn row_9_a_session_that_refuses_the_only_lease_is_closed() {
    let (executor, lines) = (Executor::new(), Lines::default());
    let pool = tasks(&executor, &lines, 4, patient());
    let mut lease = executor.block_on(pool.get()).unwrap();
    refuse(&mut lease);
    drop(lease);
    executor.run();
    assert_eq!((lines.facts.closed(), lines.facts.alive()), (1, 0));
}
