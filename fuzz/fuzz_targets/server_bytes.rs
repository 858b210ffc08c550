//! A server of any bytes, before login and behind it.
#![no_main]

use conformance::server_bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = server_bytes(bytes) {
        panic!("{error}");
    }
});
