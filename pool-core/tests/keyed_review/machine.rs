//! Random scripts over the books of a keyed pool, every invariant checked after each step.

use std::time::Duration;

use pool_model::keyed_script::{
    Back, KEYED_SETUP_BYTES, KeyedOp, KeyedScript, KeyedSetup, OP_BYTES, run_alone,
    run_keyed_script,
};
use pool_model::script::{End, Patience, Span};

/// How many random steps a run makes in all; `POOL_STEPS` sets it.
fn steps() -> usize {
    let steps = std::env::var("POOL_STEPS").ok().and_then(|steps| steps.parse().ok());
    steps.unwrap_or(40_000)
}

/// Scripts of random bytes until so many steps are made.
fn for_each_script(mut play: impl FnMut(&[u8])) {
    let seed = std::env::var("POOL_SEED").ok().and_then(|seed| seed.parse().ok());
    let mut rng = fastrand::Rng::with_seed(seed.unwrap_or(1));
    let mut left = steps();
    while left > 0 {
        let steps = rng.usize(1..400).min(left);
        left -= steps;
        let bytes: Vec<u8> =
            (0..KEYED_SETUP_BYTES + OP_BYTES * steps).map(|_| rng.u8(..)).collect();
        play(&bytes);
    }
}

#[test]
fn k1_to_k5_hold_after_every_step() {
    for_each_script(|bytes| {
        if let Err(violation) = run_keyed_script(bytes) {
            let violation = KeyedScript::from_bytes(bytes).shrink().err().unwrap_or(violation);
            panic!("{violation}");
        }
    });
}

#[test]
fn k7_one_key_behaves_as_a_pool_of_its_own() {
    for_each_script(|bytes| {
        if let Err(difference) = run_alone(bytes) {
            panic!("{difference}");
        }
    });
}

/// A key that is looked at for upkeep, and turns out to want a place instead: it got none before
/// something else happened.
#[test]
fn what_becomes_wanted_during_a_look_is_given() {
    let setup = KeyedSetup {
        keys: 2,
        total: 5,
        max_size: 2,
        min_idle: 1,
        max_connecting: 3,
        check_after_idle: Duration::MAX,
        idle_timeout: Some(millis(60)),
        max_lifetime: Some(millis(3_000)),
        forget_after: Duration::MAX,
        closes: false,
        seed: 115,
        ..KeyedSetup::default()
    };
    holds(&KeyedScript {
        setup,
        ops: vec![
            KeyedOp::Acquire(37, Patience::Endless),
            KeyedOp::Acquire(214, Patience::None),
            KeyedOp::Start,
            KeyedOp::Start,
            KeyedOp::FinishAll,
            KeyedOp::Start,
            KeyedOp::Finish(189, End::Ok),
            KeyedOp::EvictAll,
            KeyedOp::StartAll,
            KeyedOp::Wait(Span::Ahead(millis(101))),
            KeyedOp::Tick(Span::Ahead(millis(20))),
            KeyedOp::Start,
            KeyedOp::Tick(Span::Ahead(millis(1_000))),
            KeyedOp::Wait(Span::Ahead(millis(30))),
            KeyedOp::StartAll,
        ],
    });
}

/// A borrower did not collect what it was promised in time, and the session, unused for longest of
/// all, went to another key in that moment; the model took it for idle just then.
#[test]
fn k3_a_session_that_nobody_waits_for_any_more_has_been_idle_all_along() {
    let setup = KeyedSetup {
        keys: 16,
        total: 2,
        max_size: 1,
        leases: 1,
        min_idle: 1,
        max_connecting: 2,
        check_after_idle: millis(20),
        idle_timeout: Some(millis(800)),
        max_lifetime: Some(millis(3_000)),
        keepalive_interval: Some(millis(90)),
        forget_after: millis(500),
        turn: Duration::ZERO,
        closes: false,
        seed: 149,
    };
    holds(&KeyedScript {
        setup,
        ops: vec![
            KeyedOp::Acquire(107, Patience::Endless),
            KeyedOp::Acquire(118, Patience::Endless),
            KeyedOp::StartAll,
            KeyedOp::FinishAll,
            KeyedOp::ResizeTotal(5),
            KeyedOp::Tick(Span::Ahead(millis(300))),
            KeyedOp::Acquire(76, Patience::Millis(89)),
            KeyedOp::Wait(Span::Ahead(millis(60_000))),
            KeyedOp::Acquire(105, Patience::Past),
            KeyedOp::StartAll,
            KeyedOp::Acquire(3, Patience::Endless),
            KeyedOp::FinishAll,
            KeyedOp::Tick(Span::Ahead(millis(99))),
            KeyedOp::StartAll,
            KeyedOp::Finish(140, End::Lost),
            KeyedOp::EvictAll,
            KeyedOp::Start,
            KeyedOp::Wait(Span::Ahead(millis(21))),
            KeyedOp::Acquire(60, Patience::Millis(41)),
            KeyedOp::ResizeTotal(6),
            KeyedOp::Wait(Span::Ahead(millis(5))),
            KeyedOp::Acquire(87, Patience::Millis(56)),
            KeyedOp::FinishAll,
            KeyedOp::StartAll,
            KeyedOp::Finish(141, End::Lost),
            KeyedOp::FinishAll,
            KeyedOp::Acquire(228, Patience::Endless),
            KeyedOp::StartAll,
            KeyedOp::FinishAll,
            KeyedOp::Tick(Span::Ahead(millis(1_000))),
        ],
    });
}

