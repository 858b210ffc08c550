//! Any bytes as what an SFTP server answers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use fuzz_bodies::run_sftp;

fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = run_sftp(bytes) {
        panic!("{error}");
    }
});
