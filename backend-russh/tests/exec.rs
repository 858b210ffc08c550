//! Commands, in all their forms, on a real sshd and on the embedded server.

mod common;

use std::time::{Duration, Instant};

use common::{connect, on_both, sshd_options, within};
use ssh_session::{AsyncSession as _, Command, ExitStatus, Kind};
use testkit::embedded::EmbeddedServer;
use testkit::sshd::Sshd;

#[tokio::test(flavor = "multi_thread")]
async fn output_errors_and_exit_code_arrive() {
    on_both(async |server, session| {
        let output =
            session.exec(&Command::new("echo out; echo err >&2; exit 7")).await.expect(server);
        assert_eq!(output.stdout_text(), Ok("out\n"), "{server}");
        assert_eq!(output.stderr_text(), Ok("err\n"), "{server}");
        assert_eq!(output.status, ExitStatus::Code(7), "{server}");
        assert!(!output.success());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_that_is_not_utf8_arrives_byte_for_byte() {
    on_both(async |server, session| {
        let output =
            session.exec(&Command::new(r"printf '\000\377\200a\r\n'")).await.expect(server);
        assert_eq!(&output.stdout[..], b"\0\xff\x80a\r\n", "{server}");
        assert!(output.stdout_text().is_err());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn input_arrives_byte_for_byte_and_ends() {
    on_both(async |server, session| {
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n * 7 % 251) as u8).collect();
        let output = session.exec(&Command::new("cat").stdin(bytes.clone())).await.expect(server);
        assert!(output.stdout == bytes, "{server}: {} bytes came back", output.stdout.len());
        let output = session.exec(&Command::new("wc -c")).await.expect(server);
        assert_eq!(output.stdout_lossy().trim(), "0", "{server}: no input is an empty one");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_reads_no_input_is_no_error() {
    on_both(async |server, session| {
        let command = Command::new("echo done").stdin(vec![b'x'; 5_000_000]);
        let output = session.exec(&command).await.expect(server);
        assert_eq!(output.stdout_text(), Ok("done\n"), "{server}");
        assert!(output.success());
        let output = session.exec(&Command::new("echo next")).await.expect(server);
        assert_eq!(output.stdout_text(), Ok("next\n"), "{server}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_megabytes_of_errors_do_not_hang() {
    on_both(async |server, session| {
        let (length, elapsed) = within(Duration::from_secs(60), server, async {
            let start = Instant::now();
            let command = Command::new("head -c 10000000 /dev/zero >&2; echo end");
            let output = session.exec(&command).await.expect("output");
            assert_eq!(output.stdout_text(), Ok("end\n"));
            (output.stderr.len(), start.elapsed())
        })
        .await;
        assert_eq!(length, 10_000_000, "{server}");
        println!("{server}: 10 MB of errors in {elapsed:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_megabytes_on_both_streams_at_once_arrive_whole() {
    on_both(async |server, session| {
        let output = within(Duration::from_secs(60), server, async {
            let command = "head -c 10000000 /dev/zero & head -c 10000000 /dev/zero >&2; wait";
            session.exec(&Command::new(command)).await.expect("output")
        })
        .await;
        assert_eq!((output.stdout.len(), output.stderr.len()), (10_000_000, 10_000_000));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_killed_by_a_signal_is_not_a_success() {
    on_both(async |server, session| {
        let output = session.exec(&Command::new("kill -TERM $$")).await.expect(server);
        assert!(!output.success(), "{server}");
        assert!(
            matches!(&output.status, ExitStatus::Signal { name, .. } if name == "TERM"),
            "{server}: {:?}",
            output.status
        );
        assert_eq!(output.status.code(), 143);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_exit_status_is_an_error_with_the_output() {
    let server = EmbeddedServer::start().expect("embedded server");
    let session = connect(&common::embedded_options(&server)).await;
    server.omit_exit_status(true);
    let error = session.exec(&Command::new("echo hi")).await.expect_err("no exit status");
    assert_eq!(error.kind(), Kind::NoExitStatus);
    assert_eq!(&error.partial_output().expect("output").stdout[..], b"hi\n");
    assert!(error.may_have_started() && !error.is_retryable());
    server.omit_exit_status(false);
    assert!(session.exec(&Command::new("true")).await.expect("the session goes on").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn nul_in_a_command_is_the_callers_error() {
    on_both(async |server, session| {
        let error = session.exec(&Command::new("echo a\0b")).await.expect_err(server);
        assert_eq!(error.kind(), Kind::InvalidInput);
        assert!(error.to_string().contains("command"), "{error}");
        let error = session.exec(&Command::new("x".repeat(40_000))).await.expect_err(server);
        assert_eq!(error.kind(), Kind::InvalidInput);
        let long = format!("true {}", "x".repeat(33_000));
        assert!(session.exec(&Command::new(long)).await.expect(server).success());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_the_call_and_keeps_the_output() {
    on_both(async |server, session| {
        let command = Command::new("echo begun; sleep 600").timeout(Duration::from_secs(1));
        let start = Instant::now();
        let error = session.exec(&command).await.expect_err(server);
        let elapsed = start.elapsed();
        assert_eq!(error.kind(), Kind::Timeout, "{server}: {error}");
        assert!(
            (Duration::from_millis(990)..Duration::from_millis(1500)).contains(&elapsed),
            "{server}: {elapsed:?}"
        );
        assert_eq!(&error.partial_output().expect("output").stdout[..], b"begun\n");
        assert!(error.may_have_started() && !error.is_retryable());
        let output = session.exec(&Command::new("echo next")).await.expect(server);
        assert_eq!(output.stdout_text(), Ok("next\n"), "{server}: the session goes on");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_a_call_whose_input_nobody_reads() {
    on_both(async |server, session| {
        let command =
            Command::new("sleep 600").stdin(vec![b'x'; 20_000_000]).timeout(Duration::from_secs(1));
        let start = Instant::now();
        let error = session.exec(&command).await.expect_err(server);
        assert_eq!(error.kind(), Kind::Timeout, "{server}: {error}");
        assert!(start.elapsed() < Duration::from_millis(1600), "{server}: {:?}", start.elapsed());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_arrive_where_the_server_lets_them() {
    let server = Sshd::builder().option("AcceptEnv GREETING").start().expect("sshd");
    let session = connect(&sshd_options(&server)).await;
    let command = Command::new("echo \"$GREETING\"").env("GREETING", "hello  you");
    let output = session.exec(&command).await.expect("output");
    assert_eq!(output.stdout_text(), Ok("hello  you\n"));
    let error = session.exec(&Command::new("true").env("OTHER", "x")).await.expect_err("refused");
    assert_eq!(error.kind(), Kind::RequestRefused);
    assert!(error.to_string().contains("OTHER"), "{error}");
    assert!(session.exec(&Command::new("true")).await.expect("the session goes on").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_is_answered_and_leaves_commands_alone() {
    on_both(async |server, session| {
        for round in 0..5 {
            session.ping(Duration::from_secs(5)).await.expect(server);
            if round % 2 == 1 {
                let output = session.exec(&Command::new("echo $HUSSH_PING-")).await.expect(server);
                assert!(output.success());
            }
        }
        assert!(session.is_alive());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_session_says_so_on_every_method() {
    on_both(async |server, session| {
        session.close();
        session.close();
        assert!(!session.is_alive(), "{server}");
        assert_eq!(
            session.exec(&Command::new("true")).await.expect_err(server).kind(),
            Kind::Closed
        );
        assert_eq!(
            session.ping(Duration::from_secs(1)).await.expect_err(server).kind(),
            Kind::Closed
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_in_mid_command_is_never_a_success() {
    let server = Sshd::start().expect("sshd");
    let session = connect(&sshd_options(&server)).await;
    let command = Command::new("echo begun; sleep 600; echo end");
    let killing = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        server.kill_sessions().expect("killed");
    };
    let (result, ()) = tokio::join!(session.exec(&command), killing);
    let error = result.expect_err("the server is gone");
    assert_eq!(error.kind(), Kind::ConnectionLost, "{error}");
    assert_eq!(&error.partial_output().expect("output").stdout[..], b"begun\n");
    assert!(error.may_have_started() && !error.is_retryable());
    assert!(!session.is_alive());
    let error = session.exec(&Command::new("true")).await.expect_err("still gone");
    assert_eq!(error.kind(), Kind::ConnectionLost);
    assert!(!error.may_have_started());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_channel_is_not_a_dead_session() {
    let server = Sshd::builder().max_sessions(1).start().expect("sshd");
    let session = connect(&sshd_options(&server)).await;
    let command = Command::new("sleep 1; echo one");
    let meanwhile = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let error = session.exec(&Command::new("true")).await.expect_err("one session only");
        assert_eq!(error.kind(), Kind::ChannelRefused, "{error}");
        assert!(error.is_retryable());
        session.ping(Duration::from_secs(5)).await.expect("a refusal is a sign of life");
    };
    let (output, ()) = tokio::join!(session.exec(&command), meanwhile);
    assert_eq!(output.expect("output").stdout_text(), Ok("one\n"));
}
