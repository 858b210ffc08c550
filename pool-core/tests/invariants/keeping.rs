//! I20 to I23.

use pool_core::core::{Acquired, Purpose, Returned, Task};
use pool_core::{CloseReason, Config, Order};

use crate::rig::{Rig, millis};

/// Row M7 of the lessons: an unused pool with `min_idle`.
#[test]
fn i20_idle_timeout_stops_at_min_idle() {
    let config = Config::builder().min_idle(2).idle_timeout(Some(millis(100)));
    let mut rig = Rig::new(config.max_lifetime(None));
    rig.warm(5);
    for _ in 0..100 {
        rig.pass(millis(50));
        rig.work();
        assert!(rig.stats().idle >= 2);
    }
    let c = rig.stats().counters;
    assert_eq!((c.created, c.closed(CloseReason::IdleTimeout), c.connects), (5, 3, 0));
}

#[test]
fn i20_the_successor_is_opened_before_its_session_retires() {
    let config = Config::builder().min_idle(1).max_lifetime(Some(millis(1_000))).jitter(0.0);
    let mut rig = Rig::new(config.connect_timeout(millis(50)));
    rig.work();
    for _ in 0..400 {
        rig.pass(millis(10));
        rig.work();
        assert!(rig.stats().idle >= 1);
    }
    let c = rig.stats().counters;
    assert_eq!(c.created - c.closed(CloseReason::Lifetime), rig.stats().idle as u64);
    assert!(c.created >= 4 && c.created <= 6, "{}", c.created);
}

#[test]
fn i20_an_old_session_can_be_lent_while_its_successor_is_opened() {
    let config = Config::builder().min_idle(1).max_lifetime(Some(millis(1_000))).jitter(0.0);
    let mut rig = Rig::new(config.connect_timeout(millis(50)).idle_timeout(None));
    rig.work();
    rig.pass(millis(949));
    assert!(rig.start().is_empty());
    rig.pass(millis(1));
    rig.start_connect();
    assert_eq!((rig.stats().idle, rig.stats().connecting), (1, 1));
}

#[test]
fn i20_min_idle_is_filled_from_the_start() {
    let mut rig = Rig::new(Config::builder().min_idle(3).max_size(4));
    rig.work();
    assert_eq!((rig.stats().idle, rig.stats().open()), (3, 3));
    let _leases = [rig.get(), rig.get()];
    rig.work();
    assert_eq!((rig.stats().idle, rig.stats().open()), (2, 4));
}

#[test]
fn i21_sessions_born_together_do_not_retire_together() {
    let lifetime = millis(10_000);
    let config = Config::builder().max_size(100).max_lifetime(Some(lifetime)).jitter(0.2);
    let mut rig = Rig::new(config.idle_timeout(None));
    rig.warm(100);
    // A driver that slept: all have expired, none has reached its hard end.
    rig.pass(lifetime - millis(1) - millis(1_500));
    let mut most = rig.stats().closing;
    for _ in 0..14 {
        let before = rig.closed.len();
        rig.pass(millis(100));
        rig.stats();
        most = most.max(rig.closed.len() - before);
    }
    assert!(most > 0 && most <= 10, "{most}");
    rig.pass(millis(2_000));
    assert_eq!((rig.stats().idle, rig.closed.len()), (0, 100));
    for (reason, age) in &rig.closed {
        assert_eq!(*reason, CloseReason::Lifetime);
        assert!(*age >= lifetime - lifetime / 5 - millis(1), "{age:?}");
    }
}

#[test]
fn i21_each_session_draws_its_own_share() {
    for opened in [false, true] {
        let lifetime = millis(10_000);
        let config = Config::builder().max_size(100).max_connecting(100).idle_timeout(None);
        let mut rig = Rig::new(config.max_lifetime(Some(lifetime)).jitter(0.5));
        if opened {
            let waiters: Vec<_> = (0..100).map(|_| rig.wait()).collect();
            rig.work();
            waiters.into_iter().for_each(|waiter| rig.core.cancel(waiter, rig.now));
        } else {
            rig.warm(100);
        }
        while rig.stats().idle > 0 {
            rig.now = rig.core.poll_timeout().unwrap();
            rig.pass(millis(0));
            rig.work();
        }
        let mut ages: Vec<_> = rig.closed.iter().map(|(_, age)| *age).collect();
        ages.sort();
        assert!(ages[0] >= lifetime / 2 && ages[99] <= lifetime + millis(1));
        assert!(ages[20] < lifetime * 7 / 10 && ages[80] > lifetime * 8 / 10, "{ages:?}");
        assert!(ages[50] < lifetime * 17 / 20, "{ages:?}");
    }
}

