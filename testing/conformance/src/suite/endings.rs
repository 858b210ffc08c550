//! Sessions that are closed or dead, and servers that die.

use std::thread;
use std::time::{Duration, Instant};

use ssh_session::{Command, Kind, Process, Session, SshError};

use super::case::{SOON, at_once, read_until, refused, soon, wait_until};
use super::{Case, Setup, Subject};

super::table![
    a_server_killed_in_mid_command_is_never_a_success,
    a_dead_session_says_so_on_every_method,
    a_closed_session_says_so_on_every_method,
    closing_wakes_whoever_waits,
    closing_does_not_wait_for_a_flood,
    a_server_that_came_back_is_a_new_session,
];

/// Every method of a session, and what it says when it is over.
fn every_method(session: &impl Session, kind: Kind) {
    session.target();
    assert!(!session.is_alive());
    for _ in 0..2 {
        let errors: [SshError; 4] = [
            refused(soon("exec", || session.exec(&Command::new("true"))), kind),
            refused(
                soon("exec with input", || {
                    session.exec(&Command::new("cat").stdin("input").timeout(SOON))
                }),
                kind,
            ),
            refused(soon("spawn", || session.spawn(&Command::new("true"))), kind),
            refused(soon("ping", || session.ping(Duration::from_secs(1))), kind),
        ];
        for error in errors {
            assert!(!error.may_have_started(), "{error}");
        }
    }
}

/// Every method of a process whose session is over.
fn every_method_of_a_process(process: impl Process, kind: Kind) {
    for _ in 0..2 {
        // What had come in before may be read.
        let error = soon("read", || {
            loop {
                match process.read() {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("an end of a command that had none"),
                    Err(error) => break error,
                }
            }
        });
        assert_eq!(error.kind(), kind, "{error}");
        refused(soon("write", || process.write(&[b'x'; 100_000])), kind);
        refused(soon("close", || process.close_stdin()), kind);
        refused(soon("signal", || process.signal("TERM")), kind);
    }
    refused(soon("wait", || process.wait()), kind);
}

fn a_server_killed_in_mid_command_is_never_a_success<S: Subject>(case: &Case<S>) {
    let server = case.server(&Setup::default());
    for input in [0, 5_000_000] {
        let session = case.connect(&server.options());
        let command = Command::new("echo begun; sleep 600; echo end").stdin(vec![b'x'; input]);
        let (result, ()) = at_once(
            || session.exec(&command),
            || {
                thread::sleep(Duration::from_millis(500));
                server.kill_sessions();
            },
        );
        let error = refused(result, Kind::ConnectionLost);
        assert_eq!(&error.partial_output().expect("output").stdout[..], b"begun\n");
        assert!(error.may_have_started() && !error.is_retryable());
        wait_until("it is known to be dead", || !session.is_alive());
    }
    // In the middle of output, too.
    let session = case.connect(&server.options());
    let (result, ()) = at_once(
        || session.exec(&Command::new("cat /dev/zero").max_output(None)),
        || {
            thread::sleep(Duration::from_millis(300));
            server.kill_sessions();
        },
    );
    let error = refused(result, Kind::ConnectionLost);
    assert!(!error.partial_output().expect("output").stdout.is_empty());
}

fn a_dead_session_says_so_on_every_method<S: Subject>(case: &Case<S>) {
    let server = case.server(&Setup::default());
    let [fresh, used, pinged, running] = [(); 4].map(|()| case.connect(&server.options()));
    case.works(&used);
    pinged.ping(SOON).expect("alive");
    let process =
        running.spawn(&Command::new("echo begun; sleep 600").stdin_piped()).expect("spawned");
    read_until(&process, "begun\n");
    server.kill_sessions();
    every_method_of_a_process(process, Kind::ConnectionLost);
    for session in [fresh, used, pinged, running] {
        wait_until("it is known to be dead", || !session.is_alive());
        every_method(&session, Kind::ConnectionLost);
        session.close();
        session.close();
        let start = Instant::now();
        drop(session);
        assert!(start.elapsed() < Duration::from_secs(2), "dropped in {:?}", start.elapsed());
    }
}

fn a_closed_session_says_so_on_every_method<S: Subject>(case: &Case<S>) {
    let [fresh, used, running] = [(); 3].map(|()| case.session());
    case.works(&used);
    used.ping(SOON).expect("alive");
    let process =
        running.spawn(&Command::new("echo begun; sleep 600").stdin_piped()).expect("spawned");
    read_until(&process, "begun\n");
    for session in [&fresh, &used, &running] {
        soon("close", || session.close());
        session.close();
        every_method(session, Kind::Closed);
    }
    every_method_of_a_process(process, Kind::Closed);
    for session in [fresh, used, running] {
        soon("drop", || drop(session));
    }
}

fn closing_wakes_whoever_waits<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let process = case.spawn(&session, &Command::new("cat").stdin_piped());
    soon("all of it", || {
        thread::scope(|scope| {
            let exec = scope.spawn(|| session.exec(&Command::new("sleep 600")).map(drop));
            let read = scope.spawn(|| process.read().map(drop));
            thread::sleep(Duration::from_millis(300));
            session.close();
            for waiting in [exec, read] {
                let result = waiting.join().expect("no panic");
                let error = refused(result, Kind::Closed);
                assert!(error.may_have_started(), "both run: {error}");
            }
        });
    });
    refused(process.wait(), Kind::Closed);
}

fn closing_does_not_wait_for_a_flood<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let (result, ()) = at_once(
        || session.exec(&Command::new("cat /dev/zero").max_output(None)),
        || {
            thread::sleep(Duration::from_millis(300));
            assert!(session.is_alive());
            soon("close", || session.close());
        },
    );
    let error = refused(result, Kind::Closed);
    assert!(!error.is_retryable());
}

fn a_server_that_came_back_is_a_new_session<S: Subject>(case: &Case<S>) {
    let server = case.server(&Setup::default());
    let old = case.connect(&server.options());
    case.works(&old);
    server.kill_sessions();
    let new = case.connect(&server.options());
    case.works(&new);
    refused(old.exec(&Command::new("true")), Kind::ConnectionLost);
    case.works(&new);
}
