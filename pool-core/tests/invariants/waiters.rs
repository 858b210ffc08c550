//! I10 to I15.

use std::time::Duration;

use pool_core::core::{Acquired, Purpose, Refusal, Request, Returned, Task, WaitPhase};
use pool_core::{CloseReason, Config, ErrorKind, Machine};
use pool_model::script::{End, Harness, Op, Patience, Return, Setup, Span};

use crate::rig::{Rig, millis};

#[test]
fn i10_borrowers_are_served_in_order_of_arrival() {
    let mut rig = Rig::new(Config::builder().max_size(1));
    rig.warm(1);
    let mut lease = rig.get();
    let waiters: Vec<_> = (0..5).map(|_| rig.wait()).collect();
    for (place, waiter) in waiters.iter().enumerate() {
        rig.release(lease, Returned::Clean);
        // Nobody who comes later and nobody behind gets it, however often they ask.
        let newcomer = rig.wait();
        rig.core.cancel(newcomer, rig.now);
        for behind in &waiters[place + 1..] {
            assert!(rig.take(*behind).is_none());
        }
        lease = rig.take(*waiter).unwrap();
    }
}

#[test]
fn i10_who_got_a_broken_session_keeps_its_place() {
    let mut rig = Rig::new(Config::builder().max_size(1));
    rig.warm(1);
    let lease = rig.get();
    let (first, second) = (rig.wait(), rig.wait());
    rig.release(lease, Returned::Clean);
    let lease = rig.take(first).unwrap();
    let ticket = lease.ticket;
    rig.core.unusable(lease.id, Some(lease.session), CloseReason::Broken, rig.now);
    let again = Request { ticket: Some(ticket), ..rig.request(None) };
    let Acquired::Waiting(first) = rig.core.acquire(again, rig.now) else { panic!("served") };
    rig.work();
    assert!(rig.take(second).is_none());
    assert_eq!(rig.take(first).unwrap().session, 1);
    let c = rig.stats().counters;
    assert_eq!((c.acquires, c.served, c.replaced), (3, 2, 1));
}

#[test]
fn i10_who_comes_back_after_somebody_older_did_keeps_its_place_too() {
    let mut rig = Rig::new(Config::builder().max_size(2).max_connecting(2));
    rig.warm(2);
    // Used once, so that they were not broken at birth.
    let used = [rig.get(), rig.get()];
    used.into_iter().for_each(|lease| rig.release(lease, Returned::Clean));
    let leases = [rig.get(), rig.get()];
    let last = rig.wait();
    let again = leases.map(|lease| {
        let again = Request { ticket: Some(lease.ticket), ..rig.request(None) };
        rig.core.unusable(lease.id, Some(lease.session), CloseReason::Broken, rig.now);
        match rig.core.acquire(again, rig.now) {
            Acquired::Waiting(id) => id,
            other => panic!("{other:?}"),
        }
    });
    rig.work();
    assert!(rig.take(last).is_none());
    assert!(again.into_iter().all(|waiter| rig.take(waiter).is_some()));
}

#[test]
fn i11_a_session_is_promised_in_the_step_that_frees_it() {
    let mut rig = Rig::new(Config::builder().max_size(2));
    rig.warm(2);
    let leases = [rig.get(), rig.get()];
    let waiters = [rig.wait(), rig.wait()];
    leases.into_iter().for_each(|lease| rig.release(lease, Returned::Clean));
    assert_eq!((rig.stats().idle, rig.stats().reserved), (0, 2));
    assert!(waiters.into_iter().all(|waiter| rig.take(waiter).is_some()));
}

#[test]
fn i11_as_many_checks_run_as_borrowers_wait() {
    let config = Config::builder().max_size(4).max_maintaining(4);
    let mut rig = Rig::new(config.check_after_idle(millis(10)));
    rig.warm(4);
    rig.pass(millis(20));
    rig.wait();
    rig.wait();
    let lend = |task: &Task<u32>| matches!(task, Task::Check { purpose: Purpose::Lend, .. });
    let checks = rig.start();
    assert!(checks.iter().all(lend));
    assert_eq!((checks.len(), rig.stats().idle), (2, 2));
}

/// A pinged session further back in the order serves those who wait for the check of the first.
#[test]
fn i11_nobody_waits_for_a_check_while_another_session_is_ready() {
    let config = Config::builder().max_size(3).check_after_idle(millis(10));
    let mut rig = Rig::new(config.keepalive_interval(Some(millis(15))).jitter(0.0));
    rig.warm(1);
    rig.pass(millis(10));
    rig.warm(2);
    rig.pass(millis(6));
    let (slot, session) = rig.pings()[0];
    rig.pass(millis(6));
    rig.core.checked(slot, Some(session), true, rig.now);
    // Only the pinged one is fresh, and the least recently used.
    let waiter = rig.wait();
    assert_eq!(rig.take(waiter).unwrap().session, 0);
}

