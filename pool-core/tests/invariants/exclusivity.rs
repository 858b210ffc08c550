//! I7 to I9; I6 is in the types, and in the sessions of the state machine.

use pool_core::core::{Purpose, Returned, Task};
use pool_core::{CloseReason, Config};

use crate::rig::{Rig, millis};

#[test]
fn i7_what_came_back_broken_is_never_lent_again() {
    let mut rig = Rig::new(Config::builder().max_size(1));
    rig.warm(1);
    let lease = rig.get();
    rig.release(lease, Returned::Broken(CloseReason::Panicked));
    let waiter = rig.wait();
    rig.work();
    assert_eq!(rig.take(waiter).unwrap().session, 1);
    assert_eq!(rig.stats().counters.closed(CloseReason::Panicked), 1);
}

#[test]
fn i7_a_failed_check_closes_its_session_and_casts_doubt_on_its_siblings() {
    let mut rig = Rig::new(Config::builder().max_size(3).check_after_idle(millis(10)));
    rig.warm(3);
    rig.pass(millis(20));
    rig.wait();
    let Task::Check { slot, purpose: Purpose::Lend, session, .. } = rig.start().remove(0) else {
        panic!("no check")
    };
    rig.core.checked(slot, Some(session), false, rig.now);
    assert_eq!(rig.stats().counters.closed(CloseReason::CheckFailed), 1);
    let purposes = rig.start().into_iter().filter_map(|task| match task {
        Task::Check { purpose, .. } => Some(purpose),
        _ => None,
    });
    let purposes: Vec<_> = purposes.collect();
    assert_eq!(purposes, [Purpose::Lend, Purpose::Sweep]);
}

#[test]
fn i9_a_suspect_session_stays_suspect_while_it_is_looked_at() {
    let mut rig = Rig::new(Config::builder().max_size(2).check_after_idle(millis(10)));
    rig.warm(2);
    rig.pass(millis(20));
    let gone = rig.wait();
    let Task::Check { slot, session, .. } = rig.only_task() else { panic!("no check") };
    rig.core.cancel(gone, rig.now);
    rig.core.checked(slot, Some(session), false, rig.now);
    let suspect = rig.core.idle_slots()[0];
    let session = rig.core.inspect(suspect).unwrap();
    assert!(matches!(rig.only_task(), Task::Close { .. }));
    rig.core.inspected(suspect, session, true, rig.now);
    assert!(matches!(rig.only_task(), Task::Check { purpose: Purpose::Sweep, .. }));
}

#[test]
fn i7_a_session_that_cannot_be_reset_is_closed() {
    let mut rig = Rig::new(Config::builder());
    rig.warm(1);
    let lease = rig.get();
    rig.release(lease, Returned::NeedsReset);
    let Task::Reset { slot, session, .. } = rig.only_task() else { panic!("no reset") };
    rig.core.reset_done(slot, Some(session), false, rig.now);
    assert_eq!(rig.stats().counters.closed(CloseReason::ResetFailed), 1);
    assert!(matches!(rig.only_task(), Task::Close { session: 0, .. }));
}

#[test]
fn i8_a_check_or_reset_that_took_too_long_ends_in_a_close() {
    for reset in [false, true] {
        let config = Config::builder().check_after_idle(millis(10));
        let mut rig = Rig::new(config.check_timeout(millis(5)).reset_timeout(millis(5)));
        rig.warm(1);
        if reset {
            let lease = rig.get();
            rig.release(lease, Returned::NeedsReset);
        } else {
            rig.pass(millis(20));
            rig.wait();
        }
        let task = rig.start().remove(0);
        rig.pass(millis(5));
        assert_eq!(rig.stats().closing, 1);
        rig.end(task);
        assert_eq!((rig.stats().idle, rig.stats().reserved), (0, 0));
        let closes = rig.start().into_iter().filter(|t| matches!(t, Task::Close { .. })).count();
        assert_eq!(closes, 1);
    }
}

