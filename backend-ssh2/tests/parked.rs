//! The channel that a session keeps open for the next command.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use backend_ssh2::{Ssh2Backend, Ssh2Session};
use common::{connect, sshd_options, within};
use pool_core::Backend as _;
use ssh_session::{Command, Kind, Options, Process as _, Session as _};
use test_servers::embedded::EmbeddedServer;
use test_servers::proxy::FaultProxy;
use test_servers::sshd::Sshd;

const PATIENCE: Duration = Duration::from_secs(120);

fn sshd(max_sessions: usize) -> (Sshd, Options) {
    let server = Sshd::builder().max_sessions(max_sessions).start().expect("sshd");
    let options = sshd_options(&server);
    (server, options)
}

/// Options that lead to the server through a proxy.
fn through(proxy: &FaultProxy, mut options: Options) -> Options {
    options.target =
        common::target(&proxy.addr().ip().to_string(), proxy.port(), options.target.user());
    options
}

fn echo(session: &Ssh2Session, text: &str) {
    let output = session.exec(&Command::new(format!("echo {text}"))).expect("output");
    assert_eq!(output.stdout_lossy(), format!("{text}\n"));
}

/// Round trips of a piece of work: the slope of its time over the added delay, so that fixed costs
/// fall out. The best of a few, since the machine is shared.
fn round_trips(proxy: &FaultProxy, mut work: impl FnMut()) -> f64 {
    const SHORT: Duration = Duration::from_millis(5);
    const LONG: Duration = Duration::from_millis(45);
    let mut time = |delay: Duration| {
        proxy.delay(delay);
        work();
        let time = |_| {
            let start = Instant::now();
            work();
            start.elapsed()
        };
        (0..7).map(time).min().expect("several")
    };
    let (short, long) = (time(SHORT), time(LONG));
    (long.as_secs_f64() - short.as_secs_f64()) / (2 * (LONG - SHORT)).as_secs_f64()
}

#[test]
fn a_warm_command_takes_one_round_trip() {
    let (server, options) = sshd(10);
    let proxy = FaultProxy::start(server.addr()).expect("proxy");
    let session = connect(&through(&proxy, options));
    let back_to_back = round_trips(&proxy, || {
        for _ in 0..5 {
            echo(&session, "x");
        }
    }) / 5.0;
    let paced = round_trips(&proxy, || {
        std::thread::sleep(Duration::from_millis(120));
        echo(&session, "x");
    });
    // Its end goes right behind the command.
    let reading = round_trips(&proxy, || {
        let output = session.exec(&Command::new("cat; echo end")).expect("output");
        assert_eq!(output.stdout_lossy(), "end\n");
    });
    println!("{back_to_back:.2} back to back, {paced:.2} paced, {reading:.2} to read no input");
    for measured in [back_to_back, paced, reading] {
        assert!((0.8..1.3).contains(&measured), "{measured} round trips");
    }
}

#[test]
fn commands_one_after_another_never_fail_whatever_max_sessions_is() {
    for max_sessions in [1, 2, 3, 10] {
        let (_server, options) = sshd(max_sessions);
        let backend = Ssh2Backend::new(options).expect("valid");
        let mut session = backend.connect().expect("connected");
        within(PATIENCE, &format!("MaxSessions {max_sessions}"), move || {
            let start = Instant::now();
            for number in 0..60 {
                echo(&session, &number.to_string());
                if number % 10 == 9 {
                    session.ping(PATIENCE).expect("alive");
                }
                if number % 7 == 6 {
                    std::thread::sleep(Duration::from_millis(20));
                }
                assert!(!backend.needs_reset(&mut session), "what is parked is nobody's leftover");
            }
            println!("MaxSessions {max_sessions}: 60 commands in {:?}", start.elapsed());
        });
    }
}

#[test]
fn processes_one_after_another_never_fail_whatever_max_sessions_is() {
    for max_sessions in [1, 2, 10] {
        let (_server, options) = sshd(max_sessions);
        let session = connect(&options);
        within(PATIENCE, &format!("MaxSessions {max_sessions}"), move || {
            for number in 0..30 {
                let process = session.spawn(&Command::new(format!("exit {number}")));
                let status = process.expect("started").wait().expect("a status");
                assert_eq!(status.code(), number);
            }
        });
    }
}

#[test]
fn at_max_sessions_a_command_is_refused_and_a_ping_answered() {
    let (_server, options) = sshd(2);
    let session = connect(&options);
    within(PATIENCE, "sshd", move || {
        let sleeper = |session: &Ssh2Session| {
            std::thread::sleep(Duration::from_millis(50));
            session.spawn(&Command::new("exec sleep 600").wait_for_channel(false)).map(drop)
        };
        let first = session.spawn(&Command::new("cat").stdin_piped()).expect("one");
        let second = session.spawn(&Command::new("cat").stdin_piped()).expect("two");
        for _ in 0..3 {
            let error = sleeper(&session).expect_err("two sessions only");
            assert_eq!(error.kind(), Kind::ChannelRefused, "{error}");
            assert!(error.is_retryable() && !error.may_have_started());
            session.ping(PATIENCE).expect("a refusal is a sign of life");
        }
        assert!(first.wait().expect("a status").success());
        echo(&session, "a slot is free");
        assert!(second.wait().expect("a status").success());
    });
}