#[test]
fn i12_a_borrower_has_its_answer_at_its_deadline() {
    let mut rig = Rig::new(Config::builder().max_size(1).connect_timeout(millis(1_000)));
    let Acquired::Waiting(id) = rig.ask(Some(millis(30))) else { panic!("served") };
    rig.start_connect();
    rig.pass(millis(29));
    assert!(rig.take(id).is_none());
    assert_eq!(rig.core.poll_timeout(), Some(rig.now + millis(1)));
    rig.pass(millis(1));
    let Refusal::TimedOut(report) = rig.refusal(id) else { panic!("not timed out") };
    assert_eq!((report.phase, report.waited), (WaitPhase::Connect, millis(30)));
    assert_eq!(report.stats.connecting, 1);
}

#[test]
fn i12_a_timeout_says_what_it_waited_for() {
    let phase = |rig: &mut Rig| {
        let Acquired::Waiting(id) = rig.ask(Some(millis(1))) else { panic!("served") };
        let _tasks = rig.start();
        rig.pass(millis(1));
        let Refusal::TimedOut(report) = rig.refusal(id) else { panic!("not timed out") };
        (report.phase, report)
    };
    // All lent.
    let mut rig = Rig::new(Config::builder().max_size(1).check_after_idle(millis(10)));
    rig.warm(1);
    let lease = rig.get();
    rig.pass(millis(5));
    let (found, report) = phase(&mut rig);
    assert_eq!(found, WaitPhase::Return);
    assert_eq!(report.oldest_lease.unwrap().age, millis(6));
    // Being reset.
    rig.release(lease, Returned::NeedsReset);
    assert_eq!(phase(&mut rig).0, WaitPhase::Check);
    // Being checked.
    let mut rig = Rig::new(Config::builder().max_size(1).check_after_idle(millis(0)));
    rig.warm(1);
    rig.pass(millis(5));
    assert_eq!(phase(&mut rig).0, WaitPhase::Check);
    // Backoff.
    let mut rig = Rig::new(Config::builder().max_size(1));
    rig.wait();
    let slot = rig.start_connect();
    rig.fail(slot, ErrorKind::Transient);
    let (found, report) = phase(&mut rig);
    assert_eq!(found, WaitPhase::Backoff);
    assert!(report.last_failure.is_some() && rig.core.last_failure().is_some());
}

#[test]
fn i12_who_never_waits_gets_what_is_ready_and_nothing_else() {
    let mut rig = Rig::new(Config::builder().max_size(2).check_after_idle(millis(10)));
    let never = Some(millis(0));
    assert!(matches!(rig.ask(never), Acquired::Refused(Refusal::TimedOut(_))));
    rig.warm(1);
    let Acquired::Ready(lease) = rig.ask(never) else { panic!("refused") };
    rig.release(lease, Returned::Clean);
    rig.pass(millis(20));
    assert!(matches!(rig.ask(never), Acquired::Refused(Refusal::TimedOut(_))));
    // What was only in need of a check is checked for the next time.
    rig.work();
    assert!(matches!(rig.ask(never), Acquired::Ready(_)));
}

#[test]
fn i13_an_outcome_is_given_once() {
    let mut rig = Rig::new(Config::builder());
    let waiter = rig.wait();
    let slot = rig.start_connect();
    rig.connected(slot);
    assert!(rig.take(waiter).is_some());
    assert!(matches!(rig.refusal(waiter), Refusal::Closed));
    rig.core.cancel(waiter, rig.now);
    let c = rig.stats().counters;
    assert_eq!((c.served, c.cancelled, c.refused_closed), (1, 0, 0));
}

#[test]
fn i14_a_promise_to_somebody_who_left_goes_to_the_next() {
    let mut rig = Rig::new(Config::builder().max_size(1));
    rig.warm(1);
    let lease = rig.get();
    let (first, second) = (rig.wait(), rig.wait());
    rig.release(lease, Returned::Clean);
    rig.core.cancel(first, rig.now);
    rig.core.cancel(second, rig.now);
    assert_eq!((rig.stats().idle, rig.stats().waiting), (1, 0));
    rig.get();
}

#[test]
fn i14_a_hundred_thousand_cancelled_borrows_leak_nothing() {
    let mut rng = fastrand::Rng::with_seed(14);
    let mut cancelled = 0;
    while cancelled < 100_000 {
        let setup = Setup { seed: rng.u64(..), min_idle: rng.usize(..2), ..Setup::default() };
        let mut harness = Harness::new(setup);
        for _ in 0..400 {
            let n = rng.u8(..);
            let op = match rng.u32(..20) {
                0..=5 => Op::Acquire(Patience::Endless),
                6..=12 => Op::Cancel(n),
                13 => Op::Take(n),
                14 => Op::Release(n, if n < 64 { Return::Dirty } else { Return::Clean }),
                15 | 16 => Op::StartAll,
                17 => Op::Finish(n, if n < 16 { End::Lost } else { End::Ok }),
                18 => Op::Finish(n, End::Ok),
                _ => Op::Tick(Span::Ahead(millis(u64::from(n % 32)))),
            };
            harness.step(op).unwrap_or_else(|violation| panic!("{violation}"));
        }
        cancelled += harness.stats().counters.cancelled;
        // Serves everybody left, lends every session at once, and compares every count.
        harness.finish().unwrap_or_else(|violation| panic!("{violation}"));
    }
}

