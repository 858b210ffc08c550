//! When a silent server is given up, and what is no silence.

use std::time::{Duration, Instant};

use ssh_session::{Command, KeepaliveOptions, Kind, Options, Process as _, Session as _};

use super::case::{read_until, refused, soon};
use super::{Case, Subject};

super::table![
    heartbeats_find_a_black_hole_under_a_command_and_not_before_their_time,
    what_a_command_writes_is_life_enough,
    a_slow_upload_is_no_silence,
];

const INTERVAL: Duration = Duration::from_millis(200);

/// Given up 600 ms after its last sign of life.
fn with_heartbeats(mut options: Options) -> Options {
    options.keepalive = KeepaliveOptions { interval: Some(INTERVAL), count_max: 2 };
    options
}

fn heartbeats_find_a_black_hole_under_a_command_and_not_before_their_time<S: Subject>(
    case: &Case<S>,
) {
    let (proxy, options) = case.proxy();
    let session = case.connect(&with_heartbeats(options));
    let process = session.spawn(&Command::new("echo begun; sleep 600")).expect("spawned");
    read_until(&process, "begun\n");
    let start = Instant::now();
    proxy.black_hole();
    let error = refused(soon("a read", || process.read()), Kind::ConnectionLost);
    // The third interval without an answer is the last.
    assert!(start.elapsed() > INTERVAL * 5 / 2, "{:?}", start.elapsed());
    assert!(error.may_have_started() && !session.is_alive());
}

fn what_a_command_writes_is_life_enough<S: Subject>(case: &Case<S>) {
    let (_proxy, options) = case.proxy();
    let session = case.connect(&with_heartbeats(options));
    let command = Command::new("for n in 1 2 3 4 5 6 7 8; do echo $n; sleep 0.15; done");
    assert_eq!(case.exec(&session, &command).stdout_lossy(), "1\n2\n3\n4\n5\n6\n7\n8\n");
    assert!(case.exec(&session, &Command::new("sleep 1.5")).success(), "answers are, too");
    assert!(session.is_alive());
}

fn a_slow_upload_is_no_silence<S: Subject>(case: &Case<S>) {
    let (proxy, options) = case.proxy();
    let session = case.connect(&with_heartbeats(options));
    // Three seconds, in which the line is never free.
    proxy.throttle(Some(8_000_000));
    let command = Command::new("cat >/dev/null").stdin(vec![b'x'; 24_000_000]);
    let output = case.again(|| session.exec(&command));
    assert!(output.expect("taken in").success());
    assert!(session.is_alive());
}
