//! I1 to I5.

use pool_core::core::{Returned, Task};
use pool_core::{CloseReason, Config, ErrorKind};

use crate::rig::{Rig, millis};

/// Row M1 of the lessons: a pool shrunk before it was filled.
#[test]
fn i1_a_shrink_holds_for_sessions_not_yet_opened() {
    let mut rig = Rig::new(Config::builder().max_size(16).max_connecting(16));
    rig.core.resize(4, rig.now);
    for _ in 0..16 {
        rig.wait();
    }
    rig.work();
    let stats = rig.stats();
    assert_eq!((stats.open(), stats.reserved, stats.waiting), (4, 4, 16));
}

/// Row M2: shrunk and grown again while all are lent.
#[test]
fn i1_a_shrink_and_a_growth_cancel_out() {
    let mut rig = Rig::new(Config::builder().max_size(10));
    rig.warm(10);
    let leases: Vec<_> = (0..10).map(|_| rig.get()).collect();
    rig.core.resize(5, rig.now);
    rig.core.resize(10, rig.now);
    rig.wait();
    assert!(rig.start().is_empty());
    assert_eq!(rig.stats().open(), 10);
    leases.into_iter().for_each(|lease| rig.release(lease, Returned::Clean));
    assert_eq!(rig.stats().open(), 10);
}

#[test]
fn i1_what_is_too_many_goes_idle_ones_first_and_lent_ones_on_return() {
    let mut rig = Rig::new(Config::builder().max_size(4));
    rig.warm(4);
    let leases = [rig.get(), rig.get()];
    rig.core.resize(1, rig.now);
    assert_eq!(rig.stats().closing, 2);
    leases.into_iter().for_each(|lease| rig.release(lease, Returned::Clean));
    rig.work();
    assert_eq!((rig.stats().open(), rig.stats().idle), (1, 1));
    assert_eq!(rig.stats().counters.closed(CloseReason::Resized), 3);
}

#[test]
fn i2_the_counts_are_those_of_the_slots() {
    let mut rig = Rig::new(Config::builder().max_size(5));
    rig.warm(2);
    let _lease = rig.get();
    let slots = rig.core.idle_slots();
    let looked_at = rig.core.inspect(slots[0]).unwrap();
    rig.wait();
    let connects = rig.start();
    let stats = rig.stats();
    assert_eq!((stats.lent, stats.checking, stats.connecting), (1, 1, connects.len()));
    rig.core.inspected(slots[0], looked_at, true, rig.now);
    assert_eq!(rig.stats().reserved, 1);
    let phases = rig.core.phases().count();
    assert_eq!(phases, rig.stats().open());
}

#[test]
fn i3_sessions_being_closed_count_until_they_are() {
    let mut rig = Rig::new(Config::builder().max_size(1));
    rig.warm(1);
    let lease = rig.get();
    rig.wait();
    rig.release(lease, Returned::Broken(CloseReason::Marked));
    let close = rig.only_task();
    assert!(matches!(close, Task::Close { reason: CloseReason::Marked, .. }));
    rig.end(close);
    rig.start_connect();
}

#[test]
fn i3_a_close_that_takes_too_long_frees_its_slot_and_is_counted_as_hung() {
    let mut rig = Rig::new(Config::builder().max_size(1).close_timeout(millis(10)));
    rig.warm(1);
    rig.core.evict_all(rig.now);
    let close = rig.only_task();
    rig.pass(millis(10));
    assert_eq!((rig.stats().open(), rig.stats().hung_closes), (0, 1));
    rig.end(close);
    assert_eq!(rig.stats().hung(), 0);
}

#[test]
fn i4_a_late_connect_is_closed_and_changes_nothing_else() {
    let mut rig = Rig::new(Config::builder().connect_timeout(millis(10)));
    rig.wait();
    let late = rig.start_connect();
    rig.pass(millis(10));
    let before = rig.stats();
    assert_eq!((before.open(), before.hung_connects), (0, 1));
    rig.connected(late);
    let after = rig.stats();
    assert_eq!((after.open(), after.waiting), (before.open(), before.waiting));
    assert_eq!((after.orphans, after.hung()), (1, 0));
    let close = rig.only_task();
    assert!(matches!(close, Task::Close { session: 0, .. }));
    rig.end(close);
    assert_eq!((rig.stats().orphans, rig.stats().hung()), (0, 0));
    // The slot lives again, and the old answer does not reach it.
    rig.pass(millis(1_000));
    let again = rig.start_connect();
    assert_ne!(again, late);
    rig.fail(late, ErrorKind::Permanent);
    assert_eq!((rig.stats().connecting, rig.stats().waiting), (1, 1));
}

#[test]
fn i5_every_session_and_every_borrow_is_accounted_for() {
    let mut rig = Rig::new(Config::builder().max_size(3).acquire_timeout(None));
    rig.warm(3);
    let leases = [rig.get(), rig.get(), rig.get()];
    let [kept, broken, clean] = leases;
    let cancelled = rig.wait();
    rig.core.cancel(cancelled, rig.now);
    rig.ask(Some(millis(5)));
    rig.pass(millis(5));
    rig.core.detach(kept.id, rig.now);
    rig.release(broken, Returned::Broken(CloseReason::Broken));
    rig.release(clean, Returned::Clean);
    rig.work();
    rig.core.close(rig.now);
    rig.work();
    let c = rig.stats().counters;
    assert_eq!((c.acquires, c.served, c.cancelled, c.timed_out), (5, 3, 1, 1));
    assert_eq!((c.created, c.detached, c.closed_total()), (3, 1, 2));
    assert_eq!(c.closed_by_reason().map(|(_, count)| count).sum::<u64>(), 2);
    assert_eq!(rig.closed.len(), 2);
}

/// A connect has failed, which speaks against opening another, not against what is there.
#[test]
fn health_is_good_as_long_as_a_session_is_there_in_whatever_state() {
    let config = Config::builder().max_size(2).check_after_idle(millis(10));
    let mut rig = Rig::new(config.keepalive_interval(None));
    rig.warm(1);
    let lease = rig.get();
    let waiter = rig.wait();
    let slot = rig.start_connect();
    rig.fail(slot, ErrorKind::Transient);
    let is_ready = |rig: &Rig| rig.core.health(rig.now).is_ready();
    assert!(is_ready(&rig), "lent");
    rig.release(lease, Returned::Clean);
    assert!(rig.stats().reserved == 1 && is_ready(&rig), "promised");
    let lease = rig.take(waiter).unwrap();
    rig.release(lease, Returned::Clean);
    assert!(rig.stats().idle == 1 && is_ready(&rig), "idle");
    rig.pass(millis(20));
    rig.wait();
    let check = rig.start().into_iter().find(|task| matches!(task, Task::Check { .. }));
    assert!(rig.stats().checking == 1 && is_ready(&rig), "being checked");
    let Some(Task::Check { slot, session, .. }) = check else { panic!("no check") };
    rig.core.checked(slot, Some(session), false, rig.now);
    assert!(!is_ready(&rig), "none is left, and none can be opened");
}
