//! Any script over the bare core, every invariant checked after each step.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pool_model::script::run_script;

fuzz_target!(|bytes: &[u8]| {
    if let Err(violation) = run_script(bytes) {
        panic!("{violation}");
    }
});
