//! Any series of events over the keepalive machine, beside a model.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pool_model::script::run_keepalive;

fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = run_keepalive(bytes) {
        panic!("{error}");
    }
});
