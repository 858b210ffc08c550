//! A configuration of any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use fuzz_bodies::run_ssh_config;

fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = run_ssh_config(bytes) {
        panic!("{error}");
    }
});
