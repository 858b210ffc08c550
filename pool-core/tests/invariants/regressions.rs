//! Scripts that once broke an invariant, as the shrinker left them.

use std::time::Duration;

use pool_core::ErrorKind::{Busy, Permanent, Transient};
use pool_core::Order;
use pool_model::script::Op::{
    Acquire, Add, Cancel, Finish, Peek, Refuse, Release, Replace, Resize, Start, StartAll, Stray,
    Take, Tick, Wait,
};
use pool_model::script::Patience::{Endless, Millis};
use pool_model::script::Span::{Ahead, AlmostDue, Due};
use pool_model::script::{End, Keyed, Op, Patience, Return, Script, Setup};

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
    let back = Tick(pool_model::script::Span::Back(millis(10_000)));
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

/// So many leases a session, and no age or keepalive but where a test wants one.
fn shared(leases_per_session: usize) -> Setup {
    Setup {
        shared: true,
        leases_per_session,
        idle_timeout: None,
        max_lifetime: None,
        keepalive_interval: None,
        ..Setup::default()
    }
}

/// What a check was counted to supply was given back by another rule than it was taken by, because
/// a borrower had proved the session in between: the count went below zero.
#[test]
fn i16_a_suspect_proved_good_while_it_is_asked_gives_back_what_it_took() {
    let ops = [
        Add,
        Acquire(Endless),
        Add,
        Tick(Ahead(millis(30))),
        Acquire(Endless),
        StartAll,
        Finish(0, End::Fail(Transient)),
        Release(0, Return::Clean),
    ];
    holds(Setup { max_size: 2, ..shared(3) }, &ops);
}

/// A session past its lifetime that has a successor wanted one more for as long as it was lent.
#[test]
fn i34_a_succeeded_session_wants_no_other_successor() {
    let ops = [
        Acquire(Millis(253)),
        Add,
        Acquire(Endless),
        Take(0),
        Tick(Ahead(millis(1_000))),
        Acquire(Millis(62)),
        Acquire(Endless),
        Acquire(Millis(63)),
        Acquire(Millis(216)),
    ];
    let setup = Setup {
        max_connecting: 3,
        check_after_idle: Duration::MAX,
        max_lifetime: Some(millis(1_000)),
        jitter: 0.0,
        keyed: true,
        ..shared(5)
    };
    holds(setup, &ops);
}

/// A check was started on a session that its last borrower had returned broken.
#[test]
fn i33_what_is_to_go_is_not_asked() {
    let ops = [
        Acquire(Endless),
        StartAll,
        Acquire(Millis(235)),
        Finish(0, End::Ok),
        Take(0),
        Acquire(Patience::Past),
        Tick(Ahead(millis(99))),
        Take(0),
        Release(0, Return::Broken),
        StartAll,
    ];
    holds(Setup { max_size: 1, min_idle: 1, max_maintaining: 1, ..shared(5) }, &ops);
}

/// A check that failed at its deadline failed again with its late answer.
#[test]
fn i32_a_check_fails_once() {
    let ops = [
        Add,
        Acquire(Millis(189)),
        Tick(Ahead(millis(30))),
        Acquire(Endless),
        StartAll,
        Tick(Ahead(millis(40))),
        Finish(0, End::Fail(Transient)),
    ];
    holds(shared(2), &ops);
}

/// With `check_after_idle` zero a session was handed from one borrower to the next unasked.
#[test]
fn i9_what_is_asked_at_every_lease_is_asked_before_it_is_handed_on() {
    let setup = Setup { max_size: 1, check_after_idle: Duration::ZERO, ..Setup::default() };
    holds(setup, &[Acquire(Endless), Acquire(Millis(74))]);
}

/// A session verified by a return, with a lease still out, was not found behind a stale one.
#[test]
fn i31_a_session_verified_while_it_is_lent_serves_who_waits() {
    let ops = [
        Start,
        Finish(0, End::Ok),
        Acquire(Millis(191)),
        StartAll,
        Acquire(Patience::None),
        Finish(0, End::Ok),
        Finish(0, End::Ok),
        Wait(Ahead(millis(101))),
        Release(0, Return::Clean),
        Acquire(Endless),
    ];
    holds(Setup { min_idle: 3, max_connecting: 3, max_maintaining: 3, ..shared(5) }, &ops);
}

