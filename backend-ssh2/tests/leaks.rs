//! What sessions leave behind. Alone in its process: memory is measured.

mod common;

use std::time::Duration;

use common::{connect, sshd_options};
use ssh_session::{Command, Session as _};
use test_servers::sshd::Sshd;

#[test]
fn dropping_sessions_in_any_state_leaks_nothing() {
    let server = Sshd::start().expect("sshd");
    let options = sshd_options(&server);
    let memory = || {
        let status = std::fs::read_to_string("/proc/self/statm").expect("statm");
        let pages: usize = status.split(' ').nth(1).expect("rss").parse().expect("a number");
        pages * 4096
    };
    let files = || std::fs::read_dir("/proc/self/fd").expect("fds").count();
    let round = |count: usize| {
        for number in 0..count {
            let session = connect(&options);
            match number % 3 {
                0 => session.ping(Duration::from_secs(5)).expect("alive"),
                1 => drop(session.exec(&Command::new("true"))),
                _ => {
                    let command = Command::new("sleep 5").timeout(Duration::from_millis(50));
                    session.exec(&command).expect_err("timeout");
                }
            }
        }
    };
    round(15);
    let (before, files_before) = (memory(), files());
    round(45);
    let grown = memory().saturating_sub(before);
    // A leaked session is 85 kB; 45 of them would be 3.8 MB.
    assert!(grown < 1_500_000, "{grown} bytes more after 45 sessions");
    println!("{grown} bytes more after 45 sessions");
    assert!(files() <= files_before + 2);
}