#[test]
fn i15_everybody_is_served_when_all_goes_well() {
    let mut rig = Rig::new(Config::builder().max_size(3));
    let mut waiters: Vec<_> = (0..100).map(|_| rig.wait()).collect();
    let mut completions = 0;
    while !waiters.is_empty() {
        let tasks = rig.start();
        completions += tasks.len();
        tasks.into_iter().for_each(|task| rig.end(task));
        while let Some(lease) = waiters.first().and_then(|waiter| rig.take(*waiter)) {
            waiters.remove(0);
            rig.release(lease, Returned::Clean);
            completions += 1;
        }
    }
    assert!(completions <= 103, "{completions}");
}

#[test]
fn i12_what_who_never_waits_found_stale_is_checked_for_the_next_one() {
    let config = Config::builder().max_size(1).check_after_idle(millis(10));
    let mut rig = Rig::new(config.keepalive_interval(None));
    rig.warm(1);
    rig.pass(millis(20));
    assert!(matches!(rig.ask(Some(millis(0))), Acquired::Refused(Refusal::TimedOut(_))));
    let check = rig.only_task();
    assert!(matches!(check, Task::Check { purpose: Purpose::Sweep, .. }), "{check:?}");
    rig.end(check);
    assert!(matches!(rig.ask(Some(millis(0))), Acquired::Ready(_)));
}

#[test]
fn i12_a_close_is_waited_for_only_where_nothing_else_could_come() {
    let waiting_for = |rig: &Rig| rig.core.health(rig.now).waiting_for;
    // The one place is that of a session being closed.
    let mut rig = Rig::new(Config::builder().max_size(1));
    rig.warm(1);
    let lease = rig.get();
    rig.wait();
    assert_eq!(waiting_for(&rig), Some(WaitPhase::Return));
    rig.release(lease, Returned::Broken(CloseReason::Broken));
    assert_eq!(waiting_for(&rig), Some(WaitPhase::Close));
    // Another is lent.
    let mut rig = Rig::new(Config::builder().max_size(2));
    rig.warm(2);
    let (_held, lease) = (rig.get(), rig.get());
    rig.wait();
    rig.release(lease, Returned::Broken(CloseReason::Broken));
    assert_eq!(waiting_for(&rig), Some(WaitPhase::Return));
}

/// Though a session is being closed: a place is free beside it.
#[test]
fn i12_a_delay_is_waited_for_until_it_ends() {
    let mut rig = Rig::new(Config::builder().max_size(2));
    rig.warm(1);
    let lease = rig.get();
    rig.wait();
    let slot = rig.start_connect();
    rig.fail(slot, ErrorKind::Transient);
    rig.release(lease, Returned::Broken(CloseReason::Broken));
    let close = rig.only_task();
    assert!(matches!(close, Task::Close { .. }));
    let waiting_for = |rig: &Rig, at| rig.core.health(at).waiting_for;
    let end = rig.now + rig.core.health(rig.now).retry_in.unwrap();
    let before = end - Duration::from_nanos(1);
    assert_eq!(waiting_for(&rig, before), Some(WaitPhase::Backoff));
    assert_eq!(waiting_for(&rig, end), Some(WaitPhase::Connect));
}

/// What a hub asks for on behalf of a borrower under another key.
#[test]
fn k3_a_promise_to_somebody_who_came_before_is_kept() {
    let mut rig = Rig::new(Config::builder().max_size(1));
    rig.warm(1);
    let lease = rig.get();
    let waiter = rig.wait();
    let ticket = rig.core.front_ticket().unwrap();
    rig.release(lease, Returned::Clean);
    assert!(!rig.core.give_up_one_to(ticket + 1, rig.now));
    assert!(rig.core.give_up_one_to(ticket, rig.now));
    assert!(rig.take(waiter).is_none());
}

#[test]
fn the_hint_says_whether_whoever_comes_now_would_have_to_wait() {
    let mut rig = Rig::new(Config::builder().max_size(1).check_after_idle(Duration::MAX));
    assert!(Machine::is_crowded(&mut rig.core), "nothing is open");
    rig.core.add(1, rig.now).unwrap();
    assert!(!Machine::is_crowded(&mut rig.core), "one is idle, and nobody waits");
    let Acquired::Ready(lease) = rig.ask(None) else { panic!("one is idle") };
    assert!(Machine::is_crowded(&mut rig.core), "it is lent");
    rig.core.release(lease.id, Some(lease.session), Returned::Clean, rig.now);
    assert!(!Machine::is_crowded(&mut rig.core));
}