#[test]
fn i9_a_session_is_checked_once_idle_for_longer_than_it_may() {
    let mut rig = Rig::new(Config::builder().check_after_idle(millis(10)));
    rig.warm(1);
    rig.pass(millis(10));
    let lease = rig.get();
    rig.release(lease, Returned::Clean);
    rig.pass(millis(10) + std::time::Duration::from_nanos(1));
    let waiter = rig.wait();
    let check = rig.only_task();
    assert!(matches!(check, Task::Check { purpose: Purpose::Lend, .. }));
    assert!(rig.take(waiter).is_none());
    rig.end(check);
    assert!(rig.take(waiter).is_some());
}

#[test]
fn i9_a_promise_collected_too_late_costs_another_check() {
    let mut rig = Rig::new(Config::builder().max_size(1).check_after_idle(millis(10)));
    rig.warm(1);
    let lease = rig.get();
    let waiter = rig.wait();
    rig.release(lease, Returned::Clean);
    rig.pass(millis(11));
    assert!(rig.take(waiter).is_none());
    rig.work();
    assert!(rig.take(waiter).is_some());
    // A check that its borrower asked for is good for a while longer, or this would never end.
    let mut rig = Rig::new(
        Config::builder().check_after_idle(millis(0)).check_timeout(millis(5)).max_size(1),
    );
    rig.warm(1);
    rig.pass(millis(1));
    let waiter = rig.wait();
    rig.work();
    rig.pass(millis(5));
    assert!(rig.take(waiter).is_some());
}

#[test]
fn i9_nothing_is_lent_at_the_end_of_its_life() {
    let config = Config::builder().max_size(1).max_lifetime(Some(millis(50))).jitter(0.0);
    let mut rig = Rig::new(config);
    rig.warm(1);
    rig.now += millis(50);
    let waiter = rig.wait();
    rig.work();
    let lease = rig.take(waiter).unwrap();
    assert_eq!(lease.session, 1);
    // And neither when its end came between promise and collection.
    let waiter = rig.wait();
    rig.now += millis(49);
    rig.release(lease, Returned::Clean);
    assert_eq!(rig.stats().reserved, 1);
    rig.now += millis(1);
    assert!(rig.take(waiter).is_none());
    assert_eq!(rig.stats().counters.closed(CloseReason::Lifetime), 2);
}

#[test]
fn i9_who_gave_a_sign_of_life_as_its_sibling_failed_is_not_doubted() {
    let config = Config::builder().max_size(2).check_after_idle(millis(10));
    let mut rig = Rig::new(config.keepalive_interval(None));
    rig.warm(2);
    let lease = rig.get();
    rig.pass(millis(20));
    let waiter = rig.wait();
    let Task::Check { slot, session, .. } = rig.only_task() else { panic!("no check") };
    rig.release(lease, Returned::Clean);
    let lease = rig.take(waiter).unwrap();
    rig.release(lease, Returned::Clean);
    rig.core.checked(slot, Some(session), false, rig.now);
    rig.get();
}

#[test]
fn i38_what_comes_back_dirty_is_reset_before_anybody_gets_it() {
    let mut rig = Rig::new(Config::builder().max_size(1));
    rig.warm(1);
    let lease = rig.get();
    let waiter = rig.wait();
    rig.release(lease, Returned::NeedsReset);
    assert!(rig.take(waiter).is_none());
    let reset = rig.only_task();
    assert!(matches!(reset, Task::Reset { .. }), "{reset:?}");
    rig.end(reset);
    assert!(rig.take(waiter).is_some());
}

#[test]
fn i9_what_comes_back_past_its_lifetime_is_promised_to_nobody() {
    let config = Config::builder().max_size(1).max_lifetime(Some(millis(100))).jitter(0.0);
    let mut rig = Rig::new(config);
    rig.warm(1);
    let lease = rig.get();
    rig.wait();
    rig.pass(millis(100));
    rig.release(lease, Returned::Clean);
    assert_eq!((rig.stats().reserved, rig.stats().closing), (0, 1));
}
