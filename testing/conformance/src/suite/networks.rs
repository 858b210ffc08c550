//! What networks do to connections: cuts and resets, before, during and after each step.

use std::thread;
use std::time::Duration;

use ssh_session::{Command, Kind, Options, Process as _, Session as _};

use super::case::{at_once, read_until, refused, soon, wait_until};
use super::{Case, Subject};
use test_servers::proxy::{Direction, FaultProxy};

super::table![
    a_connection_cut_anywhere_is_an_error,
    a_connection_that_ends_in_mid_command_keeps_the_output,
    an_idle_connection_that_ends_is_found_dead,
    a_server_that_is_not_there_is_told_apart,
];

/// How far apart the cuts are, in bytes.
const STEP: usize = 97;

/// Dials, runs a command and ends, over a connection that is cut after so many bytes; says
/// whether all of it went well, and checks what went wrong.
fn attempt<S: Subject>(case: &Case<S>, options: &Options, what: &str) -> bool {
    let session = match soon(what, || case.subject.connect(options)) {
        Ok(session) => session,
        Err(error) => {
            let kinds = [Kind::ConnectionLost, Kind::Busy, Kind::Connect];
            assert!(kinds.contains(&error.kind()), "{what}: {:?}: {error}", error.kind());
            assert!(error.is_retryable(), "{what}: {error}");
            assert!(!error.may_have_started(), "{what}: {error}");
            return false;
        }
    };
    let command = Command::new("cat; echo end >&2; exit 4").stdin(&b"input"[..]);
    match soon(what, || session.exec(&command)) {
        Ok(output) => {
            assert_eq!(output.stdout_text(), Ok("input"), "{what}");
            assert_eq!(output.stderr_text(), Ok("end\n"), "{what}");
            assert_eq!(output.status.code(), 4, "{what}");
            soon(what, || session.ping(Duration::from_secs(5))).is_ok()
        }
        Err(error) => {
            assert_eq!(error.kind(), Kind::ConnectionLost, "{what}: {error}");
            false
        }
    }
}

fn a_connection_cut_anywhere_is_an_error<S: Subject>(case: &Case<S>) {
    let (proxy, mut options) = case.proxy();
    // A server that is gone at once is dialled again until then.
    options.connect_timeout = Duration::from_secs(3);
    for direction in [Direction::ToClient, Direction::ToServer] {
        let mut cut = 0;
        // The first connections are those of the handshake, the last ones end by themselves.
        for bytes in (0..20_000).step_by(STEP) {
            proxy.cut_after(Some(bytes), direction);
            if attempt(case, &options, &format!("cut {direction:?} after {bytes}")) {
                break;
            }
            cut += 1;
        }
        proxy.cut_after(None, direction);
        assert!((15..200).contains(&cut), "{cut} connections were cut {direction:?}");
    }
    assert!(attempt(case, &options, "not cut"));
}

fn a_connection_that_ends_in_mid_command_keeps_the_output<S: Subject>(case: &Case<S>) {
    let (proxy, options) = case.proxy();
    let ends: [fn(&FaultProxy); 2] = [FaultProxy::cut, FaultProxy::reset];
    for end in ends {
        let session = case.connect(&options);
        let process = session.spawn(&Command::new("echo begun; sleep 600")).expect("spawned");
        read_until(&process, "begun\n");
        let before = proxy.bytes(Direction::ToClient);
        let (result, ()) = at_once(
            || session.exec(&Command::new("echo begun; head -c 100000 /dev/zero; sleep 600")),
            || {
                let has_written = || proxy.bytes(Direction::ToClient) > before + 100_000;
                wait_until("the command has written", has_written);
                // And we have read it: a reset throws away what waits.
                thread::sleep(Duration::from_millis(300));
                end(&proxy);
            },
        );
        let error = refused(result, Kind::ConnectionLost);
        assert!(error.partial_output().expect("output").stdout.starts_with(b"begun\n"));
        assert!(error.may_have_started() && !error.is_retryable());
        refused(soon("a read", || process.read()), Kind::ConnectionLost);
        refused(soon("a wait", || process.wait()), Kind::ConnectionLost);
        assert!(!session.is_alive());
    }
}

fn an_idle_connection_that_ends_is_found_dead<S: Subject>(case: &Case<S>) {
    let (proxy, options) = case.proxy();
    let ends: [fn(&FaultProxy); 2] = [FaultProxy::cut, FaultProxy::reset];
    for end in ends {
        let [fresh, used] = [(); 2].map(|()| case.connect(&options));
        case.works(&used);
        end(&proxy);
        for session in [fresh, used] {
            wait_until("it is found dead", || !session.is_alive());
            let error = refused(session.exec(&Command::new("true")), Kind::ConnectionLost);
            assert!(error.is_retryable() && !error.may_have_started(), "{error}");
        }
    }
    case.works(&case.connect(&options));
}

fn a_server_that_is_not_there_is_told_apart<S: Subject>(case: &Case<S>) {
    let (proxy, options) = case.proxy();
    proxy.refuse(true).expect("refusing");
    // Where a listener that is closed had a connection in its queue still, that one is hung up on.
    let mut told = None;
    wait_until("the port is closed", || {
        let error = case.subject.connect(&options).err().expect("nobody is there");
        assert!(error.is_retryable() && !error.may_have_started(), "{error}");
        told = Some(error.kind()).filter(|kind| *kind != Kind::Busy);
        told.is_some()
    });
    assert_eq!(told, Some(Kind::Connect));
    proxy.refuse(false).expect("listening");
    case.works(&case.connect(&options));
}
