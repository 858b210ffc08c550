//! When a silent server is given up, and what is no silence.

use std::time::{Duration, Instant};

use ssh_session::{Chunk, Command, KeepaliveOptions, Kind, Options, Process as _, Session as _};

use test_servers::proxy::Direction;

use super::case::{read_until, refused, soon};
use super::{Case, Subject};

super::table![
    heartbeats_find_a_black_hole_under_a_command_and_not_before_their_time,
    what_a_command_writes_is_life_enough,
    a_slow_upload_is_no_silence,
    output_that_waits_for_its_reader_is_life_enough,
    nothing_is_asked_while_something_comes,
    an_idle_session_is_asked_once_per_interval,
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

/// A reader that takes its time holds up what comes, and the answers to heartbeats behind it.
fn output_that_waits_for_its_reader_is_life_enough<S: Subject>(case: &Case<S>) {
    let (_proxy, mut options) = case.proxy();
    let interval = Duration::from_secs(1);
    options.keepalive = KeepaliveOptions { interval: Some(interval), count_max: 1 };
    let session = case.connect(&options);
    let mut seen = 0;
    let status = session.stream(&Command::new("yes | head -c 24000000"), |chunk| {
        if seen == 0 {
            std::thread::sleep(interval * 5 / 2);
        }
        let (Chunk::Stdout(bytes) | Chunk::Stderr(bytes)) = chunk;
        seen += bytes.len();
    });
    assert!(status.expect("read to its end").success());
    assert_eq!(seen, 24_000_000);
}

fn nothing_is_asked_while_something_comes<S: Subject>(case: &Case<S>) {
    let (proxy, mut options) = case.proxy();
    options.keepalive = KeepaliveOptions { interval: Some(Duration::from_secs(1)), count_max: 2 };
    let session = case.connect(&options);
    let command = "for n in 1 2 3 4 5 6 7 8 9 10 11 12; do echo $n; sleep 0.2; done; sleep 600";
    let process = session.spawn(&Command::new(command)).expect("spawned");
    // By now the channel that is kept ahead is open, too.
    read_until(&process, "3\n");
    let sent = proxy.bytes(Direction::ToServer);
    read_until(&process, "12\n");
    assert_eq!(proxy.bytes(Direction::ToServer) - sent, 0, "bytes to the server");
}

/// A reply that is found late, at the next look, must not put off the next heartbeat.
fn an_idle_session_is_asked_once_per_interval<S: Subject>(case: &Case<S>) {
    let (proxy, mut options) = case.proxy();
    let interval = Duration::from_millis(150);
    options.keepalive = KeepaliveOptions { interval: Some(interval), count_max: 3 };
    let session = case.connect(&options);
    let (start, mut asked, mut last) = (Instant::now(), 0, Instant::now());
    let mut sent = proxy.bytes(Direction::ToServer);
    while start.elapsed() < interval * 15 {
        std::thread::sleep(Duration::from_millis(5));
        let now = proxy.bytes(Direction::ToServer);
        // One heartbeat may be two packets.
        if now > sent && last.elapsed() > interval / 3 {
            (asked, last) = (asked + 1, Instant::now());
        }
        sent = now;
    }
    assert!((10..=16).contains(&asked), "{asked} heartbeats in 15 intervals");
    assert!(session.is_alive());
}