/// The check of a session counted for as many as it was begun for, though its peer refused some.
#[test]
fn i31_a_refusal_shortens_what_a_check_supplies() {
    let ops = [
        Add,
        Acquire(Millis(139)),
        Acquire(Patience::None),
        Tick(Ahead(millis(300))),
        Acquire(Millis(153)),
        Refuse(0, false),
        Add,
        Tick(Ahead(millis(21))),
        Acquire(Millis(27)),
    ];
    holds(Setup { order: Order::Fifo, ..shared(5) }, &ops);
}

/// Who asked in place of another was served and had never asked.
#[test]
fn i5_a_refused_borrower_that_asks_again_is_counted() {
    holds(
        Setup { max_size: 1, ..Setup::default() },
        &[Acquire(Endless), Add, Take(0), Refuse(0, true)],
    );
}

/// A promise of a session past its lifetime was withdrawn by a newcomer's look, and nobody looked
/// after whom it had been promised to.
#[test]
fn i10_a_promise_that_is_void_leaves_its_borrower_first() {
    let setup = Setup { max_size: 1, max_lifetime: Some(millis(200)), ..shared(3) };
    let ops = [Acquire(Endless), Add, Tick(Ahead(millis(1_000))), Acquire(Millis(239))];
    holds(setup, &ops);
    holds(Setup { keyed: true, ..setup }, &ops);
}

/// The end of a promised session was announced by nobody.
#[test]
fn i30_the_end_of_a_promised_session_is_announced() {
    let setup = Setup {
        max_connecting: 1,
        check_after_idle: Duration::ZERO,
        max_lifetime: Some(millis(200)),
        ..shared(2)
    };
    let (short, long) = (Ahead(millis(5)), Ahead(millis(199)));
    let start = [Acquire(Endless), Start, Add, Finish(0, End::Ok)];
    for wait in [short, long] {
        let more = [Wait(wait), Acquire(Millis(44)), Peek, Wait(short), Acquire(Endless), Peek];
        holds(setup, &[&start[..], &more].concat());
    }
}

/// A clock set back by a nanosecond made a lease look like a check.
#[test]
fn i9_a_lease_at_a_clock_set_back_is_no_check() {
    let ops = [
        Acquire(Millis(120)),
        Start,
        Finish(0, End::Ok),
        Acquire(Millis(126)),
        Wait(Due),
        Add,
        Tick(AlmostDue),
        Replace(0),
        Tick(Ahead(millis(1))),
    ];
    let setup = Setup {
        max_size: 3,
        max_waiters: Some(2),
        fail_fast: false,
        check_after_idle: Duration::ZERO,
        jitter: 0.0,
        seed: 164,
        ..shared(5)
    };
    holds(setup, &ops);
}

/// A whole turn of a keyed pool over shared sessions that are given up one by one.
#[test]
fn i37_a_core_gives_up_what_has_the_fewest_leases() {
    let turn = Op::Keyed(Keyed::Turn(3));
    let ops = [
        Acquire(Endless),
        turn,
        Finish(0, End::Ok),
        Take(0),
        Add,
        Acquire(Endless),
        Acquire(Endless),
        Op::Keyed(Keyed::GiveUp),
        Op::Keyed(Keyed::GiveUp),
    ];
    holds(Setup { keyed: true, ..shared(3) }, &ops);
}

