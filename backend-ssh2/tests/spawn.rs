//! Commands that are read and fed while they run, on a real sshd and on the embedded server.

mod common;

use std::time::{Duration, Instant};

use backend_ssh2::{Ssh2Process, Ssh2Session};
use common::{connect, on_both, sshd_options, within};
use ssh_session::{Chunk, Command, ExitStatus, Kind, Process as _, Pty, Session as _};
use test_servers::sshd::Sshd;

const PATIENCE: Duration = Duration::from_secs(60);

/// Reads until as many bytes of output have come, or to the end.
fn read(process: &Ssh2Process<'_>, length: usize) -> Vec<u8> {
    let mut output = Vec::new();
    while output.len() < length
        && let Some(chunk) = process.read().expect("output")
    {
        match chunk {
            Chunk::Stdout(bytes) => output.extend_from_slice(&bytes),
            Chunk::Stderr(bytes) => panic!("errors: {:?}", String::from_utf8_lossy(&bytes)),
        }
    }
    output
}

fn read_text(process: &Ssh2Process<'_>) -> String {
    String::from_utf8_lossy(&read(process, usize::MAX)).into_owned()
}

fn spawn(session: &Ssh2Session, command: impl Into<Command>) -> Ssh2Process<'_> {
    session.spawn(&command.into()).expect("started")
}

#[test]
fn a_piped_command_answers_each_line_as_it_comes() {
    on_both(|server, session| {
        within(PATIENCE, server, move || {
            let process = spawn(&session, Command::new("cat").stdin_piped());
            for number in 0..20 {
                let line = format!("line {number}\n");
                process.write(line.as_bytes()).expect("written");
                assert_eq!(read(&process, line.len()), line.as_bytes());
            }
            process.close_stdin().expect("closed");
            process.close_stdin().expect("which may be said twice");
            let error = process.write(b"more").expect_err("it was closed");
            assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
            assert_eq!(process.read().expect("the end"), None);
            assert_eq!(process.read().expect("the end stays"), None);
            assert_eq!(process.wait().expect("a status"), ExitStatus::Code(0));
        });
    });
}

#[test]
fn ten_megabytes_go_through_a_command_both_ways_at_once() {
    on_both(|server, session| {
        within(PATIENCE, server, move || {
            let bytes: Vec<u8> = (0..10_000_000_u32).map(|n| (n * 7 % 251) as u8).collect();
            let process = spawn(&session, Command::new("cat").stdin_piped());
            let back = std::thread::scope(|scope| {
                scope.spawn(|| {
                    for piece in bytes.chunks(777_777) {
                        process.write(piece).expect("written");
                    }
                    process.close_stdin().expect("closed");
                });
                read(&process, usize::MAX)
            });
            assert!(back == bytes, "{} bytes came back", back.len());
            assert!(process.wait().expect("a status").success());
        });
    });
}

#[test]
fn input_given_with_the_command_is_fed_by_whoever_reads() {
    on_both(|server, session| {
        within(PATIENCE, server, move || {
            let process = spawn(&session, Command::new("wc -c").stdin(vec![b'x'; 5_000_000]));
            let error = process.write(b"more").expect_err("it is given whole");
            assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
            assert_eq!(read_text(&process).trim(), "5000000");
            let process = spawn(&session, Command::new("cat >/dev/null; exit 3").stdin("x"));
            assert_eq!(process.wait().expect("a status"), ExitStatus::Code(3));
        });
    });
}

#[test]
fn both_streams_arrive_each_as_its_own() {
    on_both(|server, session| {
        within(PATIENCE, server, move || {
            let command = "head -c 5000000 /dev/zero & head -c 5000000 /dev/zero >&2; wait; exit 4";
            let process = spawn(&session, Command::new(command));
            let (mut stdout, mut stderr) = (0, 0);
            while let Some(chunk) = process.read().expect("output") {
                assert!(!chunk.bytes().is_empty());
                match chunk {
                    Chunk::Stdout(bytes) => stdout += bytes.len(),
                    Chunk::Stderr(bytes) => stderr += bytes.len(),
                }
            }
            assert_eq!((stdout, stderr), (5_000_000, 5_000_000));
            assert_eq!(process.wait().expect("a status"), ExitStatus::Code(4));
        });
    });
}