#[test]
fn i22_an_idle_session_is_pinged_once_per_interval() {
    let config = Config::builder().keepalive_interval(Some(millis(100))).jitter(0.0);
    let mut rig = Rig::new(config.idle_timeout(None).max_lifetime(None).max_size(1));
    rig.warm(1);
    for _ in 0..5 {
        rig.pass(millis(99));
        assert!(rig.pings().is_empty());
        assert_eq!(rig.core.poll_timeout(), Some(rig.now + millis(1)));
        rig.pass(millis(1));
        let (slot, session) = rig.pings().remove(0);
        rig.core.checked(slot, Some(session), true, rig.now);
    }
    // Never while lent, and never when used within the interval.
    rig.pass(millis(99));
    let lease = rig.get();
    rig.pass(millis(500));
    assert!(rig.pings().is_empty());
    rig.release(lease, Returned::Clean);
    rig.pass(millis(99));
    assert!(rig.pings().is_empty());
    rig.pass(millis(1));
    let (slot, session) = rig.pings().remove(0);
    rig.core.checked(slot, Some(session), false, rig.now);
    assert_eq!(rig.stats().counters.closed(CloseReason::KeepaliveFailed), 1);
}

#[test]
fn i22_so_many_are_pinged_at_once() {
    let config = Config::builder().keepalive_interval(Some(millis(100))).max_maintaining(3);
    let mut rig = Rig::new(config);
    rig.warm(10);
    rig.pass(millis(100));
    let pings = rig.pings();
    assert_eq!((pings.len(), rig.stats().checking), (3, 3));
    for (slot, session) in pings {
        rig.core.checked(slot, Some(session), true, rig.now);
    }
    assert_eq!(rig.pings().len(), 3);
}

#[test]
fn i22_a_keepalive_is_no_use() {
    let config = Config::builder().keepalive_interval(Some(millis(100))).jitter(0.0);
    let mut rig = Rig::new(config.idle_timeout(Some(millis(250))).max_lifetime(None));
    rig.warm(1);
    rig.pass(millis(100));
    rig.work();
    rig.warm(1);
    rig.pass(millis(60));
    // The pinged one keeps its place behind the one used later, and its idle time.
    assert_eq!(rig.get().session, 1);
    rig.pass(millis(90));
    rig.work();
    assert_eq!(rig.stats().counters.closed(CloseReason::IdleTimeout), 1);
}

/// The session that is looked at now, and nothing else is to be done.
fn look(rig: &mut Rig) -> (pool_core::core::SlotId, u32) {
    match rig.only_task() {
        Task::Check { slot, purpose: Purpose::Watch, session, .. } => (slot, session),
        other => panic!("{other:?}"),
    }
}

#[test]
fn i22_a_session_that_asks_by_itself_is_looked_at_once_per_interval_and_never_asked() {
    let config = Config::builder().watch_interval(Some(millis(100))).jitter(0.0);
    let mut rig = Rig::new(config.idle_timeout(None).max_lifetime(None).max_size(1));
    rig.warm(1);
    for _ in 0..5 {
        rig.pass(millis(99));
        assert!(rig.start().is_empty());
        assert_eq!(rig.core.poll_timeout(), Some(rig.now + millis(1)));
        rig.pass(millis(1));
        let (slot, session) = look(&mut rig);
        rig.core.checked(slot, Some(session), true, rig.now);
    }
    let counters = rig.stats().counters;
    assert_eq!((counters.checks, counters.keepalives, counters.check_failures), (0, 0, 0));
    // Never while lent, and never when used within the interval.
    rig.pass(millis(99));
    let lease = rig.get();
    rig.pass(millis(500));
    assert!(rig.start().is_empty());
    rig.release(lease, Returned::Clean);
    rig.pass(millis(99));
    assert!(rig.start().is_empty());
    rig.pass(millis(1));
    assert_eq!(look(&mut rig).1, 0);
}

