//! The channel opened ahead: what it saves, and that nobody ever pays for it.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use backend_russh::{RusshBackend, RusshSession};
use common::{as_user, connect, embedded_options, sshd_options, through, within};
use pool_core::AsyncBackend as _;
use ssh_session::{AsyncProcess as _, AsyncSession as _, Command, Kind, Pty, Route};
use test_servers::embedded::EmbeddedServer;
use test_servers::proxy::FaultProxy;
use test_servers::sshd::{PasswordUser, Sshd};
use tokio::time::{sleep, timeout};

async fn run(session: &RusshSession, command: &Command, what: &str) {
    let output = session.exec(command).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(output.success(), "{what}: {output:?}");
}

/// The shortest of some calls, with a pause before each.
async fn shortest(session: &RusshSession, command: &Command, pause: Duration) -> Duration {
    let mut shortest = Duration::MAX;
    for _ in 0..4 {
        sleep(pause).await;
        let start = Instant::now();
        run(session, command, "measured").await;
        shortest = shortest.min(start.elapsed());
    }
    shortest
}

/// Asserts how many round trips a command takes, back to back and with pauses. A busy machine may
/// spoil a measurement, not three.
async fn assert_round_trips(
    proxy: &FaultProxy,
    session: &RusshSession,
    (what, command, expected): (&str, Command, f64),
) {
    for attempt in 0.. {
        let [back_to_back, paced] = round_trips(proxy, session, &command).await;
        println!("{what}: {back_to_back:.2} round trips back to back, {paced:.2} paced");
        let is_so = |measured: f64| (measured - expected).abs() < 0.25;
        if is_so(back_to_back) && is_so(paced) {
            break;
        }
        assert!(attempt < 2, "{what}: not {expected}");
    }
}

