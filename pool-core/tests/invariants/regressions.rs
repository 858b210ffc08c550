//! Scripts that once broke an invariant, as the shrinker left them.

use std::time::Duration;

use pool_core::ErrorKind::{Permanent, Transient};
use pool_core::Order;
use testkit::fake::script::Op::{
    Acquire, Add, Cancel, Finish, Peek, Release, Resize, Start, StartAll, Stray, Tick, Wait,
};
use testkit::fake::script::Patience::Endless;
use testkit::fake::script::Span::{Ahead, Due};
use testkit::fake::script::{End, Op, Return, Script, Setup};

fn holds(setup: Setup, ops: &[Op]) {
    if let Err(violation) = (Script { setup, ops: ops.to_vec() }).run() {
        panic!("{violation}");
    }
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// What came back to a slot long gone was not counted, so the connect that was given up was
/// forgotten when something else was closed.
#[test]
fn i3_a_late_return_is_counted_until_it_is_closed() {
    let setup = Setup { min_idle: 2, ..Setup::default() };
    holds(setup, &[Start, Tick(Due), Stray(38), StartAll, Finish(0, End::Ok)]);
}

/// Without jitter the longest duration overflowed when it was multiplied by one.
#[test]
fn i29_the_longest_durations_are_no_panic() {
    for jitter in [0.0, 0.1, 0.5] {
        let setup = Setup {
            jitter,
            idle_timeout: Some(Duration::MAX),
            max_lifetime: Some(Duration::MAX),
            keepalive_interval: Some(Duration::MAX),
            backoff_base: Duration::MAX,
            backoff_max: Duration::MAX,
            connect_timeout: Duration::MAX,
            check_timeout: Duration::MAX,
            reset_timeout: Duration::MAX,
            close_timeout: Duration::MAX,
            ..Setup::default()
        };
        let fail = Finish(0, End::Fail(Transient));
        holds(setup, &[Acquire(Endless), Start, Finish(0, End::Ok), Acquire(Endless), Start, fail]);
    }
}

/// A session that had just passed its check stayed idle, because the first in order needed one.
#[test]
fn i11_a_checked_session_is_lent_though_another_comes_first() {
    let ops = [
        Acquire(Endless),
        Acquire(Endless),
        Start,
        Finish(0, End::Ok),
        StartAll,
        Tick(Ahead(millis(30))),
        Acquire(Endless),
        Cancel(1),
        Cancel(0),
        Add,
        Finish(0, End::Ok),
        Wait(Ahead(millis(101))),
    ];
    holds(Setup { max_lifetime: None, keepalive_interval: None, ..Setup::default() }, &ops);
}

/// Making the pool small once lowered `min_idle` for good.
#[test]
fn i20_min_idle_survives_a_resize() {
    holds(Setup { min_idle: 2, ..Setup::default() }, &[Resize(0)]);
    holds(Setup { min_idle: 3, ..Setup::default() }, &[Resize(1), StartAll, Resize(4)]);
}

/// The failure of a second connect, begun before, replaced the breaker's delay by a short one.
#[test]
fn i18_a_transient_failure_does_not_shorten_the_breaker() {
    let ops = [
        Acquire(Endless),
        Acquire(Endless),
        Acquire(Endless),
        Start,
        Finish(0, End::Ok),
        StartAll,
        Finish(0, End::Fail(Permanent)),
        Acquire(Endless),
        Finish(0, End::Fail(Transient)),
        Tick(Ahead(millis(41))),
        StartAll,
    ];
    holds(Setup { max_connecting: 2, ..Setup::default() }, &ops);
}

/// A keepalive that was due when its session was lent left the session without a timer for the
/// next one.
#[test]
fn i22_a_lent_session_has_its_next_keepalive_in_time() {
    let setup = Setup {
        max_size: 2,
        min_idle: 1,
        order: Order::Fifo,
        max_maintaining: 3,
        check_after_idle: millis(200),
        idle_timeout: Some(Duration::MAX),
        keepalive_interval: Some(millis(90)),
        jitter: 0.01,
        ..Setup::default()
    };
    let ops = [
        StartAll,
        Finish(0, End::Ok),
        Tick(Due),
        Add,
        Acquire(Endless),
        Start,
        Release(0, Return::Clean),
        Tick(Ahead(millis(300))),
        StartAll,
    ];
    holds(setup, &ops);
}

/// The clock goes back after a delay is over, and again after a look ahead.
#[test]
fn i29_a_clock_set_back_breaks_nothing() {
    let back = Tick(testkit::fake::script::Span::Back(millis(10_000)));
    let setup = Setup { min_idle: 2, max_connecting: 1, ..Setup::default() };
    let lost = Finish(0, End::Lost);
    holds(setup, &[StartAll, lost, Tick(Due), back, Start, Peek, Tick(Ahead(millis(99)))]);
}

/// A pool made smaller took its promise back from whoever had the slot of the lowest number.
#[test]
fn i10_a_smaller_pool_breaks_the_youngest_promise() {
    let site = std::panic::Location::caller();
    let now = std::time::Instant::now();
    let config = pool_core::Config::builder().max_size(2).seed(Some(1)).build().unwrap();
    let mut core = pool_core::core::Core::<u32, String>::new(config, false);
    let ask = |core: &mut pool_core::core::Core<u32, String>| {
        let request = pool_core::core::Request { arrived: now, deadline: None, site, ticket: None };
        match core.acquire(request, now) {
            pool_core::core::Acquired::Waiting(id) => id,
            other => panic!("{other:?}"),
        }
    };
    let (first, second) = (ask(&mut core), ask(&mut core));
    core.add(1, now).unwrap();
    core.add(2, now).unwrap();
    core.resize(1, now);
    let waiting: Vec<_> = core.queue().filter(|entry| entry.1.is_none()).collect();
    assert_eq!(waiting, [(second, None)]);
    assert!(matches!(core.take(first, now), pool_core::core::Taken::Ready(_)));
}
