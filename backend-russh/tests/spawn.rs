//! Commands that are read and fed while they run.

mod common;

use std::fs;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use backend_russh::RusshBackend;
use common::{as_user, connect, embedded_options, on_both, sshd_options, within};
use pool_core::AsyncBackend as _;
use ssh_session::{
    AsyncProcess, AsyncSession as _, Chunk, Command, ExitStatus, Kind, Pty, SshError,
};
use test_servers::embedded::EmbeddedServer;
use test_servers::sshd::{PasswordUser, Sshd};
use tokio::time::{sleep, timeout};

/// Everything it writes until its end.
async fn read_all(process: &impl AsyncProcess) -> Result<(Vec<u8>, Vec<u8>), SshError> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Some(chunk) = process.read().await? {
        assert!(!chunk.bytes().is_empty());
        match chunk {
            Chunk::Stdout(bytes) => out.extend_from_slice(&bytes),
            Chunk::Stderr(bytes) => err.extend_from_slice(&bytes),
        }
    }
    Ok((out, err))
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_read_while_the_command_runs() {
    on_both(async |server, session| {
        let command = Command::new("echo one; read line; echo two >&2; read line; exit 3");
        let process = session.spawn(&command.stdin_piped()).await.expect(server);
        let first = within(Duration::from_secs(5), server, process.read()).await;
        assert_eq!(first.expect(server), Some(Chunk::Stdout("one\n".into())), "{server}");
        process.write(b"go\n").await.expect(server);
        let second = within(Duration::from_secs(5), server, process.read()).await;
        assert_eq!(second.expect(server), Some(Chunk::Stderr("two\n".into())), "{server}");
        process.write(b"go\n").await.expect(server);
        assert_eq!(process.read().await.expect(server), None);
        assert_eq!(process.read().await.expect(server), None, "{server}: and again");
        assert_eq!(process.wait().await.expect(server), ExitStatus::Code(3));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_is_fed_and_read_at_once_and_loses_nothing() {
    on_both(async |server, session| {
        let bytes: Vec<u8> = (0..20_000_000_u32).map(|n| (n * 7 % 251) as u8).collect();
        let process = session.spawn(&Command::new("cat").stdin_piped()).await.expect(server);
        let feeding = async {
            for piece in bytes.chunks(1_300_000) {
                process.write(piece).await.expect(server);
            }
            process.close_stdin().await.expect(server);
            process.close_stdin().await.expect(server);
            let error = process.write(b"late").await.expect_err(server);
            assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
        };
        let ((), read) = within(Duration::from_secs(60), server, async {
            tokio::join!(feeding, read_all(&process))
        })
        .await;
        let (out, err) = read.expect(server);
        assert!(out == bytes && err.is_empty(), "{server}: {} bytes came back", out.len());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn input_given_beforehand_is_not_written_to() {
    on_both(async |server, session| {
        let command = Command::new("cat; cat >&2").stdin("given");
        let process = session.spawn(&command).await.expect(server);
        let error = process.write(b"more").await.expect_err(server);
        assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
        process.close_stdin().await.expect("nothing to do");
        let (out, err) = read_all(&process).await.expect(server);
        assert_eq!((&out[..], &err[..]), (&b"given"[..], &b""[..]), "{server}");
        let error = session.exec(&Command::new("cat").stdin_piped()).await.expect_err(server);
        assert_eq!(error.kind(), Kind::InvalidInput, "{server}: nobody could write to it");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_ended_takes_all_input_and_signals() {
    on_both(async |server, session| {
        let process = session.spawn(&Command::new("exit 4").stdin_piped()).await.expect(server);
        assert_eq!(process.read().await.expect(server), None);
        for _ in 0..50 {
            process.write(&[b'x'; 100_000]).await.expect(server);
        }
        process.signal("TERM").await.expect(server);
        assert_eq!(process.wait().await.expect(server), ExitStatus::Code(4), "{server}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_reaches_the_command_and_its_name_comes_back() {
    let server = Sshd::start().expect("sshd");
    let user = PasswordUser::create().expect("a user; run the tests as root");
    let session = connect(&as_user(&server, &user)).await;
    for name in ["TERM", "INT", "HUP", "USR1", "USR2", "KILL"] {
        let command = Command::new("echo up; exec sleep 600");
        let process = session.spawn(&command).await.expect("spawned");
        // sshd says that it runs before there is a process group to be signalled.
        assert!(process.read().await.expect(name).is_some());
        process.signal(name).await.expect("sent");
        let status = within(Duration::from_secs(5), name, process.wait()).await.expect(name);
        let ExitStatus::Signal { name: by, .. } = status else { panic!("{name}: {status}") };
        assert!(by.starts_with(name), "{name}, not {by}");
    }
    let process = session.spawn(&Command::new("sleep 600")).await.expect("spawned");
    let error = process.signal("SIGTERM").await.expect_err("no such signal");
    assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
    process.signal("KILL").await.expect("the process goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_as_large_as_asked_for() {
    let server = Sshd::start().expect("sshd");
    let session = connect(&sshd_options(&server)).await;
    let pty = Pty { term: "vt100".into(), columns: 123, rows: 45, ..Pty::default() };
    let command = Command::new("stty size; echo $TERM; echo err >&2; tty").pty(pty);
    let output = session.exec(&command).await.expect("output");
    let text = output.stdout_lossy();
    assert!(text.starts_with("45 123\r\nvt100\r\nerr\r\n/dev/"), "{text:?}");
    assert!(output.stderr.is_empty());

    let command = Command::new("echo up; exec sleep 600").pty(Pty::default()).stdin_piped();
    let process = session.spawn(&command).await.expect("spawned");
    assert!(process.read().await.expect("output").is_some());
    process.write(b"\x03").await.expect("written");
    let status = within(Duration::from_secs(5), "^C", process.wait()).await.expect("status");
    assert!(!status.success(), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_terminal_is_told_and_nothing_runs() {
    let server = EmbeddedServer::start().expect("embedded server");
    let session = connect(&embedded_options(&server)).await;
    let command = Command::new("true").pty(Pty::default()).env("A", "1");
    let error = session.spawn(&command).await.expect_err("refused");
    assert_eq!(error.kind(), Kind::RequestRefused, "{error}");
    assert!(error.to_string().contains("terminal") && !error.may_have_started(), "{error}");
    assert_eq!(server.commands(), 0);
    assert!(session.exec(&Command::new("true")).await.expect("goes on").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unread_command_stalls_no_neighbour_and_loses_nothing() {
    on_both(async |server, session| {
        let flood = Command::new("seq 1 4000000; seq 1 100000 >&2; exit 9");
        let process = session.spawn(&flood).await.expect(server);
        let start = Instant::now();
        within(Duration::from_secs(20), server, async {
            for _ in 0..20 {
                assert!(session.exec(&Command::new("true")).await.expect(server).success());
            }
        })
        .await;
        println!("{server}: 20 commands beside 31 MB that nobody reads: {:?}", start.elapsed());
        let lines = |to: u32| (1..=to).map(|n| format!("{n}\n")).collect::<String>();
        let (out, err) = read_all(&process).await.expect(server);
        assert!(out == lines(4_000_000).as_bytes(), "{server}: {} bytes", out.len());
        assert!(err == lines(100_000).as_bytes(), "{server}: {} bytes", err.len());
        assert_eq!(process.wait().await.expect(server), ExitStatus::Code(9));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_reads_does_not_fill_memory() {
    let resident = || -> u64 {
        let status = fs::read_to_string("/proc/self/status").expect("Linux");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a size");
        line.split_whitespace().nth(1).and_then(|size| size.parse().ok()).expect("a number")
    };
    let server = Sshd::start().expect("sshd");
    let session = connect(&sshd_options(&server)).await;
    let command = Command::new("head -c 300000000 /dev/zero; echo done >&2");
    let before = resident();
    let process = session.spawn(&command).await.expect("spawned");
    let mut most = 0;
    // The server frees the command's slot when all of it has arrived here.
    for _ in 0..100 {
        sleep(Duration::from_millis(50)).await;
        most = most.max(resident().saturating_sub(before));
    }
    assert!(most < 60_000, "{most} kB for 300 MB unread");
    let mut length = 0;
    while let Some(chunk) = process.read().await.expect("read") {
        length += chunk.bytes().len();
        most = most.max(resident().saturating_sub(before));
    }
    println!("{most} kB at most for 300 MB");
    assert_eq!(length, 300_000_005);
    assert!(most < 60_000, "{most} kB while it was read");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_drops_what_was_not_read() {
    on_both(async |server, session| {
        let command = Command::new("head -c 20000000 /dev/zero; cat >/dev/null; exit 5");
        let process = session.spawn(&command.stdin_piped()).await.expect(server);
        process.write(b"some input, whose end comes with the wait").await.expect(server);
        let status = within(Duration::from_secs(20), server, process.wait()).await.expect(server);
        assert_eq!(status, ExitStatus::Code(5), "{server}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_bounds_every_call() {
    on_both(async |server, session| {
        let limit = Duration::from_millis(500);
        let start = Instant::now();
        let command = Command::new("echo begun; sleep 600").stdin_piped().timeout(limit);
        let process = session.spawn(&command).await.expect(server);
        assert!(process.read().await.expect(server).is_some());
        let error = process.read().await.expect_err(server);
        assert_eq!(error.kind(), Kind::Timeout, "{server}: {error}");
        assert!(
            error.may_have_started()
                && error.partial_output().is_none_or(|partial| { partial.stdout.is_empty() })
        );
        assert!(start.elapsed() < Duration::from_secs(3), "{server}: {:?}", start.elapsed());
        for kind in [
            process.read().await.expect_err(server).kind(),
            process.write(b"x").await.expect_err(server).kind(),
            process.close_stdin().await.expect_err(server).kind(),
            process.signal("TERM").await.expect_err(server).kind(),
            process.wait().await.expect_err(server).kind(),
        ] {
            assert_eq!(kind, Kind::Timeout, "{server}");
        }
        // Nobody reads it, and it does not fit into any buffer on the way.
        let command = Command::new("sleep 600").stdin_piped().timeout(limit);
        let process = session.spawn(&command).await.expect(server);
        let feeding = async {
            loop {
                if let Err(error) = process.write(&[b'x'; 1_000_000]).await {
                    break error;
                }
            }
        };
        let error = within(Duration::from_secs(5), server, feeding).await;
        assert_eq!(error.kind(), Kind::Timeout, "{server}: {error}");
        assert!(session.exec(&Command::new("true")).await.expect("goes on").success());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_dropped_is_killed_and_the_session_is_clean_again() {
    let server = Sshd::start().expect("sshd");
    let user = PasswordUser::create().expect("a user; run the tests as root");
    let backend = RusshBackend::new(as_user(&server, &user)).expect("valid");
    let mut session = backend.connect().await.expect("connected");
    for _ in 0..15 {
        let process = session.spawn(&Command::new("sleep 600").stdin_piped()).await.expect("runs");
        let start = Instant::now();
        drop(process);
        assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
        assert!(backend.needs_reset(&mut session), "at once");
        backend.reset(&mut session).await.expect("clean");
        assert!(!backend.needs_reset(&mut session));
    }
    assert!(session.exec(&Command::new("true")).await.expect("output").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spawn_cancelled_at_any_moment_leaves_no_channel_open() {
    let server = EmbeddedServer::start().expect("embedded server");
    let session = connect(&embedded_options(&server)).await;
    let command = Command::new("echo begun; sleep 600").stdin_piped().env("A", "1");
    for delay in [0, 20] {
        server.delay_opens(Duration::from_millis(delay));
        for polls in 0..4 {
            let mut spawning = pin!(session.spawn(&command));
            let mut polled = 0;
            std::future::poll_fn(|context| {
                if polled == polls {
                    return Poll::Ready(());
                }
                polled += 1;
                spawning.as_mut().poll(context).map(|process| drop(process.expect("spawned")))
            })
            .await;
        }
        for patience in [0, 1, 2, 5, 10, 20, 30, 40] {
            let spawning = timeout(Duration::from_millis(patience), session.spawn(&command)).await;
            if let Ok(process) = spawning {
                let process = process.expect("spawned");
                let _ = timeout(Duration::from_millis(patience), process.read()).await;
            }
        }
        let patience = Duration::from_secs(5);
        tokio::task::block_in_place(|| {
            // The one that is open is parked for the next command.
            server.wait_for(patience, |server| server.open_sessions() <= 1).expect("all closed");
        });
        assert!(session.exec(&Command::new("true")).await.expect("goes on").success());
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_is_dropped_loses_nothing() {
    on_both(async |server, session| {
        let command = Command::new("for i in $(seq 1 300); do echo $i; sleep 0.001; done");
        let process = session.spawn(&command).await.expect(server);
        let mut read = Vec::new();
        loop {
            match timeout(Duration::from_micros(300), process.read()).await {
                Ok(chunk) => match chunk.expect(server) {
                    Some(chunk) => read.extend_from_slice(chunk.bytes()),
                    None => break,
                },
                Err(_) => tokio::task::yield_now().await,
            }
        }
        let expected: String = (1..=300).map(|n| format!("{n}\n")).collect();
        assert_eq!(String::from_utf8_lossy(&read), expected, "{server}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_under_a_process_is_an_error_behind_its_output() {
    let server = Sshd::start().expect("sshd");
    let session = connect(&sshd_options(&server)).await;
    let command = Command::new("echo begun; sleep 600").stdin_piped();
    let process = session.spawn(&command).await.expect("spawned");
    sleep(Duration::from_millis(300)).await;
    server.kill_sessions().expect("killed");
    sleep(Duration::from_millis(300)).await;
    assert_eq!(process.read().await.expect("came before"), Some(Chunk::Stdout("begun\n".into())));
    for error in [
        process.read().await.expect_err("gone"),
        process.write(b"x").await.expect_err("gone"),
        process.signal("TERM").await.expect_err("gone"),
        process.wait().await.expect_err("gone"),
    ] {
        assert_eq!(error.kind(), Kind::ConnectionLost, "{error}");
        assert!(error.may_have_started());
    }
    assert!(!session.is_alive());
}