/// A session was given up, and found broken in the same tick: it goes as broken, and the model counted
/// on no place of it.
#[test]
fn k2_what_was_given_up_and_broke_is_counted_on_all_the_same() {
    let setup = KeyedSetup {
        keys: 4,
        total: 4,
        max_size: 2,
        leases: 5,
        min_idle: 2,
        max_connecting: 1,
        check_after_idle: Duration::ZERO,
        idle_timeout: Some(millis(400)),
        max_lifetime: Some(millis(3_000)),
        keepalive_interval: Some(millis(150)),
        forget_after: Duration::ZERO,
        turn: Duration::ZERO,
        closes: false,
        seed: 82,
    };
    holds(&KeyedScript {
        setup,
        ops: vec![
            KeyedOp::Acquire(116, Patience::Millis(170)),
            KeyedOp::Acquire(155, Patience::Millis(255)),
            KeyedOp::StartAll,
            KeyedOp::Finish(255, End::Ok),
            KeyedOp::Acquire(138, Patience::Endless),
            KeyedOp::Acquire(210, Patience::Endless),
            KeyedOp::Finish(249, End::Fail(pool_core::ErrorKind::Transient)),
            KeyedOp::Acquire(186, Patience::Endless),
            KeyedOp::Tick(Span::Due),
            KeyedOp::Acquire(83, Patience::Millis(152)),
            KeyedOp::Acquire(54, Patience::Endless),
            KeyedOp::StartAll,
            KeyedOp::Acquire(47, Patience::Endless),
            KeyedOp::FinishAll,
            KeyedOp::ResizeTotal(6),
            KeyedOp::Tick(Span::Ahead(millis(99))),
            KeyedOp::StartAll,
            KeyedOp::Acquire(4, Patience::Millis(187)),
            KeyedOp::Take(176),
            KeyedOp::Finish(161, End::Ok),
            KeyedOp::Take(134),
            KeyedOp::StartAll,
            KeyedOp::Release(211, Back::Clean),
            KeyedOp::Acquire(127, Patience::Millis(75)),
            KeyedOp::Acquire(27, Patience::Endless),
            KeyedOp::Finish(75, End::Ok),
            KeyedOp::Finish(73, End::Ok),
            KeyedOp::Acquire(173, Patience::Endless),
            KeyedOp::Acquire(187, Patience::Millis(88)),
            KeyedOp::Acquire(198, Patience::Millis(62)),
            KeyedOp::Finish(165, End::Ok),
            KeyedOp::TakeAll,
            KeyedOp::Tick(Span::Ahead(millis(60))),
            KeyedOp::StartAll,
            KeyedOp::Tick(Span::Due),
            KeyedOp::Finish(113, End::Ok),
            KeyedOp::TakeAll,
            KeyedOp::Start,
            KeyedOp::Acquire(157, Patience::Millis(12)),
            KeyedOp::FinishAll,
            KeyedOp::TakeAll,
            KeyedOp::Acquire(147, Patience::Past),
            KeyedOp::Wait(Span::Ahead(millis(60))),
            KeyedOp::Acquire(84, Patience::Millis(122)),
            KeyedOp::StartAll,
            KeyedOp::Acquire(102, Patience::Endless),
            KeyedOp::Acquire(224, Patience::Endless),
            KeyedOp::Start,
            KeyedOp::Tick(Span::Due),
            KeyedOp::Tick(Span::Ahead(millis(1_000))),
            KeyedOp::Acquire(151, Patience::Endless),
        ],
    });
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn holds(script: &KeyedScript) {
    if let Err(violation) = script.run() {
        panic!("{violation}");
    }
}
