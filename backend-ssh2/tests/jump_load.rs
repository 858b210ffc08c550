//! Much data through jump hosts. Alone in its process: memory is measured.

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::{connect, sshd_options};
use ssh_session::{Command, Process as _, Route, Session as _};
use test_servers::sshd::Sshd;

const SIZE: usize = 50 * 1024 * 1024;

/// The same bytes for whoever asks, and no two parts alike.
fn pattern(from: usize, size: usize) -> Vec<u8> {
    (from..from + size).map(|index| (index ^ (index >> 8) ^ (index >> 16)) as u8).collect()
}

fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").expect("statm");
    let pages: usize = status.split(' ').nth(1).expect("rss").parse().expect("a number");
    pages * 4096
}

#[test]
fn fifty_megabytes_pass_two_jump_hosts_each_way_whole_and_in_bounded_memory() {
    let servers = [(); 3].map(|()| Sshd::start().expect("sshd"));
    let hops = [sshd_options(&servers[0]), sshd_options(&servers[1])];
    let session = connect(&sshd_options(&servers[2]).route(Route::Jump(hops.to_vec())));
    session.exec(&Command::new("true")).expect("output");

    let before = memory();
    let (most, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let process = session.spawn(&Command::new("cat").stdin_piped()).expect("started");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                most.fetch_max(memory(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        scope.spawn(|| {
            for part in 0..SIZE / (1 << 20) {
                process.write(&pattern(part << 20, 1 << 20)).expect("written");
            }
            process.close_stdin().expect("closed");
        });
        let mut received = 0;
        while let Some(chunk) = process.read().expect("output") {
            let bytes = chunk.bytes();
            assert!(bytes[..] == pattern(received, bytes.len())[..], "behind {received} bytes");
            received += bytes.len();
        }
        done.store(true, Ordering::Relaxed);
        assert_eq!(received, SIZE);
    });
    assert!(process.wait().expect("a status").success());
    let grown = most.into_inner().saturating_sub(before);
    println!("{grown} bytes more at the most");
    // Three windows of 2 MB each way, and what is read and written.
    assert!(grown < 24 << 20, "{grown} bytes more at the most");
}
