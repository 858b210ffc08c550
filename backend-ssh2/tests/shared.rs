//! Many threads on one session, and sessions that die.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use backend_ssh2::{Ssh2Backend, Ssh2Session};
use common::{connect, embedded_options, on_both, sshd_options, within};
use pool_core::Backend as _;
use ssh_session::{Command, KeepaliveOptions, Kind, Session as _};
use test_servers::sshd::{PasswordUser, Sshd};

#[test]
fn five_threads_share_one_session_and_every_output_is_right() {
    on_both(|server, session| {
        let ran = within(Duration::from_secs(120), server, move || {
            let ran = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                for thread in 0..5 {
                    let (session, ran) = (&session, &ran);
                    scope.spawn(move || {
                        for number in 0..40 {
                            let size = 1 + (thread * 7919 + number * 104_729) % 300_000;
                            let command = Command::new(format!(
                                "echo {thread}-{number} >&2; head -c {size} /dev/zero; exit {number}"
                            ));
                            let output = session.exec(&command).expect("output");
                            assert_eq!(output.stderr_lossy(), format!("{thread}-{number}\n"));
                            assert_eq!(output.stdout.len(), size);
                            assert_eq!(output.status.code(), number as u32);
                            ran.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
            ran.into_inner()
        });
        assert_eq!(ran, 200, "{server}");
    });
}

#[test]
fn a_slow_command_does_not_delay_its_neighbour() {
    on_both(|server, session| {
        std::thread::scope(|scope| {
            let slow = scope.spawn(|| session.exec(&Command::new("sleep 2; echo slow")));
            std::thread::sleep(Duration::from_millis(200));
            let start = Instant::now();
            for _ in 0..5 {
                assert!(session.exec(&Command::new("true")).expect(server).success());
            }
            assert!(start.elapsed() < Duration::from_secs(1), "{server}: {:?}", start.elapsed());
            let output = slow.join().expect("no panic").expect(server);
            assert_eq!(output.stdout_text(), Ok("slow\n"));
        });
    });
}

#[test]
fn closing_wakes_whoever_waits() {
    on_both(|server, session| {
        let start = Instant::now();
        std::thread::scope(|scope| {
            let waiting: Vec<_> =
                (0..3).map(|_| scope.spawn(|| session.exec(&Command::new("sleep 60")))).collect();
            std::thread::sleep(Duration::from_millis(300));
            session.close();
            for waiting in waiting {
                let error = waiting.join().expect("no panic").expect_err("closed");
                assert_eq!(error.kind(), Kind::Closed, "{server}: {error}");
            }
        });
        assert!(start.elapsed() < Duration::from_secs(1), "{server}: {:?}", start.elapsed());
    });
}

#[test]
fn dead_sessions_are_noticed_without_asking_and_dropped_at_once() {
    let server = Sshd::start().expect("sshd");
    let backend = Ssh2Backend::new(sshd_options(&server)).expect("valid");
    let mut sessions: Vec<Arc<Ssh2Session>> =
        (0..4).map(|_| backend.connect().expect("connected")).collect();
    for session in &mut sessions {
        assert!(session.exec(&Command::new("true")).expect("output").success());
        assert!(!backend.is_broken(session));
    }
    // One with a command under way, one with a parked channel.
    sessions[1].ping(Duration::from_secs(5)).expect("alive");
    let error = std::thread::scope(|scope| {
        let running = scope.spawn(|| sessions[2].exec(&Command::new("sleep 60")));
        std::thread::sleep(Duration::from_millis(300));
        server.kill_sessions().expect("killed");
        running.join().expect("no panic").expect_err("gone")
    });
    assert_eq!(error.kind(), Kind::ConnectionLost);
    std::thread::sleep(Duration::from_millis(200));
    for session in &mut sessions {
        assert!(backend.is_broken(session));
    }
    let start = Instant::now();
    drop(sessions);
    assert!(start.elapsed() < Duration::from_millis(10), "{:?}", start.elapsed());
}

#[test]
fn commands_given_up_are_killed_and_the_session_is_clean_again() {
    let server = Sshd::start().expect("sshd");
    // sshd 9.2 signals commands of all users but root.
    let user = PasswordUser::create().expect("a user; run the tests as root");
    let backend = Ssh2Backend::new(common::user_options(&server, &user)).expect("valid");
    let mut session = backend.connect().expect("connected");
    for _ in 0..15 {
        let command = Command::new("sleep 600").timeout(Duration::from_millis(100));
        assert_eq!(session.exec(&command).expect_err("timeout").kind(), Kind::Timeout);
        if backend.needs_reset(&mut session) {
            backend.reset(&mut session).expect("clean");
        }
        assert!(!backend.needs_reset(&mut session));
        backend.check(&mut session).expect("alive");
    }
}

#[test]
fn a_command_that_cannot_be_killed_is_not_waited_for_and_hurts_nobody() {
    let server = Sshd::start().expect("sshd");
    let backend = Ssh2Backend::new(sshd_options(&server)).expect("valid");
    let mut session = backend.connect().expect("connected");
    // Out of its group, so no signal reaches it, and holding on to the command's streams.
    let command = Command::new("exec setsid sleep 600").timeout(Duration::from_millis(100));
    assert_eq!(session.exec(&command).expect_err("timeout").kind(), Kind::Timeout);
    assert!(session.exec(&Command::new("true")).expect("which hurts nobody").success());
    let start = Instant::now();
    let settled = backend.reset(&mut session);
    assert!(start.elapsed() < Duration::from_millis(1300), "{:?}", start.elapsed());
    assert_eq!(settled.is_err(), backend.needs_reset(&mut session));
    assert!(!backend.is_broken(&mut session), "others may be at work on it");
    assert!(session.exec(&Command::new("true")).expect("as before").success());
}

#[test]
fn heartbeats_find_a_stopped_server_under_a_running_command() {
    let server = Sshd::start().expect("sshd");
    let mut options = sshd_options(&server);
    let interval = Duration::from_millis(300);
    options.keepalive = KeepaliveOptions { interval: Some(interval), count_max: 2 };
    let session = connect(&options);
    // A command that lives longer than the heartbeats' patience, on a server that answers.
    let output = session.exec(&Command::new("sleep 2; echo alive")).expect("output");
    assert_eq!(output.stdout_text(), Ok("alive\n"));

    let pid = session.exec(&Command::new("echo $PPID")).expect("output");
    let pid = pid.stdout_lossy().trim().to_owned();
    let signal = |name: &str| {
        let sent = std::process::Command::new("kill").args([name, &pid]).status();
        assert!(sent.expect("kill").success());
    };
    let (error, elapsed) = std::thread::scope(|scope| {
        let running = scope.spawn(|| session.exec(&Command::new("sleep 60")));
        std::thread::sleep(Duration::from_millis(200));
        let start = Instant::now();
        signal("-STOP");
        let error = running.join().expect("no panic").expect_err("silent");
        (error, start.elapsed())
    });
    signal("-CONT");
    assert_eq!(error.kind(), Kind::ConnectionLost, "{error}");
    println!("stopped server found after {elapsed:?}");
    assert!(elapsed > interval * 2 && elapsed < interval * 3 + Duration::from_millis(200));
}

#[test]
fn an_idle_session_is_kept_alive_by_one_thread_and_found_dead_by_it() {
    let server = test_servers::embedded::EmbeddedServer::start().expect("embedded server");
    let mut options = embedded_options(&server);
    let interval = Duration::from_millis(200);
    options.keepalive = KeepaliveOptions { interval: Some(interval), count_max: 2 };
    let sessions: Vec<_> = (0..3).map(|_| connect(&options)).collect();
    std::thread::sleep(Duration::from_secs(2));
    for session in &sessions {
        assert!(session.exec(&Command::new("true")).expect("alive").success());
    }
    server.kill_connections();
    std::thread::sleep(Duration::from_millis(600));
    for session in &sessions {
        assert!(!session.is_alive());
    }
}

#[test]
fn a_server_that_never_stops_sending_keeps_nobody_from_leaving() {
    on_both(|server, session| {
        let command =
            Command::new("cat /dev/zero").timeout(Duration::from_secs(1)).max_output(None);
        let elapsed = within(Duration::from_secs(30), server, move || {
            let start = Instant::now();
            let error = session.exec(&command).expect_err("endless");
            assert_eq!(error.kind(), Kind::Timeout, "{error}");
            start.elapsed()
        });
        assert!(elapsed < Duration::from_secs(2), "{server}: {elapsed:?}");
    });
}

#[test]
fn closing_does_not_wait_for_a_flood_to_end() {
    on_both(|server, session| {
        let session = Arc::new(session);
        let running = Arc::clone(&session);
        let flood = std::thread::spawn(move || {
            running.exec(&Command::new("cat /dev/zero").max_output(None))
        });
        std::thread::sleep(Duration::from_millis(500));
        let elapsed = within(Duration::from_secs(30), server, move || {
            let start = Instant::now();
            assert!(session.is_alive());
            session.close();
            start.elapsed()
        });
        assert!(elapsed < Duration::from_secs(1), "{server}: {elapsed:?}");
        let error = flood.join().expect("no panic").expect_err("closed");
        assert_eq!(error.kind(), Kind::Closed, "{server}: {error}");
    });
}

#[test]
fn a_session_in_a_thread_local_ends_with_its_thread() {
    thread_local! {
        static SESSION: std::cell::RefCell<Option<Ssh2Session>> =
            const { std::cell::RefCell::new(None) };
    }
    let server = Sshd::start().expect("sshd");
    let options = sshd_options(&server);
    std::thread::spawn(move || {
        SESSION.with_borrow_mut(|kept| {
            let session = kept.insert(connect(&options));
            // Leaves a channel open, so that there is something to wait for.
            session.ping(Duration::from_secs(5)).expect("alive");
        });
    })
    .join()
    .expect("the thread, and with it the process, ends well");
}