#[test]
fn a_command_that_ended_takes_all_input() {
    on_both(|server, session| {
        within(PATIENCE, server, move || {
            // Its output, unread, stands before its end.
            let command = Command::new("head -c 100000 /dev/zero; exit 5").stdin_piped();
            let process = spawn(&session, command);
            for _ in 0..20 {
                process.write(&vec![b'x'; 1_000_000]).expect("taken");
            }
            assert_eq!(read(&process, usize::MAX).len(), 100_000);
            process.write(b"even now").expect("taken");
            process.signal("TERM").expect("which hurts nobody");
            assert_eq!(process.wait().expect("a status"), ExitStatus::Code(5));
        });
    });
}

#[test]
fn a_command_in_a_terminal_has_its_size_and_type() {
    let server = Sshd::start().expect("sshd");
    let session = connect(&sshd_options(&server));
    within(PATIENCE, "sshd", move || {
        let pty = Pty { term: "vt100".into(), columns: 132, rows: 43, ..Pty::default() };
        let command = "tty; stty size; echo $TERM; echo err >&2";
        let process = spawn(&session, Command::new(command).pty(pty));
        let text = read_text(&process);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("/dev/"), "{text}");
        assert_eq!(lines[1..], ["43 132", "vt100", "err"], "{text}");
        assert!(process.wait().expect("a status").success());
        let output = session.exec(&Command::new("tty")).expect("output");
        assert_eq!(output.stdout_text(), Ok("not a tty\n"));
    });
}

#[test]
fn a_refused_terminal_is_an_error_that_names_it() {
    let server = Sshd::builder().option("PermitTTY no").start().expect("sshd");
    let session = connect(&sshd_options(&server));
    let error = session.spawn(&Command::new("tty").pty(Pty::default())).expect_err("refused");
    assert_eq!(error.kind(), Kind::RequestRefused, "{error}");
    assert!(error.to_string().contains("terminal"), "{error}");
    assert!(!error.may_have_started());
    assert!(session.exec(&Command::new("true")).expect("the session goes on").success());
}

#[test]
fn a_signal_reaches_the_command() {
    let server = Sshd::start().expect("sshd");
    let user = test_servers::sshd::PasswordUser::create().expect("a user; run the tests as root");
    let session = connect(&common::user_options(&server, &user));
    within(PATIENCE, "sshd", move || {
        let command = "exec 2>/dev/null; trap 'echo got it; exit 7' USR1; echo ready; \
                       while :; do sleep 0.05; done";
        let process = spawn(&session, Command::new(command));
        assert_eq!(read(&process, 6), b"ready\n");
        let error = process.signal("NOSUCH").expect_err("none of RFC 4254's");
        assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
        process.signal("USR1").expect("sent");
        assert_eq!(read_text(&process), "got it\n");
        assert_eq!(process.wait().expect("a status"), ExitStatus::Code(7));
        let process = spawn(&session, Command::new("echo ready; exec sleep 600"));
        // sshd loses a signal that comes before its child has a process group.
        assert_eq!(read(&process, 6), b"ready\n");
        process.signal("TERM").expect("sent");
        let status = process.wait().expect("a status");
        assert!(matches!(&status, ExitStatus::Signal { name, .. } if name == "TERM"), "{status:?}");
    });
}

#[test]
fn a_command_dropped_before_its_end_is_killed_and_frees_its_slot() {
    let server = Sshd::builder().max_sessions(2).start().expect("sshd");
    // sshd 9.2 signals commands of all users but root.
    let user = test_servers::sshd::PasswordUser::create().expect("a user; run the tests as root");
    let session = connect(&common::user_options(&server, &user));
    within(PATIENCE, "sshd", move || {
        for _ in 0..10 {
            let process = spawn(&session, Command::new("echo $$; exec sleep 600"));
            let pid = String::from_utf8(read(&process, 2)).expect("text");
            let start = Instant::now();
            drop(process);
            assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
            let alive = format!("/proc/{}", pid.trim());
            let patience = Instant::now() + Duration::from_secs(5);
            while std::path::Path::new(&alive).exists() && Instant::now() < patience {
                std::thread::sleep(Duration::from_millis(5));
            }
            assert!(!std::path::Path::new(&alive).exists(), "killed");
        }
    });
}

