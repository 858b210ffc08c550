//! Many tasks on one session, commands given up, and sessions that die.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use backend_russh::{RusshBackend, RusshSession};
use common::{as_user, connect, embedded_options, on_both, sshd_options, through, within};
use pool_core::{AsyncBackend as _, AsyncPool, Config};
use ssh_session::{AsyncSession as _, Command, KeepaliveOptions, Kind};
use test_servers::embedded::EmbeddedServer;
use test_servers::proxy::{Direction, FaultProxy};
use test_servers::sshd::{PasswordUser, Sshd};
use tokio::time::{sleep, timeout};

#[tokio::test(flavor = "multi_thread")]
async fn five_tasks_share_one_session_and_every_output_is_right() {
    on_both(async |server, session| {
        let session = Arc::new(session);
        let tasks: Vec<_> = (0..5)
            .map(|task| {
                let session = Arc::clone(&session);
                tokio::spawn(async move {
                    for number in 0..40 {
                        let size = 1 + (task * 7919 + number * 104_729) % 300_000;
                        let command = Command::new(format!(
                            "echo {task}-{number} >&2; head -c {size} /dev/zero; exit {number}"
                        ));
                        let output = session.exec(&command).await.expect("output");
                        assert_eq!(output.stderr_lossy(), format!("{task}-{number}\n"));
                        assert_eq!(output.stdout.len(), size);
                        assert_eq!(output.status.code(), number as u32);
                    }
                })
            })
            .collect();
        within(Duration::from_secs(120), server, async {
            for task in tasks {
                task.await.expect("no panic");
            }
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_command_does_not_delay_its_neighbour() {
    on_both(async |server, session| {
        let neighbour = async {
            sleep(Duration::from_millis(200)).await;
            let start = Instant::now();
            for _ in 0..5 {
                assert!(session.exec(&Command::new("true")).await.expect(server).success());
            }
            assert!(start.elapsed() < Duration::from_secs(1), "{server}: {:?}", start.elapsed());
        };
        let slow = Command::new("sleep 2; echo slow");
        let (output, ()) = tokio::join!(session.exec(&slow), neighbour);
        assert_eq!(output.expect(server).stdout_text(), Ok("slow\n"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_output_nobody_takes_does_not_delay_its_neighbour() {
    on_both(async |server, session| {
        let flood = Command::new("head -c 30000000 /dev/zero");
        let mut unread = Box::pin(session.exec(&flood));
        // Begun, and then not polled again until the others are done.
        assert!(timeout(Duration::from_millis(1), &mut unread).await.is_err());
        let start = Instant::now();
        within(Duration::from_secs(20), server, async {
            for _ in 0..5 {
                assert!(session.exec(&Command::new("true")).await.expect(server).success());
            }
        })
        .await;
        println!("{server}: five commands beside 30 MB that nobody takes: {:?}", start.elapsed());
        assert_eq!(unread.await.expect(server).stdout.len(), 30_000_000);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_wakes_whoever_waits() {
    on_both(async |server, session| {
        let start = Instant::now();
        let command = Command::new("sleep 60");
        let closing = async {
            sleep(Duration::from_millis(300)).await;
            session.close();
        };
        let (one, two, three, ()) = tokio::join!(
            session.exec(&command),
            session.exec(&command),
            session.exec(&command),
            closing
        );
        for result in [one, two, three] {
            let error = result.expect_err("closed");
            assert_eq!(error.kind(), Kind::Closed, "{server}: {error}");
        }
        assert!(start.elapsed() < Duration::from_secs(1), "{server}: {:?}", start.elapsed());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_sessions_are_noticed_without_asking_and_dropped_at_once() {
    let server = Sshd::start().expect("sshd");
    let backend = RusshBackend::new(sshd_options(&server)).expect("valid");
    let mut sessions: Vec<Arc<RusshSession>> = Vec::new();
    for _ in 0..4 {
        sessions.push(backend.connect().await.expect("connected"));
    }
    for session in &mut sessions {
        assert!(session.exec(&Command::new("true")).await.expect("output").success());
        assert!(!backend.is_broken(session));
    }
    let killing = async {
        sleep(Duration::from_millis(300)).await;
        server.kill_sessions().expect("killed");
    };
    let command = Command::new("sleep 60");
    let (result, ()) = tokio::join!(sessions[2].exec(&command), killing);
    assert_eq!(result.expect_err("gone").kind(), Kind::ConnectionLost);
    sleep(Duration::from_millis(200)).await;
    for session in &mut sessions {
        assert!(backend.is_broken(session));
    }
    let start = Instant::now();
    drop(sessions);
    assert!(start.elapsed() < Duration::from_millis(10), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_given_up_are_killed_and_the_session_is_clean_again() {
    let server = Sshd::start().expect("sshd");
    let user = PasswordUser::create().expect("a user; run the tests as root");
    let backend = RusshBackend::new(as_user(&server, &user)).expect("valid");
    let mut session = backend.connect().await.expect("connected");
    for _ in 0..15 {
        let command = Command::new("sleep 600").timeout(Duration::from_millis(100));
        assert_eq!(session.exec(&command).await.expect_err("timeout").kind(), Kind::Timeout);
        if backend.needs_reset(&mut session) {
            backend.reset(&mut session).await.expect("clean");
        }
        assert!(!backend.needs_reset(&mut session));
        backend.check(&mut session).await.expect("alive");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_commands_cancelled_leave_a_session_that_works() {
    let server = Sshd::start().expect("sshd");
    let user = PasswordUser::create().expect("a user; run the tests as root");
    let session = connect(&as_user(&server, &user)).await;
    let command = Command::new("sleep 600");
    // Running, being opened, and just begun.
    for patience in [50, 5, 1, 0].into_iter().cycle().take(20) {
        let running = timeout(Duration::from_millis(patience), session.exec(&command)).await;
        match running {
            Err(_) => {}
            Ok(Err(error)) => assert_eq!(error.kind(), Kind::ChannelRefused, "{error}"),
            Ok(Ok(output)) => panic!("{output:?}"),
        }
    }
    let command = Command::new("echo works");
    let output = within(Duration::from_secs(5), "after", session.exec(&command)).await;
    assert_eq!(output.expect("output").stdout_text(), Ok("works\n"));
    for session_of_ten in 0..10 {
        session
            .exec(&Command::new("true"))
            .await
            .unwrap_or_else(|e| panic!("{session_of_ten} {e}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_at_any_moment_leaves_no_channel_open() {
    let server = EmbeddedServer::start().expect("embedded server");
    let session = connect(&embedded_options(&server)).await;
    let command = Command::new("echo begun; sleep 600").stdin(vec![b'x'; 100_000]);
    for delay in [0, 30] {
        server.delay_opens(Duration::from_millis(delay));
        for patience in [0, 1, 2, 5, 10, 20, 40, 60] {
            let running = timeout(Duration::from_millis(patience), session.exec(&command)).await;
            assert!(running.is_err());
        }
        let patience = Duration::from_secs(3);
        tokio::task::block_in_place(|| {
            // The one that is open is parked for the next command.
            server.wait_for(patience, |server| server.open_sessions() <= 1).expect("all closed");
        });
        assert!(session.exec(&Command::new("true")).await.expect("goes on").success());
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_cannot_be_killed_is_not_waited_for_and_hurts_nobody() {
    let server = Sshd::start().expect("sshd");
    let backend = RusshBackend::new(sshd_options(&server)).expect("valid");
    let mut session = backend.connect().await.expect("connected");
    // Out of its group, so no signal reaches it, and holding on to the command's streams.
    let command = Command::new("exec setsid sleep 600").timeout(Duration::from_millis(100));
    assert_eq!(session.exec(&command).await.expect_err("timeout").kind(), Kind::Timeout);
    let output = session.exec(&Command::new("true")).await.expect("which hurts nobody");
    assert!(output.success());
    let start = Instant::now();
    let settled = backend.reset(&mut session).await;
    assert!(start.elapsed() < Duration::from_millis(1300), "{:?}", start.elapsed());
    assert_eq!(settled.is_err(), backend.needs_reset(&mut session));
    assert!(!backend.is_broken(&mut session), "others may be at work on it");
    assert!(session.exec(&Command::new("true")).await.expect("as before").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_black_hole_under_a_running_command_is_found_within_the_heartbeats_patience() {
    let server = Sshd::start().expect("sshd");
    let proxy = FaultProxy::start(server.addr()).expect("proxy");
    let mut options = through(&proxy, sshd_options(&server));
    let interval = Duration::from_millis(300);
    options.keepalive = KeepaliveOptions { interval: Some(interval), count_max: 2 };
    let session = connect(&options).await;
    // A command that lives longer than the heartbeats' patience, on a server that answers.
    let output = session.exec(&Command::new("sleep 2; echo alive")).await.expect("output");
    assert_eq!(output.stdout_text(), Ok("alive\n"));

    for stdin in [0, 50_000_000] {
        let session = connect(&options).await;
        let reading = if stdin > 0 { "cat >/dev/null" } else { "echo begun; sleep 60" };
        let command = Command::new(reading).stdin(vec![b'x'; stdin]);
        let falling_silent = async {
            sleep(Duration::from_millis(200)).await;
            proxy.black_hole();
            Instant::now()
        };
        let ending = within(Duration::from_secs(10), "silent", session.exec(&command));
        let (result, start) = tokio::join!(ending, falling_silent);
        let elapsed = start.elapsed();
        let error = result.expect_err("silent");
        assert_eq!(error.kind(), Kind::ConnectionLost, "{error}");
        assert!(error.may_have_started());
        println!("black hole found after {elapsed:?}");
        assert!(elapsed < interval * 3 + Duration::from_millis(600), "{elapsed:?}");
        assert!(!session.is_alive());
        let start = Instant::now();
        drop(session);
        assert!(start.elapsed() < Duration::from_millis(10));
        proxy.resume();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_into_a_black_hole_ends_in_time_and_with_it_the_session() {
    let server = Sshd::start().expect("sshd");
    let proxy = FaultProxy::start(server.addr()).expect("proxy");
    let session = connect(&through(&proxy, sshd_options(&server))).await;
    session.ping(Duration::from_secs(5)).await.expect("alive");
    proxy.black_hole();
    let start = Instant::now();
    let error = session.ping(Duration::from_millis(300)).await.expect_err("silent");
    assert_eq!(error.kind(), Kind::Timeout, "{error}");
    assert!(start.elapsed() < Duration::from_millis(600), "{:?}", start.elapsed());
    assert!(!session.is_alive());
    let error = session.exec(&Command::new("true")).await.expect_err("dead");
    assert_eq!(error.kind(), Kind::ConnectionLost, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dial_that_is_cut_anywhere_ends_with_an_error() {
    let server = EmbeddedServer::start().expect("embedded server");
    let proxy = FaultProxy::start(server.addr()).expect("proxy");
    let mut options = through(&proxy, embedded_options(&server));
    options.connect_timeout = Duration::from_secs(5);
    let cuts = [0, 1, 10, 20, 21, 22, 25, 50, 100, 300, 700, 1000, 1100, 1200, 1500, 1700, 2000];
    for direction in [Direction::ToClient, Direction::ToServer] {
        for bytes in cuts {
            proxy.cut_after(Some(bytes), direction);
            let start = Instant::now();
            match RusshSession::connect(&options).await {
                Ok(session) => {
                    let command = Command::new("head -c 10000 /dev/zero");
                    let error = within(Duration::from_secs(5), "cut", session.exec(&command)).await;
                    if let Err(error) = error {
                        assert_eq!(error.kind(), Kind::ConnectionLost, "{bytes}: {error}");
                    }
                }
                Err(error) => {
                    let kind = error.kind();
                    let expected = [Kind::Busy, Kind::Handshake, Kind::ConnectionLost];
                    assert!(expected.contains(&kind), "{direction:?} {bytes}: {error}");
                    assert!(!error.may_have_started() && kind != Kind::AuthenticationFailed);
                }
            }
            assert!(start.elapsed() < Duration::from_secs(4), "{bytes}: {:?}", start.elapsed());
        }
        proxy.cut_after(None, direction);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_session_is_kept_alive_and_found_dead() {
    let server = EmbeddedServer::start().expect("embedded server");
    let mut options = embedded_options(&server);
    let interval = Duration::from_millis(200);
    options.keepalive = KeepaliveOptions { interval: Some(interval), count_max: 2 };
    let session = connect(&options).await;
    sleep(Duration::from_secs(2)).await;
    assert!(session.exec(&Command::new("true")).await.expect("alive").success());
    server.kill_connections();
    sleep(Duration::from_millis(600)).await;
    assert!(!session.is_alive());
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_leave_a_slow_login_alone() {
    let server = EmbeddedServer::start().expect("embedded server");
    server.delay_auth(Duration::from_secs(1));
    let mut options = embedded_options(&server);
    let interval = Duration::from_millis(100);
    options.keepalive = KeepaliveOptions { interval: Some(interval), count_max: 1 };
    let session = connect(&options).await;
    assert!(session.exec(&Command::new("true")).await.expect("alive").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_lends_sessions_and_replaces_dead_ones() {
    let server = EmbeddedServer::start().expect("embedded server");
    let backend = RusshBackend::new(embedded_options(&server)).expect("valid");
    let pool = AsyncPool::new(backend, Config::builder().max_size(3).build().expect("valid"));
    let tasks: Vec<_> = (0..30)
        .map(|number: u32| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let session = pool.get().await.expect("a session");
                let output = session.exec(&Command::new(format!("echo {number}"))).await;
                assert_eq!(output.expect("output").stdout_lossy(), format!("{number}\n"));
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    assert!(server.connections() <= 3);
    server.kill_connections();
    sleep(Duration::from_millis(100)).await;
    let session = pool.get().await.expect("a new session");
    assert!(session.exec(&Command::new("true")).await.expect("output").success());
    drop(session);
    pool.close().await.expect("closed");
    tokio::task::block_in_place(|| {
        server
            .wait_for(Duration::from_secs(2), |server| server.open_sessions() == 0)
            .expect("none");
    });
}

#[test]
fn a_session_outlives_its_runtime_without_harm() {
    let server = EmbeddedServer::start().expect("embedded server");
    let options = embedded_options(&server);
    let runtime = || tokio::runtime::Runtime::new().expect("a runtime");
    let first = runtime();
    let session = first.block_on(connect(&options));
    drop(first);
    let error = runtime().block_on(session.exec(&Command::new("true"))).expect_err("no runtime");
    assert_eq!(error.kind(), Kind::ConnectionLost, "{error}");
    assert!(!session.is_alive());
    drop(session);
    // And outside of any runtime nothing panics, but for an error.
    let mut future = Box::pin(RusshSession::connect(&options));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(result) = future.as_mut().poll(&mut context) else {
        panic!("it waits without a runtime")
    };
    assert_eq!(result.expect_err("no runtime").kind(), Kind::InvalidInput);
}
