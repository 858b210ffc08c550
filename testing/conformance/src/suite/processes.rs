//! Commands that are read and written while they run.

use std::time::{Duration, Instant};

use ssh_session::{Command, ExitStatus, Kind, Process as _, Session as _};

use super::case::{at_once, pattern, read_all, read_until, refused, runs, same, soon, wait_until};
use super::{Case, Subject};

super::table![
    a_process_is_read_to_its_end,
    a_process_answers_while_it_is_written_to,
    one_thread_writes_while_another_reads,
    closed_input_takes_nothing_more,
    a_process_that_ended_takes_all_input,
    waiting_drops_what_was_not_read,
    a_process_gets_signals,
    a_dropped_process_is_killed,
    after_its_end_a_process_can_be_asked,
    a_process_ends_at_its_deadline,
];

fn a_process_is_read_to_its_end<S: Subject>(case: &Case<S>) {
    let session = case.session();
    for _ in 0..3 {
        let command = Command::new("echo out; echo err >&2; exec >&- 2>&-; exit 9");
        let process = case.spawn(&session, &command);
        assert_eq!(read_all(&process), (b"out\n".to_vec(), b"err\n".to_vec()));
        assert_eq!(process.wait().expect("a status"), ExitStatus::Code(9));
    }
    let process = case.spawn(&session, &Command::new("wc -c").stdin("twelve bytes"));
    assert_eq!(String::from_utf8_lossy(&read_all(&process).0).trim(), "12", "input given at once");
    let process = case.spawn(&session, &Command::new("kill -KILL $$"));
    assert_eq!(read_all(&process), (Vec::new(), Vec::new()));
    assert_eq!(process.wait().expect("a status").code(), 137);
    case.works(&session);
}

fn a_process_answers_while_it_is_written_to<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let process = case.spawn(&session, &Command::new("cat").stdin_piped());
    for number in 0..20 {
        let line = format!("line {number}\n");
        process.write(line.as_bytes()).expect("written");
        assert_eq!(read_until(&process, "\n"), line);
    }
    process.write(b"").expect("nothing is written, too");
    process.close_stdin().expect("closed");
    assert_eq!(read_all(&process), (Vec::new(), Vec::new()));
    assert!(process.wait().expect("a status").success());
}

fn one_thread_writes_while_another_reads<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let process = case.spawn(&session, &Command::new("cat").stdin_piped());
    let sent = pattern(4_000_000);
    let write = || {
        for part in sent.chunks(37_000) {
            process.write(part).expect("written");
        }
        process.close_stdin().expect("closed");
    };
    let ((), (got, _)) = at_once(write, || read_all(&process));
    same("what came back", &got, &sent);
    assert!(process.wait().expect("a status").success());
    case.works(&session);
}

fn closed_input_takes_nothing_more<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let process = session.spawn(&Command::new("cat; sleep 0.3").stdin_piped()).expect("spawned");
    process.write(b"something").expect("written");
    process.close_stdin().expect("closed");
    process.close_stdin().expect("closed again");
    refused(process.write(b"more"), Kind::InvalidInput);
    assert_eq!(read_all(&process).0, b"something");
    assert!(process.wait().expect("a status").success());
    // Input that is given is no input to be written.
    let process = case.spawn(&session, &Command::new("cat").stdin("given"));
    refused(process.write(b"more"), Kind::InvalidInput);
    assert_eq!(read_all(&process).0, b"given");
    case.works(&session);
}

fn a_process_that_ended_takes_all_input<S: Subject>(case: &Case<S>) {
    let session = case.session();
    // More than any window.
    let input = vec![b'x'; 5_000_000];
    for command in ["exit 4", "exec 0<&-; sleep 0.3; exit 4"] {
        let process = case.spawn(&session, &Command::new(command).stdin_piped());
        soon("writing to nobody", || process.write(&input).expect("taken"));
        process.write(&input).expect("taken again");
        assert_eq!(process.wait().expect("a status").code(), 4);
    }
    case.works(&session);
}

