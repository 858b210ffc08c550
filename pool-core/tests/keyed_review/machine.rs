//! Random scripts over the books of a keyed pool, every invariant checked after each step.

use std::time::Duration;

use pool_model::keyed_script::{
    KEYED_SETUP_BYTES, KeyedOp, KeyedScript, KeyedSetup, OP_BYTES, run_alone, run_keyed_script,
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

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn holds(script: &KeyedScript) {
    if let Err(violation) = script.run() {
        panic!("{violation}");
    }
}
