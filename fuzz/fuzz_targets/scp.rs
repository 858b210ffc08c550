//! Any bytes as what an SCP source says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use fuzz_bodies::run_scp;

fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = run_scp(bytes) {
        panic!("{error}");
    }
});
