//! Commands that run in a terminal.

use ssh_session::{Command, Kind, Process as _, Pty, Session};

use super::case::{read_until, refused};
use super::{Case, Subject};

super::table![
    a_terminal_has_its_type_and_size,
    in_a_terminal_errors_come_with_the_output,
    a_terminal_can_be_typed_into,
];

/// Whether the server has terminals; where it has none, asking for one is refused.
fn has_terminals<S: Subject>(case: &Case<S>, session: &impl Session) -> bool {
    if !case.capabilities().terminals {
        let command = Command::new("echo run").pty(Pty::default());
        let error = refused(session.exec(&command), Kind::RequestRefused);
        assert!(!error.may_have_started());
        assert!(error.to_string().contains("terminal"), "{error}");
        refused(session.spawn(&command), Kind::RequestRefused);
        case.works(session);
    }
    case.capabilities().terminals
}

fn a_terminal_has_its_type_and_size<S: Subject>(case: &Case<S>) {
    let session = case.session();
    if !has_terminals(case, &session) {
        return;
    }
    let wide = Pty { term: "vt100".into(), columns: 132, rows: 50, ..Pty::default() };
    for (pty, expected) in [(Pty::default(), "24 80\r\nxterm\r\n"), (wide, "50 132\r\nvt100\r\n")] {
        let command = Command::new("tty -s && stty size && echo $TERM; exit 3").pty(pty);
        let output = case.exec(&session, &command);
        assert_eq!(output.stdout_text(), Ok(expected));
        assert_eq!(output.status.code(), 3);
    }
    let output = case.exec(&session, &Command::new("tty -s"));
    assert_eq!(output.status.code(), 1, "the next command has no terminal");
}

fn in_a_terminal_errors_come_with_the_output<S: Subject>(case: &Case<S>) {
    let session = case.session();
    if !has_terminals(case, &session) {
        return;
    }
    let command = Command::new("echo out; echo err >&2; kill -TERM $$").pty(Pty::default());
    let output = case.exec(&session, &command);
    assert_eq!(output.stdout_text(), Ok("out\r\nerr\r\n"));
    assert_eq!(output.stderr_text(), Ok(""));
    assert_eq!(output.status.code(), 143);
}

fn a_terminal_can_be_typed_into<S: Subject>(case: &Case<S>) {
    let session = case.session();
    if !has_terminals(case, &session) {
        return;
    }
    let command = Command::new(
        "echo ready; trap 'echo stopped; exit 5' INT; read line; echo \
        \"got $line\"; while :; do sleep 0.05; done",
    );
    let process = case.spawn(&session, &command.pty(Pty::default()).stdin_piped());
    read_until(&process, "ready\r\n");
    process.write(b"hello\n").expect("written");
    let seen = read_until(&process, "got hello\r\n");
    assert!(seen.starts_with("hello\r\n"), "what is typed is echoed: {seen:?}");
    process.write(b"\x03").expect("written");
    let seen = read_until(&process, "stopped\r\n");
    assert!(seen.contains("^C"), "{seen:?}");
    assert_eq!(process.wait().expect("a status").code(), 5);
    case.works(&session);
}
