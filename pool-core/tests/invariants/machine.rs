//! The main instrument: random scripts over the core, every invariant checked after each step.

use pool_model::script::{Harness, Op, SETUP_BYTES, Script, Setup, run_script};
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

/// The steps of a case.
const STEPS: usize = 120;

/// How many random steps a run makes in all; `POOL_STEPS` sets it.
fn steps() -> usize {
    let steps = std::env::var("POOL_STEPS").ok().and_then(|steps| steps.parse().ok());
    steps.unwrap_or(40_000)
}

/// What the strategy has to know of a run: its setup. All else is in the harness.
#[derive(Debug, Clone)]
struct Borrowers(Setup);

impl ReferenceStateMachine for Borrowers {
    type State = Self;
    type Transition = Op;

    fn init_state() -> BoxedStrategy<Self> {
        any::<[u8; SETUP_BYTES]>().prop_map(|bytes| Self(Setup::from_bytes(bytes))).boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Op> {
        any::<(u8, u8)>().prop_map(|(code, arg)| Op::from_bytes(code, arg)).boxed()
    }

    fn apply(state: Self, _: &Op) -> Self {
        state
    }
}

struct CoreTest;

impl StateMachineTest for CoreTest {
    type SystemUnderTest = Harness;
    type Reference = Borrowers;

    fn init_test(reference: &Borrowers) -> Harness {
        Harness::new(reference.0)
    }

    fn apply(mut harness: Harness, _: &Borrowers, op: Op) -> Harness {
        if let Err(violation) = harness.step(op) {
            panic!("{violation}");
        }
        harness
    }

    fn teardown(harness: Harness, _: Borrowers) {
        if let Err(violation) = harness.finish() {
            panic!("{violation}");
        }
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig {
        cases: (steps() / STEPS).max(1) as u32,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn i1_to_i42_hold_after_every_step(sequential 1..2 * STEPS => CoreTest);
}

/// The same by the way of the fuzz target: faster, so many more steps.
#[test]
fn i1_to_i42_hold_in_scripts_from_random_bytes() {
    let seed = std::env::var("POOL_SEED").ok().and_then(|seed| seed.parse().ok());
    let mut rng = fastrand::Rng::with_seed(seed.unwrap_or(1));
    let mut left = steps() * 5;
    while left > 0 {
        let steps = rng.usize(1..300).min(left);
        left -= steps;
        let bytes: Vec<u8> = (0..SETUP_BYTES + 2 * steps).map(|_| rng.u8(..)).collect();
        if let Err(violation) = run_script(&bytes) {
            let violation = shrink(Script::from_bytes(&bytes)).err().unwrap_or(violation);
            panic!("{violation}");
        }
    }
}

/// Leaves out steps for as long as the script still fails.
fn shrink(mut script: Script) -> Result<(), pool_model::script::Violation> {
    let mut found = script.run();
    let mut length = usize::MAX;
    while script.ops.len() < length {
        length = script.ops.len();
        let mut size = length;
        while size > 0 {
            let mut at = 0;
            while at < script.ops.len() {
                let mut shorter = script.clone();
                shorter.ops.drain(at..(at + size).min(script.ops.len()));
                match shorter.run() {
                    Err(violation) => {
                        found = Err(violation);
                        script = shorter;
                    }
                    Ok(()) => at += size,
                }
            }
            size /= 2;
        }
    }
    found
}
