//! I16 to I19.

use std::collections::BinaryHeap;
use std::time::Duration;

use pool_core::core::{Acquired, ConnectFailure, Lease, Refusal, Returned, Task};
use pool_core::{Config, ErrorKind};

use crate::rig::{Rig, millis};

#[test]
fn i16_no_more_connects_than_borrowers_or_places() {
    for (waiting, max_size, most) in [(1, 10, 1), (3, 10, 3), (9, 10, 4), (9, 2, 2)] {
        let mut rig = Rig::new(Config::builder().max_size(max_size).max_connecting(4));
        rig.warm(1);
        rig.core.evict_all(rig.now);
        rig.work();
        let _waiters: Vec<_> = (0..waiting).map(|_| rig.wait()).collect();
        // Until the first has succeeded there is one.
        let first = rig.start_connect();
        rig.connected(first);
        assert_eq!(rig.start().len(), most.min(waiting - 1).min(max_size - 1));
    }
}

#[test]
fn i17_no_connect_is_started_for_somebody_who_left() {
    let mut rig = Rig::new(Config::builder());
    let waiter = rig.wait();
    assert!(rig.core.has_task(rig.now));
    rig.core.cancel(waiter, rig.now);
    assert!(!rig.core.has_task(rig.now));
    assert!(rig.start().is_empty());
}

/// Row M16 of the lessons: HikariCP's spike.
#[test]
fn i17_a_spike_is_served_by_the_sessions_that_are_there() {
    enum Then {
        Return(Lease<u32>),
        Connected(pool_core::core::SlotId),
    }
    let mut rig = Rig::new(Config::builder().max_size(50).max_connecting(2));
    rig.warm(5);
    let start = rig.now;
    let mut agenda = BinaryHeap::new();
    let mut work = std::collections::HashMap::new();
    let mut number = 0_u32;
    let mut plan =
        |agenda: &mut BinaryHeap<_>, work: &mut std::collections::HashMap<_, _>, at, then| {
            number += 1;
            agenda.push(std::cmp::Reverse((at, number)));
            work.insert(number, then);
        };
    let mut waiters = Vec::new();
    for _ in 0..50 {
        match rig.ask(None) {
            Acquired::Ready(lease) => {
                plan(&mut agenda, &mut work, rig.now + millis(2), Then::Return(lease));
            }
            Acquired::Waiting(id) => waiters.push(id),
            Acquired::Refused(refusal) => panic!("{refusal:?}"),
        }
    }
    let mut served_at = start;
    while !waiters.is_empty() {
        for task in rig.start() {
            let Task::Connect { slot, .. } = task else { panic!("{task:?}") };
            plan(&mut agenda, &mut work, rig.now + millis(150), Then::Connected(slot));
        }
        let std::cmp::Reverse((at, number)) = agenda.pop().unwrap();
        rig.now = at;
        match work.remove(&number).unwrap() {
            Then::Return(lease) => rig.release(lease, Returned::Clean),
            Then::Connected(slot) => rig.connected(slot),
        }
        while let Some(lease) = waiters.first().and_then(|waiter| rig.take(*waiter)) {
            waiters.remove(0);
            served_at = rig.now;
            plan(&mut agenda, &mut work, rig.now + millis(2), Then::Return(lease));
        }
    }
    assert!(rig.stats().counters.connects <= 2);
    assert!(served_at - start <= millis(20), "{:?}", served_at - start);
}

#[test]
fn i18_delays_double_up_to_the_cap_and_are_drawn_from_their_upper_half() {
    let (base, cap) = (millis(8), millis(100));
    for seed in 0..50 {
        let config = Config::builder().backoff_base(base).backoff_max(cap).jitter(0.0);
        let mut rig = Rig::new(config);
        rig.core = pool_core::core::Core::new(
            Config::builder().backoff_base(base).backoff_max(cap).seed(Some(seed)).build().unwrap(),
            true,
        );
        let first = rig.wait();
        for failures in 1..8 {
            let slot = rig.start_connect();
            rig.fail(slot, ErrorKind::Transient);
            let longest = (base * 2_u32.pow(failures)).min(cap);
            let due = rig.core.poll_timeout().unwrap();
            let delay = due - rig.now;
            assert!(delay >= longest / 2 && delay <= longest, "{failures}: {delay:?}");
            rig.now = due - Duration::from_nanos(1);
            assert!(!rig.core.has_task(rig.now) && rig.start().is_empty());
            rig.now = due;
        }
        // A connect alone resets nothing: its session may be dead on arrival.
        let slot = rig.start_connect();
        rig.connected(slot);
        let lease = rig.take(first).unwrap();
        rig.wait();
        let slot = rig.start_connect();
        rig.fail(slot, ErrorKind::Transient);
        let due = rig.core.poll_timeout().unwrap();
        assert!(due - rig.now >= cap / 2);
        rig.now = due;
        // A session that somebody used does.
        rig.release(lease, Returned::Clean);
        rig.wait();
        let slot = rig.start_connect();
        rig.fail(slot, ErrorKind::Transient);
        assert!(rig.core.poll_timeout().unwrap() - rig.now <= base * 2);
    }
}

