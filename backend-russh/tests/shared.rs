//! Tasks on one session, commands given up, heartbeats, and runtimes that end.

mod common;

use std::time::{Duration, Instant};

use backend_russh::{RusshBackend, RusshSession};
use common::{connect, embedded_options, on_both, sshd_options, through, within};
use pool_core::{AsyncPool, Config};
use ssh_session::{AsyncSession as _, Command, KeepaliveOptions, Kind};
use test_servers::embedded::EmbeddedServer;
use test_servers::proxy::FaultProxy;
use test_servers::sshd::Sshd;
use tokio::time::{sleep, timeout};

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