#[test]
fn i22_a_look_is_no_sign_of_life() {
    let config = Config::builder().watch_interval(Some(millis(100))).check_after_idle(millis(150));
    let mut rig = Rig::new(config.jitter(0.0).max_size(1));
    rig.warm(1);
    rig.pass(millis(100));
    let (slot, session) = look(&mut rig);
    // Whoever comes meanwhile waits for that, and for no connect.
    let waiter = rig.wait();
    assert!(rig.start().is_empty());
    rig.core.checked(slot, Some(session), true, rig.now);
    let lease = rig.take(waiter).expect("it was verified 100 ms ago");
    rig.release(lease, Returned::Clean);
    rig.pass(millis(100));
    let (slot, session) = look(&mut rig);
    rig.core.checked(slot, Some(session), true, rig.now);
    rig.pass(millis(60));
    let waiter = rig.wait();
    let check = rig.only_task();
    assert!(matches!(check, Task::Check { purpose: Purpose::Lend, .. }), "{check:?}");
    rig.end(check);
    assert!(rig.take(waiter).is_some());
}

#[test]
fn i22_a_session_that_found_its_peer_dead_is_replaced_before_anybody_wants_it() {
    let config = Config::builder().watch_interval(Some(millis(100))).min_idle(2).jitter(0.0);
    let mut rig = Rig::new(config);
    rig.work();
    rig.pass(millis(100));
    rig.work();
    rig.pass(millis(100));
    let mut looks = rig.start();
    assert_eq!(looks.len(), 2);
    let (Some(well), Some(Task::Check { slot, session, .. })) = (looks.pop(), looks.pop()) else {
        panic!("two looks");
    };
    rig.core.checked(slot, Some(session), false, rig.now);
    rig.end(well);
    assert_eq!(rig.stats().counters.closed(CloseReason::Broken), 1);
    rig.work();
    assert_eq!((rig.stats().idle, rig.born), (2, 3));
}

#[test]
fn i23_lifo_lends_the_session_used_last_and_fifo_the_one_used_first() {
    for (order, expected) in [(Order::Lifo, [1, 2, 0]), (Order::Fifo, [0, 2, 1])] {
        let mut rig = Rig::new(Config::builder().order(order).max_size(3));
        rig.warm(3);
        let mut leases = [rig.get(), rig.get(), rig.get()];
        leases.sort_by_key(|lease| lease.session);
        let [zero, one, two] = leases;
        for lease in [zero, two, one] {
            rig.now += millis(1);
            rig.release(lease, Returned::Clean);
        }
        let lent = [rig.get(), rig.get(), rig.get()].map(|lease| lease.session);
        assert_eq!(lent, expected, "{order:?}");
    }
}

#[test]
fn i23_who_never_waits_gets_the_first_in_order_that_needs_no_check() {
    let config = Config::builder().max_size(3).order(Order::Fifo).check_after_idle(millis(10));
    let mut rig = Rig::new(config.keepalive_interval(None));
    for ages_apart in [6, 3, 3] {
        rig.warm(1);
        rig.pass(millis(ages_apart));
    }
    // Unused for 12, 6 and 3 ms.
    let Acquired::Ready(lease) = rig.ask(Some(millis(0))) else { panic!("none is ready") };
    assert_eq!(lease.session, 1);
}

/// Where no session has to be kept, none is replaced before its end.
#[test]
fn i30_a_session_without_a_successor_has_one_deadline() {
    let config = Config::builder().min_idle(0).max_lifetime(Some(millis(1_000))).jitter(0.0);
    let config = config.connect_timeout(millis(50)).idle_timeout(None);
    let mut rig = Rig::new(config.keepalive_interval(None));
    rig.warm(1);
    assert_eq!(rig.core.poll_timeout(), Some(rig.now + millis(1_000)));
}

