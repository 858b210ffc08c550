//! Any script over the books of a keyed pool, every invariant checked after each step.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pool_model::keyed_script::{run_alone, run_keyed_script};

fuzz_target!(|bytes: &[u8]| {
    if let Err(violation) = run_keyed_script(bytes) {
        panic!("{violation}");
    }
    if let Err(difference) = run_alone(bytes) {
        panic!("{difference}");
    }
});