#[test]
fn a_parked_channel_that_the_server_closes_is_replaced_unseen() {
    let server = EmbeddedServer::builder().max_sessions(100).start().expect("embedded server");
    let backend = Ssh2Backend::new(common::embedded_options(&server)).expect("valid");
    let mut session = backend.connect().expect("connected");
    server.close_channels_after(Some(Duration::from_millis(400)));
    within(PATIENCE, "embedded", move || {
        for number in 0..6 {
            echo(&session, &number.to_string());
            echo(&session, "again");
            std::thread::sleep(Duration::from_millis(500));
            match number % 3 {
                0 => {}
                1 => session.ping(PATIENCE).expect("alive"),
                _ => assert!(!backend.is_broken(&mut session)),
            }
            assert!(!backend.needs_reset(&mut session));
        }
    });
}

#[test]
fn channel_timeouts_of_sshd_hurt_nobody() {
    let server = Sshd::builder().option("ChannelTimeout session=1s").start().expect("sshd");
    let backend = Ssh2Backend::new(sshd_options(&server)).expect("valid");
    let mut session = backend.connect().expect("connected");
    within(PATIENCE, "sshd", move || {
        for number in 0..3 {
            echo(&session, &number.to_string());
            std::thread::sleep(Duration::from_millis(2200));
            assert!(!backend.is_broken(&mut session) && !backend.needs_reset(&mut session));
        }
        echo(&session, "the session goes on");
    });
}

#[test]
fn a_channel_that_closes_without_an_answer_is_an_error_not_a_second_try() {
    let server = EmbeddedServer::start().expect("embedded server");
    let proxy = FaultProxy::start(server.addr()).expect("proxy");
    let session = connect(&through(&proxy, common::embedded_options(&server)));
    echo(&session, "and a channel is parked");
    let commands = server.commands();
    // The server closes the next parked channel while the command for it is on its way.
    server.close_channels_after(Some(Duration::from_millis(300)));
    echo(&session, "on the old one");
    proxy.delay(Duration::from_millis(200));
    std::thread::sleep(Duration::from_millis(200));
    let error = session.exec(&Command::new("echo lost")).expect_err("no answer");
    assert_eq!(error.kind(), Kind::NoExitStatus, "{error}");
    assert!(error.may_have_started() && !error.is_retryable());
    assert_eq!(server.commands(), commands + 1, "not tried again");
    server.close_channels_after(None);
    proxy.delay(Duration::ZERO);
    std::thread::sleep(Duration::from_millis(500));
    echo(&session, "the session goes on");
}

#[test]
fn sixteen_hundred_commands_of_eight_threads_are_all_right() {
    let (_server, options) = sshd(100);
    let session = connect(&options);
    let elapsed = within(PATIENCE, "sshd", move || {
        let start = Instant::now();
        let ran = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (session, ran) = (&session, &ran);
                scope.spawn(move || {
                    for number in 0..200 {
                        echo(session, &format!("{thread}-{number}"));
                        ran.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(ran.into_inner(), 1600);
        start.elapsed()
    });
    println!("1600 commands in {elapsed:?}");
}

#[test]
fn five_threads_fit_into_the_default_max_sessions() {
    let (_server, options) = sshd(10);
    let session = connect(&options);
    within(PATIENCE, "sshd", move || {
        std::thread::scope(|scope| {
            for thread in 0..5 {
                let session = &session;
                scope.spawn(move || {
                    for number in 0..100 {
                        echo(session, &format!("{thread}-{number}"));
                    }
                });
            }
        });
    });
}

#[test]
fn an_open_that_nobody_waits_for_any_longer_ends_as_the_parked_channel() {
    let server = EmbeddedServer::start().expect("embedded server");
    let backend = Ssh2Backend::new(common::embedded_options(&server)).expect("valid");
    let mut session = backend.connect().expect("connected");
    server.delay_opens(Duration::from_millis(400));
    let command = Command::new("true").timeout(Duration::from_millis(100));
    let error = session.exec(&command).expect_err("no channel in time");
    assert_eq!(error.kind(), Kind::Timeout, "{error}");
    assert!(!error.may_have_started());
    assert!(session.is_alive());
    // Until it is answered, nobody knows whether the server still is.
    assert!(backend.needs_reset(&mut session));
    backend.reset(&mut session).expect("answered");
    assert!(!backend.needs_reset(&mut session));
    let opened = server.open_sessions();
    assert_eq!(opened, 1);
    let command = Command::new("echo next").timeout(Duration::from_millis(300));
    assert!(session.exec(&command).expect("on the channel that was opened").success());
}