fn waiting_drops_what_was_not_read<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let command = Command::new("cat; head -c 9000000 /dev/zero; head -c 9000000 /dev/zero >&2");
    let process = case.spawn(&session, &command.stdin_piped());
    assert!(process.wait().expect("a status").success(), "its input is ended, too");
    case.works(&session);
}

fn a_process_gets_signals<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let command =
        Command::new("trap 'echo got; exit 3' TERM; echo ready; while :; do sleep 0.05; done");
    let process = case.spawn(&session, &command);
    read_until(&process, "ready\n");
    let error = refused(process.signal("NONSENSE"), Kind::InvalidInput);
    assert!(!error.to_string().is_empty());
    process.signal("TERM").expect("sent");
    read_until(&process, "got\n");
    assert_eq!(process.wait().expect("a status").code(), 3);
    let process = session.spawn(&Command::new("echo ready; exec sleep 600")).expect("spawned");
    read_until(&process, "ready\n");
    process.signal("KILL").expect("sent");
    assert_eq!(process.wait().expect("a status").code(), 137);
    case.works(&session);
}

fn a_dropped_process_is_killed<S: Subject>(case: &Case<S>) {
    let session = case.session();
    for command in ["echo $$; exec sleep 600", "echo $$; exec cat /dev/zero"] {
        let process = case.spawn(&session, &Command::new(command));
        let mut first = Vec::new();
        while !first.contains(&b'\n') {
            first.extend_from_slice(process.read().expect("read").expect("its pid").bytes());
        }
        let pid =
            String::from_utf8_lossy(first.split(|byte| *byte == b'\n').next().expect("a line"))
                .into_owned();
        assert!(runs(&pid), "{pid}");
        let start = Instant::now();
        drop(process);
        assert!(start.elapsed() < Duration::from_secs(2), "dropped in {:?}", start.elapsed());
        wait_until("the process has ended", || !runs(&pid));
        case.works(&session);
    }
}

fn after_its_end_a_process_can_be_asked<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let process = session.spawn(&Command::new("echo out; exit 6").stdin_piped()).expect("spawned");
    assert_eq!(read_all(&process).0, b"out\n");
    for _ in 0..2 {
        assert_eq!(process.read().expect("no error"), None);
        process.write(b"into the void").expect("taken");
        // Nobody is there to get it.
        let _ = process.signal("TERM");
    }
    process.close_stdin().expect("closed");
    case.works(&session);
    assert_eq!(process.read().expect("no error"), None);
    assert_eq!(process.wait().expect("a status").code(), 6);
    let process = case.spawn(&session, &Command::new("exit 6"));
    std::thread::sleep(Duration::from_millis(200));
    drop(process);
    case.works(&session);
}

fn a_process_ends_at_its_deadline<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let limit = Duration::from_millis(800);
    let command = Command::new("echo begun; echo $$ >&2; exec sleep 600");
    let start = Instant::now();
    let process = case.spawn(&session, &command.timeout(limit).stdin_piped());
    let error = loop {
        match process.read() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), Kind::Timeout, "{error}");
    assert!(start.elapsed() >= limit - Duration::from_millis(20), "{:?}", start.elapsed());
    assert!(error.may_have_started());
    for error in [
        process.read().map(drop).expect_err("read"),
        process.write(b"x").expect_err("write"),
        process.close_stdin().expect_err("close"),
        process.signal("TERM").expect_err("signal"),
    ] {
        assert_eq!(error.kind(), Kind::Timeout, "{error}");
    }
    refused(process.wait(), Kind::Timeout);
    // Where nobody reads or writes, the deadline ends whoever comes next.
    let command = Command::new("sleep 600").timeout(limit).stdin_piped();
    let process = case.spawn(&session, &command);
    let written = soon("a write", || process.write(&vec![0; 20_000_000]));
    if case.capabilities().holds_input_back {
        refused(written, Kind::Timeout);
    }
    refused(process.read(), Kind::Timeout);
    drop(process);
    let process = case.spawn(&session, &Command::new("sleep 600").timeout(limit));
    refused(soon("a wait", || process.wait()), Kind::Timeout);
    case.works(&session);
}
