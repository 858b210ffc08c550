//! Commands that are given up.

use std::fs;
use std::time::{Duration, Instant};

use ssh_session::{Command, Kind, Process as _, Session as _};

use super::case::{SOON, read_until, wait_until};
use super::{Case, Subject};
use test_servers::keys::random_secret;

super::table![
    twenty_commands_given_up_leave_a_session_that_works,
    giving_up_at_any_moment_harms_nobody,
    giving_up_does_not_disturb_a_neighbour,
];

/// How many processes of this machine have this in their command line.
fn running(marker: &str) -> usize {
    let Ok(entries) = fs::read_dir("/proc") else { return 0 };
    entries
        .flatten()
        .filter(|entry| {
            fs::read(entry.path().join("cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(marker))
        })
        .count()
}

/// Waits until no process has this in its command line. A server that loses commands leaves some
/// running.
fn all_have_ended<S: Subject>(case: &Case<S>, marker: &str) {
    let lost = if case.capabilities().keeps_commands_apart { 0 } else { 5 };
    wait_until("all of them have ended", || running(marker) <= lost);
}

/// Gives a command up; a server that has no slot free at the moment is no failure.
fn give_up<S: Subject>(case: &Case<S>, session: &S::Session, command: &Command, after: Duration) {
    if let Err(error) = case.again(|| case.subject.give_up(session, command, after)) {
        assert_eq!(error.kind(), Kind::ChannelRefused, "{error}");
    }
}

/// As many commands at once as can be used back to back, so that a slot which is lost shows.
fn has_its_slots<S: Subject>(case: &Case<S>, session: &S::Session) {
    if !case.capabilities().limits_sessions {
        return;
    }
    let start = Instant::now();
    loop {
        let hold = Command::new("echo held; exec sleep 600");
        let held: Result<Vec<_>, _> = (0..8).map(|_| session.spawn(&hold)).collect();
        match held {
            Ok(held) => {
                for process in &held {
                    read_until(process, "held\n");
                }
                return;
            }
            // sshd notices late that a slot is free.
            Err(error) if error.kind() == Kind::ChannelRefused && start.elapsed() < SOON => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(error) => panic!("slots are lost: {error}"),
        }
    }
}

fn twenty_commands_given_up_leave_a_session_that_works<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let marker = format!("marker={}", random_secret());
    // The shell stays, and the marker with it.
    let command = Command::new(format!(": {marker}; sleep 600; :"));
    for _ in 0..20 {
        give_up(case, &session, &command, Duration::from_millis(30));
    }
    all_have_ended(case, &marker);
    case.works(&session);
    has_its_slots(case, &session);
    assert!(session.is_alive());
}

fn giving_up_at_any_moment_harms_nobody<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let marker = format!("marker={}", random_secret());
    let line = format!(": {marker}; echo begun; sleep 600; :");
    let command = Command::new(line).stdin(vec![b'x'; 100_000]);
    for millis in [0, 1, 2, 3, 5, 8, 12, 20, 40, 0, 0, 0] {
        give_up(case, &session, &command, Duration::from_millis(millis));
    }
    all_have_ended(case, &marker);
    case.works(&session);
    has_its_slots(case, &session);
}

fn giving_up_does_not_disturb_a_neighbour<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let neighbour = case.spawn(&session, &Command::new("cat").stdin_piped());
    for number in 0..5 {
        give_up(case, &session, &Command::new("sleep 600"), Duration::from_millis(10));
        give_up(case, &session, &Command::new("exec cat /dev/zero"), Duration::from_millis(10));
        let line = format!("{number}\n");
        neighbour.write(line.as_bytes()).expect("written");
        assert_eq!(read_until(&neighbour, "\n"), line);
    }
    match neighbour.wait() {
        Ok(status) => assert!(status.success()),
        Err(error) => {
            assert!(!case.capabilities().keeps_commands_apart, "{error}");
            assert_eq!(error.kind(), Kind::NoExitStatus, "{error}");
        }
    }
    case.works(&session);
}
