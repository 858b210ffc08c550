//! More commands at once than the server opens channels for: they wait for each other.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use ssh_session::{Command, Kind, Process as _, Session as _, SshError};

use super::case::{SOON, read_until, refused, soon, wait_until};
use super::{Case, Server, Setup, Subject};

super::table![
    thirty_commands_at_once_all_run,
    thirty_processes_at_once_all_run,
    commands_wait_in_the_order_they_came,
    a_deadline_ends_the_waiting,
    a_command_given_up_leaves_the_queue,
    a_connection_that_dies_ends_the_waiting,
    a_session_that_is_closed_ends_the_waiting,
];

/// As many as sshd opens by default.
const MAX_SESSIONS: usize = 10;

/// Something that holds a channel until its input ends.
fn hold() -> Command {
    Command::new("echo held; cat").stdin_piped()
}

/// A server of one channel, a session on it, and the process that has it; or nothing where the
/// server has more of them.
fn with_one_channel_held<S: Subject>(
    case: &Case<S>,
    work: impl FnOnce(&Server, &S::Session, <S::Session as ssh_session::Session>::Process<'_>),
) {
    let server = case.server(&Setup { max_sessions: Some(1), ..Setup::default() });
    let session = case.connect(&server.options());
    if !case.capabilities().limits_sessions {
        return case.works(&session);
    }
    case.works(&session);
    let held = case.spawn(&session, &hold());
    read_until(&held, "held\n");
    work(&server, &session, held);
}

fn thirty_commands_at_once_all_run<S: Subject>(case: &Case<S>) {
    let server = case.server(&Setup { max_sessions: Some(MAX_SESSIONS), ..Setup::default() });
    let session = case.connect(&server.options());
    let barrier = Barrier::new(30);
    thread::scope(|scope| {
        for number in 0..30 {
            let (session, barrier) = (&session, &barrier);
            scope.spawn(move || {
                barrier.wait();
                let command = Command::new(format!("sleep 0.2; echo {number}")).timeout(SOON * 2);
                let output = case.again(|| session.exec(&command));
                let output = output.unwrap_or_else(|error| panic!("{number}: {error}"));
                assert_eq!(output.stdout_text(), Ok(&*format!("{number}\n")));
            });
        }
    });
    assert!(!session.has_waiting_commands() && session.is_alive());
    case.works(&session);
}

fn thirty_processes_at_once_all_run<S: Subject>(case: &Case<S>) {
    let server = case.server(&Setup { max_sessions: Some(MAX_SESSIONS), ..Setup::default() });
    let session = case.connect(&server.options());
    thread::scope(|scope| {
        for _ in 0..30 {
            let session = &session;
            scope.spawn(move || {
                let status = case.again(|| {
                    let process = session.spawn(&hold().timeout(SOON * 2))?;
                    read_until(&process, "held\n");
                    thread::sleep(Duration::from_millis(100));
                    process.close_stdin()?;
                    process.wait()
                });
                assert!(status.expect("its end").success());
            });
        }
    });
    case.works(&session);
}

fn commands_wait_in_the_order_they_came<S: Subject>(case: &Case<S>) {
    with_one_channel_held(case, |_, session, held| {
        let started: Vec<u128> = thread::scope(|scope| {
            let waiting: Vec<_> = (0..6)
                .map(|_| {
                    let command = Command::new("date +%s%N").timeout(SOON);
                    let waiting = scope.spawn(move || session.exec(&command));
                    thread::sleep(Duration::from_millis(150));
                    waiting
                })
                .collect();
            assert!(session.has_waiting_commands());
            assert!(held.wait().expect("its end").success());
            let outputs = waiting.into_iter().map(|waiting| waiting.join().expect("no panic"));
            let time = |output: ssh_session::Output| {
                output.stdout_text().expect("text").trim().parse().expect("a time")
            };
            outputs.map(|output| time(output.expect("its turn"))).collect()
        });
        assert!(started.is_sorted(), "{started:?}");
        assert!(!session.has_waiting_commands());
    });
}

fn a_deadline_ends_the_waiting<S: Subject>(case: &Case<S>) {
    with_one_channel_held(case, |_, session, held| {
        let limit = Duration::from_millis(400);
        for _ in 0..2 {
            let start = Instant::now();
            let late = Command::new("echo run").timeout(limit);
            let error = refused(session.exec(&late), Kind::Timeout);
            assert!(start.elapsed() >= limit, "{:?}", start.elapsed());
            assert!(!error.may_have_started(), "{error}");
            let error = refused(soon("it", || session.spawn(&late)), Kind::Timeout);
            assert!(!error.may_have_started(), "{error}");
        }
        assert!(!session.has_waiting_commands(), "all have left");
        assert!(held.wait().expect("its end").success());
        case.works(session);
    });
}

fn a_command_given_up_leaves_the_queue<S: Subject>(case: &Case<S>) {
    with_one_channel_held(case, |_, session, held| {
        let (waits, limit) = (Duration::from_secs(2), Duration::from_secs(3));
        thread::scope(|scope| {
            // Where calls can't be given up, a deadline does the same.
            scope.spawn(|| {
                let command = Command::new("touch /nobody/wants/it").timeout(limit);
                if let Err(error) = case.subject.give_up(session, &command, waits) {
                    assert_eq!(error.kind(), Kind::Timeout, "{error}");
                }
            });
            wait_until("it waits", || session.has_waiting_commands());
            wait_until("it has left", || !session.has_waiting_commands());
        });
        let next = thread::scope(|scope| {
            let next = scope.spawn(|| session.exec(&Command::new("echo next").timeout(SOON)));
            wait_until("it waits", || session.has_waiting_commands());
            assert!(held.wait().expect("its end").success());
            next.join().expect("no panic")
        });
        assert_eq!(next.expect("its turn").stdout_text(), Ok("next\n"));
    });
}

/// That those who wait are told at once when the session ends, and that they have not started.
fn ends_the_waiting<S: Subject>(
    case: &Case<S>,
    kind: Kind,
    end: impl FnOnce(&Server, &S::Session),
) {
    with_one_channel_held(case, |server, session, held| {
        let check = |result: Result<(), SshError>| {
            let error = refused(result, kind);
            assert!(!error.may_have_started(), "{error}");
        };
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| check(session.exec(&Command::new("echo run")).map(drop)));
                scope.spawn(|| check(session.spawn(&Command::new("echo run")).map(drop)));
            }
            wait_until("they wait", || session.has_waiting_commands());
            thread::sleep(Duration::from_millis(200));
            soon("the end", || end(server, session));
        });
        drop(held);
        assert!(!session.is_alive());
    });
}

fn a_connection_that_dies_ends_the_waiting<S: Subject>(case: &Case<S>) {
    ends_the_waiting(case, Kind::ConnectionLost, |server, _| server.kill_sessions());
}

fn a_session_that_is_closed_ends_the_waiting<S: Subject>(case: &Case<S>) {
    ends_the_waiting(case, Kind::Closed, |_, session| session.close());
}
