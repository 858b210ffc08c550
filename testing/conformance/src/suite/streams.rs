//! Output that nobody reads: it holds up its own command and nobody else's.

use std::time::Duration;

use ssh_session::{Command, Process as _, Session as _};

use super::case::{numbers, read_all, refused, same, soon};
use super::{Case, Subject};

super::table![
    an_unread_process_does_not_hold_up_its_neighbours,
    several_unread_processes_keep_every_byte,
    a_slow_reader_gets_every_byte,
    an_unread_process_can_be_dropped,
];

/// Some 12 MB with `seq`.
const LAST: u32 = 1_600_000;

fn an_unread_process_does_not_hold_up_its_neighbours<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let process = case.spawn(&session, &Command::new(format!("seq 1 {LAST}")));
    // Time enough for every buffer to fill up.
    std::thread::sleep(Duration::from_millis(500));
    for _ in 0..5 {
        soon("a neighbour", || case.works(&session));
    }
    let output = case.exec(&session, &Command::new("head -c 3000000 /dev/zero"));
    assert_eq!(output.stdout.len(), 3_000_000);
    session.ping(super::case::SOON).expect("alive");
    same("what was unread", &read_all(&process).0, &numbers(LAST));
    assert!(process.wait().expect("a status").success());
    case.works(&session);
}

fn several_unread_processes_keep_every_byte<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let last = 500_000;
    let commands =
        [format!("seq 1 {last}"), format!("seq 1 {last} >&2"), format!("seq 1 {last}; exit 3")];
    let processes: Vec<_> =
        commands.iter().map(|line| case.spawn(&session, &Command::new(line))).collect();
    std::thread::sleep(Duration::from_millis(200));
    case.works(&session);
    let expected = numbers(last);
    // The last one first: the others stay unread meanwhile.
    for (number, process) in processes.into_iter().enumerate().rev() {
        let (stdout, stderr) = read_all(&process);
        let (full, empty) = if number == 1 { (stderr, stdout) } else { (stdout, stderr) };
        same("the stream", &full, &expected);
        assert!(empty.is_empty());
        assert_eq!(process.wait().expect("a status").code(), if number == 2 { 3 } else { 0 });
    }
}

fn a_slow_reader_gets_every_byte<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let process = case.spawn(&session, &Command::new("seq 1 400000"));
    let mut read = Vec::new();
    let mut rest = 100;
    while let Some(chunk) = process.read().expect("output") {
        read.extend_from_slice(chunk.bytes());
        if rest > 0 {
            rest -= 1;
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    same("what was read", &read, &numbers(400_000));
    assert!(process.wait().expect("a status").success());
}

fn an_unread_process_can_be_dropped<S: Subject>(case: &Case<S>) {
    let line = case.line();
    let flood = Command::new("exec cat /dev/zero");
    for _ in 0..3 {
        let begun_and_dropped = |session: &S::Session| {
            let process = session.spawn(&flood)?;
            std::thread::sleep(Duration::from_millis(100));
            soon("dropping it", || drop(process));
            Ok(())
        };
        line.again(begun_and_dropped).expect("spawned");
        // On the same session, but where the server dies of a channel closed in mid-output.
        let next = || line.again(|session| session.exec(&Command::new("echo next")));
        assert_eq!(soon("the next", next).expect("output").stdout_text(), Ok("next\n"));
    }
    let session = case.session();
    let limit = Duration::from_millis(800);
    let command = Command::new("exec cat /dev/zero").timeout(limit);
    let process = case.spawn(&session, &command);
    std::thread::sleep(limit + Duration::from_millis(100));
    // What came in before the deadline may be read or not; the end of it is an error.
    let error = soon("reading it", || {
        loop {
            match process.read() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("an end of what is endless"),
                Err(error) => break error,
            }
        }
    });
    refused::<()>(Err(error), ssh_session::Kind::Timeout);
    case.works(&session);
}