/// How many round trips a command takes: the slope of its time over the added delay.
async fn round_trips(proxy: &FaultProxy, session: &RusshSession, command: &Command) -> [f64; 2] {
    let mut slopes = [0.0; 2];
    for (slope, pause) in slopes.iter_mut().zip([0, 60]) {
        let mut times = Vec::new();
        for delay in [10, 60] {
            proxy.delay(Duration::from_millis(delay));
            run(session, command, "to be warm").await;
            times.push(shortest(session, command, Duration::from_millis(pause)).await);
        }
        *slope = (times[1].as_secs_f64() - times[0].as_secs_f64()) / 0.1;
    }
    proxy.delay(Duration::ZERO);
    slopes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_command_takes_one_round_trip_and_what_must_be_granted_first_one_more() {
    let server = Sshd::builder().option("AcceptEnv *").start().expect("sshd");
    let proxy = FaultProxy::start(server.addr()).expect("proxy");
    let session = connect(&through(&proxy, sshd_options(&server))).await;
    let cases = [
        ("plain", Command::new("true"), 1.0),
        // sshd opens channels without a window, and gives one when the command runs.
        ("input", Command::new("cat").stdin(vec![b'x'; 10_000]), 2.0),
        ("env", Command::new("true").env("A", "1").env("B", "2").env("C", "3"), 2.0),
        ("pty", Command::new("true").pty(Pty::default()), 2.0),
    ];
    for case in cases {
        assert_round_trips(&proxy, &session, case).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_command_through_a_jump_host_takes_one_round_trip() {
    let target = Sshd::start().expect("sshd");
    let hop = Sshd::builder().max_sessions(0).start().expect("sshd");
    // Behind the hop: before it, sshd's Nagle would wait for the proxy's delayed acknowledgements.
    let proxy = FaultProxy::start(target.addr()).expect("proxy");
    let route = Route::Jump(vec![sshd_options(&hop)]);
    let session = connect(&through(&proxy, sshd_options(&target)).route(route)).await;
    assert_round_trips(&proxy, &session, ("through a jump host", Command::new("true"), 1.0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_command_takes_one_round_trip_on_a_session_that_was_idle() {
    let server = Sshd::start().expect("sshd");
    let proxy = FaultProxy::start(server.addr()).expect("proxy");
    let mut times = Vec::new();
    for delay in [10, 60] {
        proxy.delay(Duration::from_millis(delay));
        let mut shortest = Duration::MAX;
        for _ in 0..4 {
            let session = connect(&through(&proxy, sshd_options(&server))).await;
            sleep(Duration::from_millis(300)).await;
            let start = Instant::now();
            run(&session, &Command::new("true"), "first").await;
            shortest = shortest.min(start.elapsed());
        }
        times.push(shortest.as_secs_f64());
    }
    let slope = (times[1] - times[0]) / 0.1;
    println!("first command: {slope:.2} round trips, {:?} at 20 ms", times[0]);
    assert!((slope - 1.0).abs() < 0.3, "{slope}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_connection_and_its_first_command_take_at_most_eight_round_trips() {
    let server = Sshd::start().expect("sshd");
    let proxy = FaultProxy::start(server.addr()).expect("proxy");
    // TCP's own round trip is not delayed by the proxy, which answers for the server.
    let most = 7.0;
    for attempt in 0.. {
        let mut times = Vec::new();
        for delay in [5, 30] {
            proxy.delay(Duration::from_millis(delay));
            let mut shortest = Duration::MAX;
            for _ in 0..5 {
                let start = Instant::now();
                let session = connect(&through(&proxy, sshd_options(&server))).await;
                run(&session, &Command::new("true"), "first").await;
                shortest = shortest.min(start.elapsed());
            }
            times.push(shortest.as_secs_f64());
        }
        let slope = (times[1] - times[0]) / 0.05;
        println!("dial and first command: {slope:.2} round trips and TCP's");
        if slope < most + 0.5 {
            break;
        }
        assert!(attempt < 2, "{slope}, not {most}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_one_after_another_never_fail_however_few_sessions_there_are() {
    for sessions in [1, 2, 3, 10] {
        let server = Sshd::builder().max_sessions(sessions).start().expect("sshd");
        let session = connect(&sshd_options(&server)).await;
        within(Duration::from_secs(60), "all", async {
            for number in 0..150 {
                let what = format!("number {number} of MaxSessions {sessions}");
                run(&session, &Command::new("true"), &what).await;
            }
        })
        .await;
        let refused = server.log().matches("no more sessions").count();
        println!("MaxSessions {sessions}: {refused} opens refused in 150 commands");
        assert_eq!(server.connections(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_of_max_sessions_run_side_by_side_without_a_refusal() {
    for (sessions, tasks) in [(2, 1), (4, 2), (10, 5)] {
        let server = Sshd::builder().max_sessions(sessions).start().expect("sshd");
        let session = Arc::new(connect(&sshd_options(&server)).await);
        let tasks: Vec<_> = (0..tasks)
            .map(|task| {
                let session = Arc::clone(&session);
                tokio::spawn(async move {
                    for number in 0..60 {
                        let what = format!("{number} of task {task} at MaxSessions {sessions}");
                        run(&session, &Command::new("true"), &what).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no refusal");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_max_sessions_can_run_at_once_and_one_more_is_refused() {
    for sessions in [1, 2, 10] {
        let server = Sshd::builder().max_sessions(sessions).start().expect("sshd");
        let session = connect(&sshd_options(&server)).await;
        // Whatever was parked before.
        run(&session, &Command::new("true"), "before").await;
        let mut running = Vec::new();
        let command = Command::new("cat").stdin_piped();
        for number in 0..sessions {
            let process = session.spawn(&command).await;
            running.push(process.unwrap_or_else(|error| panic!("{number}: {error}")));
        }
        let hasty = Command::new("true").wait_for_channel(false);
        let error = session.exec(&hasty).await.expect_err("one too many");
        assert_eq!(error.kind(), Kind::ChannelRefused, "{error}");
        for process in running {
            assert!(process.wait().await.expect("its end").success());
        }
        run(&session, &Command::new("true"), "after").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_channel_ahead_is_nobodys_error() {
    let server = EmbeddedServer::start().expect("embedded server");
    // The one asked for at login, and those behind the first two commands.
    for number in [1, 3, 5] {
        server.refuse_open(number);
    }
    let session = connect(&embedded_options(&server)).await;
    for number in 0..10 {
        run(&session, &Command::new("true"), &format!("number {number}")).await;
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_channel_is_nothing_that_a_borrower_left() {
    let server = Sshd::start().expect("sshd");
    let backend = RusshBackend::new(sshd_options(&server)).expect("valid");
    let mut session = backend.connect().await.expect("connected");
    assert!(!backend.needs_reset(&mut session));
    for _ in 0..10 {
        run(&session, &Command::new("true"), "lent").await;
        assert!(!backend.needs_reset(&mut session));
    }
    let start = Instant::now();
    backend.reset(&mut session).await.expect("nothing to do");
    assert!(start.elapsed() < Duration::from_millis(100));
    within(Duration::from_secs(3), "close", backend.close(session)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_cancelled_on_the_way_to_their_channel_leave_it_for_the_next() {
    let server = EmbeddedServer::start().expect("embedded server");
    server.delay_opens(Duration::from_millis(30));
    let session = connect(&embedded_options(&server)).await;
    for patience in [0, 1, 5, 10, 20, 29, 31, 40] {
        let command = Command::new("true");
        let _ = timeout(Duration::from_millis(patience), session.exec(&command)).await;
        let soon = Duration::from_secs(3);
        tokio::task::block_in_place(|| {
            server.wait_for(soon, |server| server.open_sessions() <= 1).expect("one is parked");
        });
        run(&session, &Command::new("true"), "and the session goes on").await;
    }
    session.close();
    tokio::task::block_in_place(|| {
        let soon = Duration::from_secs(3);
        server.wait_for(soon, |server| server.open_sessions() == 0).expect("all closed");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_for_want_of_a_slot_does_not_come_from_leftovers_that_were_killed() {
    let server = Sshd::builder().max_sessions(2).start().expect("sshd");
    let user = PasswordUser::create().expect("a user; run the tests as root");
    let session = connect(&as_user(&server, &user)).await;
    for round in 0..15 {
        let command = Command::new("sleep 600").timeout(Duration::from_millis(60));
        let error = session.exec(&command).await.expect_err("timeout");
        assert_eq!(error.kind(), Kind::Timeout, "{round}: {error}");
    }
    run(&session, &Command::new("true"), "after").await;
}
