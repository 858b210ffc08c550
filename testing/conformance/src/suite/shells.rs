//! Interactive shells, with and without a terminal.

use std::time::{Duration, Instant};

use ssh_session::shell::{Match, Pattern, ReadUntil, Shell, ShellOptions};
use ssh_session::{Command, Kind, Process, Pty, Session, SshError, TerminalMode};

use super::case::{SOON, refused, runs, soon, wait_until};
use super::{Case, Subject};

super::table![
    a_shell_answers_what_is_typed,
    a_shell_in_a_terminal_has_its_size_type_and_modes,
    a_terminal_changes_its_size,
    what_a_shell_wrote_is_kept_when_time_is_up,
    a_shell_is_read_without_waiting,
    the_deadline_of_a_shell_is_for_its_start,
    a_shell_that_does_not_end_is_given_up,
    a_dropped_shell_is_killed_and_its_session_goes_on,
    shells_on_a_closed_or_dead_session_are_errors,
];

/// What the shells of the servers are told, so that one pattern finds the end of all they say.
const PROMPT: &str = "ready> ";

fn plain() -> ShellOptions {
    ShellOptions::new().pty(None)
}

impl<S: Subject> Case<S> {
    #[track_caller]
    fn shell<'s>(
        &self,
        session: &'s S::Session,
        options: &ShellOptions,
    ) -> Shell<<S::Session as Session>::Process<'s>> {
        Shell::new(self.spawn(session, &options.command()), options)
    }
}

fn literal(text: &str) -> Pattern {
    Pattern::literal(text).expect("a pattern")
}

#[track_caller]
fn find(shell: &mut Shell<impl Process>, pattern: &Pattern) -> Match {
    match shell.read_until(pattern, SOON) {
        Ok(ReadUntil::Match(found)) => found,
        other => panic!("{other:?}, {:?} read", String::from_utf8_lossy(shell.buffered())),
    }
}

/// Types a command, and says what comes until the next prompt.
#[track_caller]
fn typed(shell: &mut Shell<impl Process>, line: &str) -> String {
    shell.send(format!("{line}\n").as_bytes()).expect("sent");
    find(shell, &literal(PROMPT)).before_text().into_owned()
}

/// Whether the server has terminals; where it has none, asking for one is refused.
fn has_terminals<S: Subject>(case: &Case<S>, session: &S::Session) -> bool {
    if !case.capabilities().terminals {
        let error = refused(session.spawn(&ShellOptions::new().command()), Kind::RequestRefused);
        assert!(error.to_string().contains("terminal"), "{error}");
        case.works(session);
    }
    case.capabilities().terminals
}

fn a_shell_answers_what_is_typed<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let mut shell = case.shell(&session, &plain());
    for number in 0..20 {
        shell
            .send(format!("echo $(({number} + 1))x=; echo err{number}= >&2\n").as_bytes())
            .expect("sent");
        // The two streams need not come in order.
        let both = Pattern::regex("(?s)=.*=").expect("a pattern");
        let found = find(&mut shell, &both);
        let text = String::from_utf8(found.into_bytes().to_vec()).expect("text");
        assert!(text.contains(&format!("{}x=", number + 1)), "{text}");
        assert!(text.contains(&format!("err{number}=")), "{text}");
    }
    let parts = Pattern::regex(r"(one|two):(\d+);").expect("a pattern");
    shell.send(b"printf 'one:1;'; printf 'two:22;'; exit 7\n").expect("sent");
    let groups = |found: &Match| [1, 2].map(|n| found.group(n).map(<[u8]>::to_vec));
    let group = |text: &str| Some(text.as_bytes().to_vec());
    assert_eq!(groups(&find(&mut shell, &parts)), [group("one"), group("1")]);
    assert_eq!(groups(&find(&mut shell, &parts)), [group("two"), group("22")]);
    assert_eq!(shell.read_until(&parts, SOON).expect("read"), ReadUntil::Ended);
    shell.send(b"nobody reads this\n").expect("taken");
    assert_eq!(shell.wait(SOON).expect("a status").code(), 7);
    // A shell that reads no terminal ends with its input.
    let shell = case.shell(&session, &plain());
    shell.close_stdin().expect("closed");
    assert!(shell.wait(SOON).expect("a status").success());
    case.works(&session);
}

