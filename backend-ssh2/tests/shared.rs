//! Heartbeats of sessions that nobody uses, and of threads that end.

mod common;

use std::time::{Duration, Instant};

use backend_ssh2::Ssh2Session;
use common::{connect, embedded_options, sshd_options};
use ssh_session::{Command, KeepaliveOptions, Kind, Session as _};
use test_servers::sshd::Sshd;

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