/// The timer that it had went off while it was lent.
#[test]
fn i30_the_end_of_a_session_promised_on_its_return_is_announced() {
    let config = Config::builder().max_size(1).max_lifetime(Some(millis(1_000))).jitter(0.0);
    let mut rig = Rig::new(config.keepalive_interval(Some(millis(150))).idle_timeout(None));
    rig.warm(1);
    let end = rig.now + millis(1_000);
    let lease = rig.get();
    rig.pass(millis(200));
    rig.wait();
    rig.release(lease, Returned::Clean);
    assert_eq!(rig.core.poll_timeout(), Some(end));
}

#[test]
fn i34_a_session_past_its_lifetime_is_lent_until_its_successor_is_open() {
    let config = Config::builder().max_size(2).leases_per_session(4).idle_timeout(None);
    let config = config.max_lifetime(Some(millis(1_000))).jitter(0.0);
    let mut rig = Rig::shared(config.check_after_idle(millis(5_000)).keepalive_interval(None));
    rig.warm(1);
    let old = rig.get().slot;
    rig.pass(millis(1_000));
    assert!(rig.start().is_empty(), "nobody wants it any more");
    assert_eq!(rig.get().slot, old);
    let new = rig.start_connect();
    assert_eq!((rig.get().slot, rig.core.retiring(old)), (old, None));
    rig.connected(new);
    assert_eq!(rig.core.retiring(old), Some(CloseReason::Lifetime));
    assert_eq!(rig.get().slot, new);
    assert!(rig.start().is_empty(), "it has its successor");
}

#[test]
fn i37_what_was_to_go_stays_where_another_went() {
    let mut rig = Rig::new(Config::builder().max_size(3));
    rig.warm(3);
    let leases = [rig.get(), rig.get(), rig.get()];
    rig.core.resize(1, rig.now);
    let goes = |rig: &Rig, slot| rig.core.retiring(slot) == Some(CloseReason::Resized);
    let (mut going, mut staying): (Vec<_>, Vec<_>) =
        leases.into_iter().partition(|lease| goes(&rig, lease.slot));
    assert_eq!((going.len(), staying.len()), (2, 1));
    // One that went as it should leaves no room for the other.
    let last = going.remove(0);
    rig.release(going.remove(0), Returned::Clean);
    rig.work();
    assert!(goes(&rig, last.slot));
    // The one that stayed is gone for good.
    rig.core.detach(staying.remove(0).id, rig.now);
    assert!(!goes(&rig, last.slot));
    rig.release(last, Returned::Clean);
    assert_eq!((rig.stats().idle, rig.stats().open()), (1, 1));
}

/// Two borrowers returned a shared session that is promised to one who has not come for it; then
/// another one has it checked, and leaves.
#[test]
fn i30_the_end_of_a_promised_session_is_announced_after_its_check() {
    let config = Config::builder().max_size(1).leases_per_session(2).check_after_idle(millis(10));
    let config = config.max_lifetime(Some(millis(1_000))).jitter(0.0).idle_timeout(None);
    let mut rig = Rig::shared(config.keepalive_interval(None));
    rig.warm(1);
    let end = rig.now + millis(1_000);
    let leases = [rig.get(), rig.get()];
    rig.wait();
    for lease in leases {
        rig.core.release(lease.id, None, Returned::Clean, rig.now);
    }
    rig.pass(millis(20));
    let other = rig.wait();
    let Task::Check { slot, .. } = rig.only_task() else { panic!("no check") };
    rig.core.cancel(other, rig.now);
    rig.core.checked(slot, None, true, rig.now);
    assert_eq!((rig.stats().reserved, rig.core.poll_timeout()), (1, Some(end)));
}

/// The timer for its keepalive goes off first.
#[test]
fn i30_the_deadline_of_a_check_of_a_lent_session_is_announced() {
    let config = Config::builder().max_size(1).leases_per_session(2).jitter(0.0);
    let config = config.check_after_idle(millis(10)).keepalive_interval(Some(millis(15)));
    let mut rig = Rig::shared(config.check_timeout(millis(40)));
    rig.warm(1);
    rig.get();
    rig.pass(millis(12));
    let deadline = rig.now + millis(40);
    rig.wait();
    assert!(matches!(rig.only_task(), Task::Check { .. }));
    rig.pass(millis(3));
    assert_eq!(rig.core.poll_timeout(), Some(deadline));
}