fn a_shell_in_a_terminal_has_its_size_type_and_modes<S: Subject>(case: &Case<S>) {
    let session = case.session();
    if !has_terminals(case, &session) {
        return;
    }
    let mut shell = case.shell(&session, &ShellOptions::new());
    shell.send(b"PS1='ready''> '\n").expect("sent");
    find(&mut shell, &literal(PROMPT));
    let said = typed(&mut shell, "stty size; echo $TERM");
    assert_eq!(said, "stty size; echo $TERM\r\n24 80\r\nxterm\r\n", "what is typed is echoed");
    shell.send(b"sleep 600\n").expect("sent");
    find(&mut shell, &literal("600\r\n"));
    std::thread::sleep(Duration::from_millis(200));
    shell.send(b"\x03").expect("sent");
    find(&mut shell, &literal(PROMPT));
    shell.send(b"exit 9\n").expect("sent");
    assert_eq!(shell.wait(SOON).expect("a status").code(), 9);

    let modes = vec![(TerminalMode::ECHO, 0), (TerminalMode::VINTR, 24)];
    let pty = Pty { term: "vt100".into(), columns: 132, rows: 50, modes };
    let mut shell = case.shell(&session, &ShellOptions::new().pty(pty));
    shell.send(b"PS1='ready''> '\n").expect("sent");
    find(&mut shell, &literal(PROMPT));
    let said =
        typed(&mut shell, "stty size; echo $TERM; stty -a | tr ';' '\\n' | grep -o 'intr.*'");
    assert_eq!(said, "50 132\r\nvt100\r\nintr = ^X\r\n");
    case.works(&session);
}

fn a_terminal_changes_its_size<S: Subject>(case: &Case<S>) {
    let session = case.session();
    if !has_terminals(case, &session) {
        // Nobody is there to see it, and nobody minds.
        case.shell(&session, &plain()).resize(100, 30).expect("sent");
        return case.works(&session);
    }
    let mut shell = case.shell(&session, &ShellOptions::new());
    shell.send(b"PS1='ready''> '; stty -echo\n").expect("sent");
    find(&mut shell, &literal(PROMPT));
    for (columns, rows) in [(100, 30), (20, 5), (1_000, 1_000)] {
        shell.resize(columns, rows).expect("sent");
        // There is no answer; what is typed behind it finds it done.
        assert_eq!(typed(&mut shell, "stty size"), format!("{rows} {columns}\r\n"));
    }
    shell.send(b"exit\n").expect("sent");
    assert!(shell.wait(SOON).expect("a status").success());
    case.works(&session);
}

fn what_a_shell_wrote_is_kept_when_time_is_up<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let mut shell = case.shell(&session, &plain());
    let mark = literal("mark");
    shell.send(b"echo first; sleep 1; echo mark; head -c 3000000 /dev/zero\n").expect("sent");
    let (start, limit) = (Instant::now(), Duration::from_millis(500));
    let read = shell.read_until(&mark, limit).expect("read");
    assert_eq!((read, shell.buffered()), (ReadUntil::TimedOut, &b"first\n"[..]));
    assert!(start.elapsed() >= limit && start.elapsed() < SOON, "{:?}", start.elapsed());
    assert_eq!(find(&mut shell, &mark).before(), b"first\n");
    // What is looked through has a bound, and what nobody takes waits on the server.
    assert_eq!(shell.read_until(&mark, SOON).expect("read"), ReadUntil::Full);
    let (most, piece) = (1 << 20, 1 << 17);
    assert!((most..most + piece).contains(&shell.buffered().len()), "{}", shell.buffered().len());
    let mut read = 0;
    while read < 3_000_001 {
        read += shell.read(SOON).expect("read").expect("more").len();
    }
    assert_eq!(read, 3_000_001);
    case.works(&session);
}