#[test]
fn i18_a_busy_peer_is_left_alone_for_one_step_longer() {
    let mut rig = Rig::new(Config::builder().backoff_base(millis(8)));
    rig.wait();
    let slot = rig.start_connect();
    rig.fail(slot, ErrorKind::Busy);
    let delay = rig.core.poll_timeout().unwrap() - rig.now;
    assert!(delay >= millis(16) && delay <= millis(32), "{delay:?}");
    rig.pass(millis(32));
    let slot = rig.start_connect();
    rig.fail(slot, ErrorKind::Busy);
    let delay = rig.core.poll_timeout().unwrap() - rig.now;
    assert!(delay >= millis(32) && delay <= millis(64), "{delay:?}");
}

#[test]
fn i18_a_permanent_error_fails_all_who_wait_and_stops_the_dialling() {
    let mut rig = Rig::new(Config::builder().breaker_delay(millis(100)).min_idle(2));
    let waiters = [rig.wait(), rig.wait(), rig.wait()];
    let slot = rig.start_connect();
    rig.fail(slot, ErrorKind::Permanent);
    for waiter in waiters {
        assert!(matches!(rig.refusal(waiter), Refusal::Failed("no")));
    }
    // Newcomers are told at once, and nothing is dialled, for `min_idle` neither.
    assert!(matches!(rig.ask(None), Acquired::Refused(Refusal::Failed("no"))));
    rig.pass(millis(100) - Duration::from_nanos(1));
    assert!(matches!(rig.ask(None), Acquired::Refused(Refusal::Failed("no"))));
    rig.pass(millis(101));
    assert!(rig.start().is_empty());
    // One borrower is one attempt, and its success brings back the rest.
    let waiter = rig.wait();
    rig.wait();
    let slot = rig.start_connect();
    rig.connected(slot);
    assert!(rig.take(waiter).is_some());
    assert_eq!(rig.start().len(), 2);
}

/// Who warms the pool wants a connect, so the end of the delay is announced.
#[test]
fn i18_the_breaker_ends_at_the_moment_that_is_announced() {
    let mut rig = Rig::new(Config::builder().breaker_delay(millis(100)));
    rig.wait();
    let slot = rig.start_connect();
    rig.fail(slot, ErrorKind::Permanent);
    rig.core.warm(1);
    let end = rig.core.poll_timeout().unwrap();
    rig.now = end - Duration::from_nanos(1);
    assert_eq!(rig.core.hopeless(rig.now), Some("no"));
    assert!(matches!(rig.ask(None), Acquired::Refused(Refusal::Failed("no"))));
    rig.now = end;
    assert_eq!(rig.core.hopeless(rig.now), None);
    rig.wait();
}

#[test]
fn i18_the_breaker_spares_those_whom_an_open_session_can_serve() {
    let mut rig = Rig::new(Config::builder().breaker_delay(millis(100)));
    rig.warm(1);
    let lease = rig.get();
    rig.wait();
    let slot = rig.start_connect();
    rig.fail(slot, ErrorKind::Permanent);
    let waiter = rig.wait();
    rig.release(lease, Returned::Clean);
    assert!(rig.take(waiter).is_some());
}

#[test]
fn i18_a_breaker_for_ever_stays() {
    let mut rig = Rig::new(Config::builder().breaker_delay(Duration::MAX));
    rig.wait();
    let slot = rig.start_connect();
    rig.fail(slot, ErrorKind::Permanent);
    rig.pass(millis(1_000_000_000));
    assert!(matches!(rig.ask(None), Acquired::Refused(Refusal::Failed(_))));
    assert!(rig.start().is_empty());
    // New credentials, as its owner says.
    rig.core.evict_all(rig.now);
    rig.wait();
    rig.start_connect();
}

#[test]
fn i19_a_connect_that_hangs_frees_its_slot_at_its_timeout() {
    let config = Config::builder().max_size(1).connect_timeout(millis(10)).max_maintaining(1);
    let mut rig = Rig::new(config.max_connecting(1).backoff_max(millis(50)));
    rig.wait();
    let mut hanging = 0;
    loop {
        let tasks = rig.start();
        if tasks.is_empty() {
            break;
        }
        hanging += tasks.len();
        rig.pass(millis(10));
        assert_eq!((rig.stats().connecting, rig.stats().hung_connects), (0, hanging));
        assert_eq!(rig.core.last_failure(), Some(&ConnectFailure::TimedOut));
        rig.pass(millis(50));
    }
    // Beyond a bound nothing is started until one of them ends.
    assert_eq!(hanging, 3);
    assert_eq!(rig.core.poll_timeout(), None);
}

#[test]
fn i16_the_leave_of_a_hub_outlasts_an_eviction() {
    let mut rig = Rig::new(Config::builder());
    rig.core.allow_connects(0);
    let waiter = rig.wait();
    assert!(rig.start().is_empty() && rig.core.is_starved());
    rig.core.evict_all(rig.now);
    assert!(rig.core.is_starved() && rig.start().is_empty());
    rig.core.allow_connects(1);
    let slot = rig.start_connect();
    rig.connected(slot);
    assert!(rig.take(waiter).is_some());
}
