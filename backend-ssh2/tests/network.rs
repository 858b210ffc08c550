//! What networks do to sessions: silence, cuts and resets.

mod common;

use std::time::{Duration, Instant};

use backend_ssh2::{Ssh2Backend, Ssh2Session};
use common::{connect, embedded_options, within};
use pool_core::Backend as _;
use ssh_session::{Command, KeepaliveOptions, Kind, Options, Session as _, SshError};
use test_servers::embedded::EmbeddedServer;
use test_servers::proxy::{Direction, FaultProxy};

/// The embedded server behind a proxy, and options that lead there.
fn behind_proxy() -> (EmbeddedServer, FaultProxy, Options) {
    let server = EmbeddedServer::start().expect("embedded server");
    let proxy = FaultProxy::start(server.addr()).expect("proxy");
    let mut options = embedded_options(&server);
    options.target =
        common::target(&proxy.addr().ip().to_string(), proxy.port(), options.target.user());
    (server, proxy, options)
}

/// Runs a command that prints and then sleeps, does something to the network once the output is
/// there, and says how the call ended and how long after.
fn in_mid_command(
    session: Ssh2Session,
    command: Command,
    strike: impl FnOnce(),
) -> (SshError, Duration, Ssh2Session) {
    let session = std::sync::Arc::new(session);
    let running = std::sync::Arc::clone(&session);
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let result = running.exec(&command);
        drop(running);
        sender.send(result)
    });
    std::thread::sleep(Duration::from_millis(300));
    let start = Instant::now();
    strike();
    let result = receiver.recv_timeout(Duration::from_secs(20)).expect("the call ends");
    let elapsed = start.elapsed();
    let session = std::sync::Arc::into_inner(session).expect("the thread is done with it");
    (result.expect_err("no status arrived"), elapsed, session)
}

fn assert_ran(error: &SshError, kind: Kind) {
    assert_eq!(error.kind(), kind, "{error}");
    assert_eq!(&error.partial_output().expect("output").stdout[..], b"begun\n");
    assert!(error.may_have_started() && !error.is_retryable());
}

fn drops_at_once(session: impl Send + 'static) {
    let elapsed = within(Duration::from_secs(20), "drop", move || {
        let start = Instant::now();
        drop(session);
        start.elapsed()
    });
    assert!(elapsed < Duration::from_secs(2), "dropped in {elapsed:?}");
}

#[test]
fn heartbeats_find_a_black_hole_under_a_running_command() {
    let (_server, proxy, mut options) = behind_proxy();
    let interval = Duration::from_millis(300);
    options.keepalive = KeepaliveOptions { interval: Some(interval), count_max: 2 };
    let command = Command::new("echo begun; sleep 600");
    let (error, elapsed, session) =
        in_mid_command(connect(&options), command, || proxy.black_hole());
    assert_ran(&error, Kind::ConnectionLost);
    println!("black hole found after {elapsed:?}");
    assert!(elapsed > interval && elapsed < interval * 3 + Duration::from_millis(500));
    assert!(!session.is_alive());
    drops_at_once(session);
}

#[test]
fn heartbeats_find_a_black_hole_under_a_session_that_nobody_uses() {
    let (_server, proxy, mut options) = behind_proxy();
    let interval = Duration::from_millis(200);
    options.keepalive = KeepaliveOptions { interval: Some(interval), count_max: 3 };
    let backend = Ssh2Backend::new(options).expect("valid");
    let [held, used] = [(); 2].map(|()| backend.connect().expect("connected"));
    assert!(used.exec(&Command::new("true")).expect("output").success());
    std::thread::sleep(interval * 6);
    assert!(held.is_alive() && used.is_alive());
    proxy.black_hole();
    let start = Instant::now();
    let found = [held, used].map(|session| {
        while session.is_alive() {
            assert!(start.elapsed() < Duration::from_secs(10), "not found");
            std::thread::sleep(Duration::from_millis(5));
        }
        drops_at_once(session);
        start.elapsed()
    });
    println!("found after {found:?}");
    for found in found {
        assert!(found > interval * 3 - Duration::from_millis(10), "{found:?}");
        assert!(found < interval * 4 + Duration::from_millis(500), "{found:?}");
    }
}

#[test]
fn without_heartbeats_a_black_hole_ends_at_the_commands_own_deadline() {
    let (_server, proxy, options) = behind_proxy();
    let command = Command::new("echo begun; sleep 600").timeout(Duration::from_millis(1300));
    let (error, elapsed, session) =
        in_mid_command(connect(&options), command, || proxy.black_hole());
    assert_ran(&error, Kind::Timeout);
    let bounds = Duration::from_millis(900)..Duration::from_millis(1800);
    assert!(bounds.contains(&elapsed), "{elapsed:?}");
    drops_at_once(session);
}

#[test]
fn idle_sessions_in_a_black_hole_are_dropped_and_closed_at_once() {
    let (_server, proxy, options) = behind_proxy();
    let [fresh, used, parked] = [(); 3].map(|()| connect(&options));
    assert!(used.exec(&Command::new("true")).expect("output").success());
    parked.ping(Duration::from_secs(5)).expect("alive");
    proxy.black_hole();
    let error = used.ping(Duration::from_millis(200)).expect_err("silence");
    assert_eq!(error.kind(), Kind::Timeout, "{error}");
    let command = Command::new("true").timeout(Duration::from_millis(200));
    assert_eq!(parked.exec(&command).expect_err("silence").kind(), Kind::Timeout);
    fresh.close();
    for session in [fresh, used, parked] {
        assert!(!session.is_alive());
        drops_at_once(session);
    }
}

#[test]
fn a_black_hole_in_the_handshake_ends_at_the_connect_timeout() {
    let (_server, proxy, mut options) = behind_proxy();
    options.connect_timeout = Duration::from_millis(700);
    let timed_out = |options: &Options| {
        let start = Instant::now();
        let error = Ssh2Session::connect(options).expect_err("silence");
        assert_eq!(error.kind(), Kind::Timeout, "{error}");
        let bounds = Duration::from_millis(690)..Duration::from_millis(1300);
        assert!(bounds.contains(&start.elapsed()), "{:?}", start.elapsed());
    };
    proxy.black_hole();
    timed_out(&options);
    proxy.resume();
    // Our banner arrives, nothing comes back.
    proxy.black_hole_towards(Direction::ToClient);
    timed_out(&options);
    proxy.resume();
    // The server's banner arrives, nothing of ours.
    proxy.black_hole_towards(Direction::ToServer);
    timed_out(&options);
    proxy.resume();
    // A trickle keeps no one waiting longer.
    proxy.throttle(Some(100));
    timed_out(&options);
    proxy.heal().expect("healed");
    drop(connect(&options));
}