fn a_shell_is_read_without_waiting<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let mut shell = case.shell(&session, &plain());
    for _ in 0..50 {
        let start = Instant::now();
        assert_eq!(shell.read(Duration::ZERO).expect("read").as_deref(), Some(&b""[..]));
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }
    shell.send(b"echo there; exit 3\n").expect("sent");
    let mut read = Vec::new();
    wait_until("it ends, asked without waiting", || {
        match shell.read(Duration::ZERO).expect("read") {
            Some(piece) => {
                read.extend(piece);
                false
            }
            None => true,
        }
    });
    assert_eq!(read, b"there\n");
    assert_eq!(shell.wait(SOON).expect("a status").code(), 3);
}

fn the_deadline_of_a_shell_is_for_its_start<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let limit = Duration::from_millis(700);
    let mut shell = case.shell(&session, &plain().timeout(limit));
    std::thread::sleep(limit + Duration::from_millis(300));
    shell.send(b"echo late\n").expect("sent");
    find(&mut shell, &literal("late\n"));
    drop(shell);
    if let Some(server) = case.server.embedded() {
        // Before the login: a channel may be opened ahead with it.
        server.delay_opens(Duration::from_secs(2));
        let session = case.session();
        let options = plain().timeout(Duration::from_millis(300));
        let late = soon("a late server", || session.spawn(&options.command()));
        server.delay_opens(Duration::ZERO);
        refused(late, Kind::Timeout);
    }
}

fn a_shell_that_does_not_end_is_given_up<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let mut shell = case.shell(&session, &plain());
    shell.send(b"echo $$; exec sleep 600\n").expect("sent");
    let pid = find(&mut shell, &literal("\n")).before_text().into_owned();
    assert!(runs(&pid), "{pid}");
    refused(soon("waiting", || shell.wait(Duration::from_millis(300))), Kind::Timeout);
    wait_until("it has ended", || !runs(&pid));
    session.wait_until_closed(SOON).expect("closed");
    case.works(&session);
}

fn a_dropped_shell_is_killed_and_its_session_goes_on<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let mut shell = case.shell(&session, &plain());
    shell.send(b"echo $$; while :; do sleep 0.05; done\n").expect("sent");
    let pid = find(&mut shell, &literal("\n")).before_text().into_owned();
    assert!(runs(&pid), "{pid}");
    soon("dropping it", || drop(shell));
    wait_until("it has ended", || !runs(&pid));
    session.wait_until_closed(SOON).expect("closed");
    assert!(!session.has_abandoned_channels());
    case.works(&session);
}

fn shells_on_a_closed_or_dead_session_are_errors<S: Subject>(case: &Case<S>) {
    let any = literal("never");
    let session = case.session();
    let mut shell = case.shell(&session, &plain());
    shell.send(b"echo before\n").expect("sent");
    find(&mut shell, &literal("before\n"));
    session.close();
    let mut fails = |kind| {
        let read = soon("reading", || shell.read_until(&any, SOON)).map(drop);
        refused(read, kind);
        refused(shell.send(&vec![b'x'; 5_000_000]), kind);
        refused(soon("reading", || shell.read(SOON)).map(drop), kind);
    };
    fails(Kind::Closed);
    fails(Kind::Closed);
    let opened: Result<_, SshError> = session.spawn(&Command::shell()).map(drop);
    refused(opened, Kind::Closed);
    let (proxy, options) = case.proxy();
    let session = case.connect(&options);
    let mut shell = case.shell(&session, &plain());
    proxy.cut();
    refused(soon("reading", || shell.read_until(&any, SOON)).map(drop), Kind::ConnectionLost);
    refused(soon("waiting", || shell.wait(SOON)), Kind::ConnectionLost);
}
