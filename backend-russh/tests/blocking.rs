//! Sessions for callers that wait, on any thread.

mod common;

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use backend_russh::blocking::{BlockingBackend, BlockingSession};
use common::{as_user, embedded_options, sshd_options};
use pool_core::{Backend as _, Config, Pool};
use ssh_session::{Chunk, Command, ExitStatus, Kind, Process as _, Session as _};
use test_servers::embedded::EmbeddedServer;
use test_servers::sshd::{PasswordUser, Sshd};

fn echo(session: &BlockingSession, word: &str) {
    let output = session.exec(&Command::new(format!("echo {word}"))).expect("output");
    assert_eq!(output.stdout_lossy(), format!("{word}\n"));
}

#[test]
fn many_threads_share_sessions_and_two_threads_drive_them() {
    let server = Sshd::start().expect("sshd");
    let options = sshd_options(&server);
    let sessions: Vec<_> =
        (0..3).map(|_| BlockingSession::connect(&options).expect("connected")).collect();
    thread::scope(|scope| {
        for thread in 0..12 {
            let session = &sessions[thread % sessions.len()];
            scope.spawn(move || {
                for number in 0..20 {
                    echo(session, &format!("{thread}-{number}"));
                }
            });
        }
    });
    let mut names = BTreeSet::new();
    let mut drivers = 0;
    for task in std::fs::read_dir("/proc/self/task").expect("Linux") {
        let name = std::fs::read_to_string(task.expect("a task").path().join("comm"));
        let name = name.unwrap_or_default();
        drivers += usize::from(name.trim() == "hussh-russh");
        names.insert(name);
    }
    // Its workers, and those that read keys and known_hosts and end when idle.
    assert!((2..20).contains(&drivers), "{drivers} of {names:?}");
}

#[test]
fn it_works_on_threads_of_other_runtimes() {
    let server = EmbeddedServer::start().expect("embedded server");
    let options = embedded_options(&server);
    let use_it = move || {
        let session = BlockingSession::connect(&options).expect("connected");
        echo(&session, "inside");
        session.ping(Duration::from_secs(5)).expect("alive");
        let process = session.spawn(&Command::new("cat").stdin_piped()).expect("spawned");
        process.write(b"through").expect("written");
        assert_eq!(process.read().expect("read"), Some(Chunk::Stdout("through".into())));
        assert_eq!(process.wait().expect("status"), ExitStatus::Code(0));
        let dropped = session.spawn(&Command::new("sleep 600")).expect("spawned");
        drop(dropped);
        session
    };
    let of_one_thread = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let outlives = of_one_thread.block_on(async { use_it() });
    drop(of_one_thread);
    echo(&outlives, "after");
    let of_many = tokio::runtime::Runtime::new().expect("a runtime");
    let tasks: Vec<_> = (0..2)
        .map(|_| {
            let use_it = use_it.clone();
            of_many.spawn(async move { use_it() })
        })
        .collect();
    for task in tasks {
        echo(&of_many.block_on(task).expect("no panic"), "from a task");
    }
    drop(of_many);
    echo(&thread::spawn(use_it).join().expect("no panic"), "from a thread");
}

#[test]
fn a_deadline_ends_the_call_on_time_and_the_session_goes_on() {
    let server = Sshd::start().expect("sshd");
    let user = PasswordUser::create().expect("a user; run the tests as root");
    let session = BlockingSession::connect(&as_user(&server, &user)).expect("connected");
    let limit = Duration::from_millis(300);
    for _ in 0..5 {
        let start = Instant::now();
        let command = Command::new("echo begun; sleep 600").timeout(limit);
        let error = session.exec(&command).expect_err("timeout");
        assert_eq!(error.kind(), Kind::Timeout, "{error}");
        assert_eq!(&error.partial_output().expect("output").stdout[..], b"begun\n");
        let process = session.spawn(&command).expect("spawned");
        assert!(process.read().expect("output").is_some());
        assert_eq!(process.read().expect_err("timeout").kind(), Kind::Timeout);
        assert_eq!(process.wait().expect_err("timeout").kind(), Kind::Timeout);
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        echo(&session, "next");
    }
}

#[test]
fn one_thread_writes_while_another_reads() {
    let server = EmbeddedServer::start().expect("embedded server");
    let session = BlockingSession::connect(&embedded_options(&server)).expect("connected");
    let process = session.spawn(&Command::new("cat").stdin_piped()).expect("spawned");
    let length = thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..100 {
                process.write(&[b'x'; 100_000]).expect("written");
            }
            process.close_stdin().expect("closed");
        });
        let mut length = 0;
        while let Some(chunk) = process.read().expect("read") {
            length += chunk.bytes().len();
        }
        length
    });
    assert_eq!(length, 10_000_000);
    assert!(process.wait().expect("status").success());
}

#[test]
fn dropping_never_waits_whatever_runs() {
    let server = Sshd::start().expect("sshd");
    let session = BlockingSession::connect(&sshd_options(&server)).expect("connected");
    let running = session.spawn(&Command::new("sleep 600")).expect("spawned");
    let start = Instant::now();
    drop(running);
    drop(session);
    assert!(start.elapsed() < Duration::from_millis(200), "{:?}", start.elapsed());

    let session = BlockingSession::connect(&sshd_options(&server)).expect("connected");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| session.exec(&Command::new("sleep 600")));
        thread::sleep(Duration::from_millis(300));
        session.close();
        let error = waiting.join().expect("no panic").expect_err("closed");
        assert_eq!(error.kind(), Kind::Closed, "{error}");
    });
    assert!(!session.is_alive());
}

#[test]
fn a_pool_lends_blocking_sessions_and_replaces_dead_ones() {
    let server = EmbeddedServer::start().expect("embedded server");
    let backend = BlockingBackend::new(embedded_options(&server)).expect("valid");
    let pool = Pool::new(backend, Config::builder().max_size(3).build().expect("valid"));
    let run = || {
        thread::scope(|scope| {
            for number in 0..8 {
                let pool = &pool;
                scope.spawn(move || {
                    for _ in 0..5 {
                        echo(&pool.get().expect("a session"), &number.to_string());
                    }
                });
            }
        });
    };
    run();
    assert!(server.connections() <= 3, "{}", server.connections());
    server.kill_connections();
    thread::sleep(Duration::from_millis(100));
    run();
    pool.close().expect("closed");
    let soon = Duration::from_secs(3);
    server.wait_for(soon, |server| server.open_sessions() == 0).expect("nothing left");
}

#[test]
fn a_command_given_up_is_reset_at_once() {
    let server = Sshd::start().expect("sshd");
    let user = PasswordUser::create().expect("a user; run the tests as root");
    let backend = BlockingBackend::new(as_user(&server, &user)).expect("valid");
    let mut session = backend.connect().expect("connected");
    for _ in 0..12 {
        drop(session.spawn(&Command::new("sleep 600")).expect("spawned"));
        assert!(backend.needs_reset(&mut session));
        backend.reset(&mut session).expect("clean");
        assert!(!backend.needs_reset(&mut session) && !backend.is_broken(&mut session));
        backend.check(&mut session).expect("alive");
    }
    backend.close(session);
}
