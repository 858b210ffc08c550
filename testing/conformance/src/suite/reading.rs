//! Commands as lines, and as what `std::io` reads from and writes to.

use std::io::{self, BufRead as _, Read as _, Write as _};
use std::time::Duration;

use ssh_session::{Command, Kind, Lines, Process as _, ProcessReader, ProcessWriter, Session as _};

use super::case::{SOON, at_once, numbers, pattern, same};
use super::{Case, Subject};

super::table![
    lines_come_one_by_one_as_they_are_written,
    lines_too_long_come_in_pieces,
    much_is_copied_through_a_command,
    a_reader_keeps_what_comes_on_the_other_stream,
    a_reader_says_why_it_goes_no_further,
];

fn lines_come_one_by_one_as_they_are_written<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let talk = Command::new("while read line; do echo \"heard $line\"; done; printf over");
    let process = case.spawn(&session, &talk.stdin_piped().timeout(SOON));
    let mut lines = Lines::new(&process);
    for word in ["one", "", "\u{20ac}"] {
        process.write(format!("{word}\n").as_bytes()).expect("taken");
        let line = lines.next().expect("a line").expect("no error");
        assert_eq!((&*line.to_text(), line.is_end), (&*format!("heard {word}"), true));
        assert!(!line.is_stderr);
    }
    process.close_stdin().expect("closed");
    let line = lines.next().expect("the rest").expect("no error");
    assert_eq!((&*line.to_text(), line.is_end), ("over", false));
    assert!(lines.next().is_none() && lines.next().is_none());
    let status = process.wait();
    assert!(case.again(|| status.clone()).expect("its end").success());
}

fn lines_too_long_come_in_pieces<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let command =
        Command::new("head -c 100000 /dev/zero | tr '\\0' x; echo; seq 1 1000; echo e >&2");
    let process = case.spawn(&session, &command.timeout(SOON));
    let (mut long, mut rest, mut errors) = (0, Vec::new(), Vec::new());
    for line in Lines::new(&process).max_line(1000) {
        let line = line.expect("no error");
        assert!(line.bytes.len() <= 1000);
        match (line.is_stderr, line.bytes.first()) {
            (true, _) => errors.extend_from_slice(&line.bytes),
            (false, Some(b'x')) => long += line.bytes.len(),
            (false, _) => {
                assert!(line.is_end);
                rest.extend_from_slice(&line.bytes);
                rest.push(b'\n');
            }
        }
    }
    // The end of the long line, where it fits exactly.
    let rest = rest.strip_prefix(b"\n").unwrap_or(&rest);
    assert_eq!((long, &errors[..]), (100_000, &b"e"[..]));
    same("the lines behind it", rest, &numbers(1000));
}

fn much_is_copied_through_a_command<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let process = case.spawn(&session, &Command::new("cat").stdin_piped().timeout(SOON * 3));
    let sent = pattern(1_000_000);
    let ((), received) = at_once(
        || {
            let mut writer = ProcessWriter::new(&process);
            io::copy(&mut &sent[..], &mut writer).expect("all of it is taken");
            writer.flush().expect("flushed");
            writer.close().expect("closed");
        },
        || {
            let mut received = Vec::new();
            ProcessReader::new(&process).read_to_end(&mut received).expect("all of it comes");
            received
        },
    );
    same("what came back", &received, &sent);
}

fn a_reader_keeps_what_comes_on_the_other_stream<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let command = Command::new("echo first; head -c 200000 /dev/zero >&2; echo last");
    let process = case.spawn(&session, &command.timeout(SOON));
    let mut reader = ProcessReader::new(&process);
    let lines: Vec<_> = reader.by_ref().lines().map(|line| line.expect("text")).collect();
    assert_eq!(lines, ["first", "last"]);
    assert_eq!(reader.stderr(), vec![0; 64 * 1024]);
}

fn a_reader_says_why_it_goes_no_further<S: Subject>(case: &Case<S>) {
    let server = case.server(&super::Setup::default());
    let session = case.connect(&server.options());
    let read = |command: Command, end: &dyn Fn()| {
        let process = case.spawn(&session, &command);
        end();
        let error = ProcessReader::new(&process).read(&mut [0; 10]).expect_err("nothing comes");
        let source = error.get_ref().and_then(|source| source.downcast_ref());
        let source: &ssh_session::SshError = source.expect("its reason");
        assert!(source.may_have_started(), "{source}");
        (error.kind(), source.kind())
    };
    let late = read(Command::new("sleep 600").timeout(Duration::from_millis(300)), &|| ());
    assert_eq!(late, (io::ErrorKind::TimedOut, Kind::Timeout));
    let lost = read(Command::new("sleep 600"), &|| server.kill_sessions());
    assert_eq!(lost, (io::ErrorKind::ConnectionReset, Kind::ConnectionLost));
    let session = case.connect(&server.options());
    let process = case.spawn(&session, &Command::new("cat").stdin_piped());
    session.close();
    let mut writer = ProcessWriter::new(&process);
    let error = (0..1000).find_map(|_| writer.write(b"x").err()).expect("nobody takes it");
    assert_eq!(error.kind(), io::ErrorKind::NotConnected, "{error}");
}
