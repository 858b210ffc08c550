//! The body of the fuzz target `server_bytes`, on its seeds and on bytes drawn anew each time.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use conformance::server_bytes;

#[test]
fn seeds_of_the_fuzz_target_end_in_time() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/server_bytes");
    let mut count = 0;
    for seed in fs::read_dir(seeds).expect("seeds") {
        let path = seed.expect("a seed").path();
        let met = server_bytes(&fs::read(&path).expect("read"));
        met.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        count += 1;
    }
    assert!(count >= 5, "{count} seeds");
}

#[test]
fn random_bytes_end_in_time_at_every_stage() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let mut state = now.as_nanos() as u64 | 1;
    println!("seed {state}");
    let mut next = || {
        // Xorshift: good enough for bytes that nobody relies on.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    // Types that a session may have a use for, so that not all are turned away at once.
    let types = [1, 2, 4, 7, 20, 21, 31, 51, 52, 60, 80, 90, 91, 93, 94, 95, 96, 97, 98, 99];
    for round in 0..200_u64 {
        let stage = (round % 5) as u8;
        let mut bytes = vec![stage];
        for _ in 0..next() % 8 {
            let length = (next() % 300) as u16 + 1;
            if stage > 1 {
                bytes.extend(length.to_be_bytes());
                bytes.push(types[(next() % types.len() as u64) as usize]);
                // A channel's number, mostly.
                bytes.extend([0, 0, 0, (next() % 3) as u8]);
            }
            bytes.extend((0..length).map(|_| next() as u8));
        }
        server_bytes(&bytes).unwrap_or_else(|error| panic!("{error}: {bytes:02x?}"));
    }
}
