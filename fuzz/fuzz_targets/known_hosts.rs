//! A known_hosts file of any bytes; OpenSSH's own tool is asked about one in 64.
#![no_main]

use libfuzzer_sys::fuzz_target;
use fuzz_bodies::run_known_hosts;

fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = run_known_hosts(bytes, bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_mul(31) ^ byte) % 64 == 0) {
        panic!("{error}");
    }
});