/// Doubted while only a promise kept it from its reset, a session was checked once more after the
/// reset that it had passed.
#[test]
fn i11_a_reset_ends_all_doubt() {
    let setup = Setup {
        shared: true,
        leases_per_session: 3,
        max_size: 2,
        keepalive_interval: None,
        check_after_idle: millis(200),
        ..Setup::default()
    };
    let ops = [
        Acquire(Endless),
        StartAll,
        Finish(0, End::Ok),
        Take(0),
        Acquire(Endless),
        Add,
        Wait(Ahead(millis(300))),
        // Waits for the check of the idle session, and is promised the other one instead.
        Acquire(Endless),
        StartAll,
        Release(0, Return::Dirty),
        Release(0, Return::Clean),
        Wait(Ahead(millis(1))),
        Finish(0, End::Fail(Transient)),
        Cancel(0),
        StartAll,
        Finish(0, End::Ok),
        Finish(0, End::Ok),
        Acquire(Endless),
        Acquire(Endless),
    ];
    holds(setup, &ops);
}

/// A session that was too long unused, and had to wait for the next tick to leave, was lent and
/// came back: it kept the timer of that tick, and was not looked at before.
#[test]
fn i22_a_session_lent_while_it_waits_to_leave_is_seen_in_time() {
    let setup = Setup {
        max_size: 5,
        max_connecting: 1,
        order: Order::Fifo,
        check_after_idle: Duration::MAX,
        idle_timeout: Some(millis(800)),
        max_lifetime: Some(Duration::MAX),
        keepalive_interval: None,
        watch_interval: Some(millis(15)),
        jitter: 0.01,
        ..Setup::default()
    };
    let ops = [
        Acquire(Millis(109)),
        Add,
        Acquire(Millis(44)),
        StartAll,
        Finish(115, End::Ok),
        Tick(Ahead(millis(1_000))),
        Start,
        Acquire(Endless),
        Release(179, Return::Clean),
        Tick(Due),
        StartAll,
    ];
    holds(setup, &ops);
}

/// A promise ended with the tick that tried one more lease, and its session was too old to be lent
/// again: what that session carries mattered no more, and the book and the model disagreed.
#[test]
fn i35_one_more_is_tried_before_a_tick_does_anything_else() {
    let setup = Setup {
        max_size: 2,
        shared: true,
        leases_per_session: 3,
        limit_recovery: millis(35),
        keepalive_interval: None,
        check_after_idle: Duration::MAX,
        jitter: 0.0,
        ..Setup::default()
    };
    let connected = [Acquire(Endless), StartAll, Finish(0, End::Ok), Take(0)];
    let shared = [Acquire(Endless), Acquire(Endless)];
    let mut ops =
        [connected, connected].map(|connected| [&connected[..], &shared].concat()).concat();
    ops.extend([
        // The first session carries one lease then, the second two.
        Refuse(0, false),
        Refuse(0, false),
        Refuse(1, false),
        Acquire(Millis(200)),
        Release(0, Return::Clean),
        Tick(Ahead(millis(1_000))),
        Tick(Ahead(millis(1_000))),
    ]);
    holds(setup, &ops);
}

/// A promise grew too old in its borrower's stead, who waited anew: those found too old for it close
/// at once, which the model took for a tick without haste.
#[test]
fn i21_whoever_loses_a_promise_needs_room_at_once() {
    let setup = Setup {
        max_size: 5,
        max_waiters: Some(5),
        leak_after: Some(millis(25)),
        max_closing: 1,
        min_idle: 3,
        order: Order::Fifo,
        max_maintaining: 3,
        max_lifetime: Some(millis(200)),
        jitter: 0.5,
        seed: 65,
        keyed: true,
        ..Setup::default()
    };
    let ops = [
        Acquire(Endless),
        Add,
        Tick(Ahead(Duration::from_secs(60))),
        Add,
        Add,
        Add,
        Peek,
        Tick(Ahead(millis(60))),
    ];
    holds(setup, &ops);
}

/// A session that was lent past its lifetime wanted a successor, and no more so once a resize had
/// marked it and another one taken that back.
#[test]
fn i34_a_resize_taken_back_forgets_nothing() {
    let setup = Setup {
        shared: true,
        leases_per_session: 3,
        limit_recovery: millis(35),
        min_idle: 1,
        check_after_idle: Duration::MAX,
        idle_timeout: Some(millis(60)),
        max_lifetime: Some(millis(200)),
        watch_interval: Some(millis(15)),
        jitter: 0.0,
        ..Setup::default()
    };
    let ops = [
        Add,
        Acquire(Millis(61)),
        Tick(Ahead(Duration::from_secs(1))),
        Acquire(Patience::None),
        Resize(0),
        Resize(2),
        Start,
        Finish(163, End::Ok),
    ];
    holds(setup, &ops);
}