#[test]
fn an_unread_command_does_not_stall_its_neighbours() {
    on_both(|server, session| {
        within(PATIENCE, server, move || {
            let flood = spawn(&session, Command::new("cat /dev/zero"));
            // More than its window: the command waits by now.
            std::thread::sleep(Duration::from_millis(500));
            for number in 0..20 {
                let output = session.exec(&Command::new(format!("echo {number}"))).expect("output");
                assert_eq!(output.stdout_lossy(), format!("{number}\n"));
            }
            let output = session.exec(&Command::new("head -c 10000000 /dev/zero")).expect("output");
            assert_eq!(output.stdout.len(), 10_000_000);
            // And goes on when it is read: three windows more.
            let mut length = 0;
            while length < 8_000_000 {
                length += flood.read().expect("output").expect("endless").bytes().len();
            }
        });
    });
}

#[test]
fn an_unread_command_writes_no_more_than_its_window() {
    let server = Sshd::start().expect("sshd");
    let session = connect(&sshd_options(&server));
    within(PATIENCE, "sshd", move || {
        // Says on the other side how far it got.
        let folder = tempfile::tempdir().expect("a folder");
        let (count, path) = (folder.path().join("count"), folder.path().display().to_string());
        let command = format!(
            "cd {path}; n=0; while [ $n -lt 400 ]; do head -c 100000 /dev/zero; \
             n=$((n+1)); echo $n >count; done"
        );
        let process = spawn(&session, Command::new(command));
        let so_far = || {
            let text = std::fs::read_to_string(&count).unwrap_or_default();
            text.trim().parse::<usize>().unwrap_or(0) * 100_000
        };
        std::thread::sleep(Duration::from_secs(1));
        for _ in 0..5 {
            assert!(session.exec(&Command::new("true")).expect("a neighbour").success());
        }
        // The window is 2 MiB; pipes and sshd's own buffers take some more.
        assert!(so_far() < 5_000_000, "{} bytes", so_far());
        assert_eq!(read(&process, usize::MAX).len(), 40_000_000);
        assert!(process.wait().expect("a status").success());
    });
}

#[test]
fn a_deadline_ends_every_call_on_a_command() {
    on_both(|server, session| {
        let server = server.to_owned();
        within(PATIENCE, &server.clone(), move || {
            let limit = Duration::from_millis(700);
            let command = || Command::new("sleep 600").stdin_piped().timeout(limit);
            let timed_out = |start: Instant, error: ssh_session::SshError| {
                assert_eq!(error.kind(), Kind::Timeout, "{error}");
                assert!(error.may_have_started());
                assert!(start.elapsed() < limit + Duration::from_secs(2), "{:?}", start.elapsed());
            };
            let start = Instant::now();
            let process = spawn(&session, command());
            timed_out(start, process.read().expect_err("nothing to read"));
            assert_eq!(process.write(b"x").expect_err("over").kind(), Kind::Timeout);
            assert_eq!(process.signal("TERM").expect_err("over").kind(), Kind::Timeout);
            assert_eq!(process.close_stdin().expect_err("over").kind(), Kind::Timeout);
            timed_out(start, process.wait().expect_err("over"));
            // The embedded server takes in what its commands don't read.
            if server == "sshd" {
                let start = Instant::now();
                let process = spawn(&session, command());
                let error = process.write(&vec![b'x'; 20_000_000]).expect_err("nobody reads");
                timed_out(start, error);
            }
            let output = session.exec(&Command::new("echo next")).expect("the session goes on");
            assert_eq!(output.stdout_text(), Ok("next\n"));
        });
    });
}

#[test]
fn a_server_killed_under_a_process_is_never_its_end() {
    let server = Sshd::start().expect("sshd");
    let session = connect(&sshd_options(&server));
    let process = spawn(&session, Command::new("echo begun; sleep 600").stdin_piped());
    assert_eq!(read(&process, 6), b"begun\n");
    server.kill_sessions().expect("killed");
    let error = process.read().expect_err("the server is gone");
    assert_eq!(error.kind(), Kind::ConnectionLost, "{error}");
    assert!(error.may_have_started());
    assert_eq!(process.write(b"x").expect_err("gone").kind(), Kind::ConnectionLost);
    assert_eq!(process.wait().expect_err("gone").kind(), Kind::ConnectionLost);
}
