//! Any proxy command for any host and user.
#![no_main]

use libfuzzer_sys::fuzz_target;
use fuzz_bodies::run_proxy_template;

fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = run_proxy_template(bytes) {
        panic!("{error}");
    }
});
