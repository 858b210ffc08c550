//! Random scripts over the books of a keyed pool, every invariant checked after each step.

use pool_model::keyed_script::{
    KEYED_SETUP_BYTES, KeyedScript, OP_BYTES, run_alone, run_keyed_script,
};

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