/// After a permanent error, whoever asked next was given what was open; nothing is opened for
/// `min_idle` then until somebody asks again, which the model did not.
#[test]
fn i20_min_idle_waits_for_whoever_needs_a_connect() {
    let setup = Setup {
        max_size: 3,
        shared: true,
        leases_per_session: 5,
        limit_recovery: millis(900),
        max_waiters: Some(2),
        max_closing: 2,
        min_idle: 1,
        max_connecting: 1,
        max_maintaining: 1,
        check_after_idle: millis(200),
        idle_timeout: None,
        max_lifetime: Some(millis(200)),
        keepalive_interval: None,
        watch_interval: Some(millis(15)),
        seed: 0,
        ..Setup::default()
    };
    let mut ops = vec![Acquire(Endless); 13];
    ops.extend([
        Cancel(0),
        Take(0),
        Acquire(Patience::None),
        Acquire(Millis(24)),
        Stray(0),
        Start,
        Finish(0, End::Ok),
        Start,
        Tick(Due),
        Tick(Due),
        Acquire(Endless),
        Release(0, Return::Clean),
        Acquire(Endless),
        Acquire(Endless),
        Refuse(0, true),
        Replace(0),
        Finish(0, End::Fail(Transient)),
        Start,
        Acquire(Endless),
        Finish(0, End::Ok),
        Acquire(Endless),
        Wait(Ahead(millis(20))),
        Add,
        Start,
        Finish(4, End::Fail(Permanent)),
        Acquire(Millis(24)),
        Resize(1),
        Take(0),
        Start,
        Acquire(Millis(24)),
        Start,
    ]);
    holds(setup, &ops);
}

/// Of two that want a successor the older one got it, which was lent when its own, shorter time
/// was up, and the model knew of the other one only.
#[test]
fn i34_the_oldest_is_succeeded_first() {
    let setup = Setup {
        max_size: 3,
        shared: true,
        leases_per_session: 5,
        max_closing: 2,
        min_idle: 2,
        order: Order::Fifo,
        max_connecting: 1,
        max_maintaining: 3,
        check_after_idle: millis(200),
        idle_timeout: Some(millis(800)),
        max_lifetime: Some(millis(200)),
        keepalive_interval: Some(millis(15)),
        watch_interval: Some(millis(60)),
        seed: 69,
        ..Setup::default()
    };
    let ops = [
        Start,
        Acquire(Endless),
        Add,
        Finish(217, End::Ok),
        StartAll,
        Take(245),
        Tick(Ahead(millis(1000))),
        Wait(Ahead(millis(60))),
        Acquire(Endless),
        Acquire(Millis(219)),
        Resize(7),
        Acquire(Millis(207)),
        Finish(105, End::Ok),
        Release(121, Return::Clean),
        StartAll,
        Finish(55, End::Ok),
        Acquire(Millis(188)),
        Acquire(Endless),
        Finish(34, End::Ok),
        Take(181),
        Acquire(Endless),
        Cancel(26),
        Start,
        Add,
        Finish(69, End::Ok),
        Refuse(196, false),
        Take(248),
        Peek,
        Cancel(218),
        Wait(Ahead(millis(5))),
        Release(188, Return::Clean),
        Acquire(Patience::Past),
        Peek,
        Finish(104, End::Fail(Transient)),
        Tick(Ahead(millis(101))),
        StartAll,
        Acquire(Patience::None),
        Tick(Ahead(millis(40))),
        Acquire(Millis(107)),
        Tick(Ahead(millis(20))),
        Finish(41, End::Fail(Busy)),
        Take(147),
        Finish(14, End::Ok),
    ];
    holds(setup, &ops);
}
