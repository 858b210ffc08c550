//! The bodies of the fuzz targets, over their seeds and over random changes of them.

use std::fs;
use std::path::Path;

use fuzz_bodies::{run_known_hosts, run_proxy_template, run_scp, run_sftp, run_ssh_config};

type Body = fn(&[u8]) -> Result<(), String>;

/// Seeds, and changes of them: the same in each run.
fn play(name: &str, rounds: usize, body: Body) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(name);
    let mut seeds: Vec<Vec<u8>> = fs::read_dir(&folder)
        .expect("the seeds")
        .map(|file| fs::read(file.expect("a seed").path()).expect("readable"))
        .collect();
    seeds.sort();
    let check = |bytes: &[u8]| {
        if let Err(error) = body(bytes) {
            panic!("{name}: {error}: {:?}", String::from_utf8_lossy(bytes));
        }
    };
    seeds.iter().for_each(|seed| check(seed));
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    for _ in 0..rounds {
        let mut bytes = seeds[random(seeds.len())].clone();
        for _ in 0..=random(6) {
            let at = random(bytes.len());
            match random(5) {
                0 => bytes.insert(at, random(256) as u8),
                1 => bytes.insert(at, b"\n \t%*!,@|[]=\"\\#~$KH"[random(19)]),
                2 if !bytes.is_empty() => {
                    bytes.remove(at);
                }
                3 if !bytes.is_empty() => bytes[at] = random(256) as u8,
                _ => {
                    let other = &seeds[random(seeds.len())];
                    let cut = random(other.len());
                    bytes.splice(at..at, other[cut..].iter().copied());
                }
            }
        }
        check(&bytes);
    }
}

#[test]
fn any_known_hosts_file_is_read_and_added_to() {
    play("known_hosts", 500, |bytes| run_known_hosts(bytes, bytes.len() % 16 == 0));
}

#[test]
fn any_ssh_config_is_read_or_refused() {
    play("ssh_config", 3_000, run_ssh_config);
}

#[test]
fn any_proxy_template_is_filled_or_refused() {
    play("proxy_template", 10_000, run_proxy_template);
}

#[test]
fn any_answers_of_an_sftp_server_are_taken_or_refused() {
    play("sftp", 3_000, run_sftp);
}

#[test]
fn anything_a_source_of_scp_says_is_taken_or_refused() {
    play("scp", 10_000, run_scp);
}
