//! Nobody gets more of us than we asked for.

use std::time::Duration;

use conformance::suite::Subject;
use conformance::{BlockingRussh, Russh, Ssh2};
use ssh_session::{Auth, Command, HostKeyPolicy, HostKeys, Options, Session as _, Target};
use test_servers::embedded::EmbeddedServer;

const PATIENCE: Duration = Duration::from_secs(10);

/// Channels for an agent, X11, a forwarded port, a session: a server may not open any here. The
/// first three can be forwarded, and are refused.
fn refuses_channels(subject: &impl Subject, refused: usize) {
    let server = EmbeddedServer::builder().intrudes().start().expect("embedded server");
    let target = Target::new(server.host(), server.port(), server.user()).expect("a target");
    let options = Options::new(target)
        .auth(Auth::key_file(server.identity()))
        .host_keys(HostKeys::new(HostKeyPolicy::DangerAcceptAny));
    let session = subject.connect(&options).expect("connected");
    let run = || session.exec(&Command::new("echo in")).expect("output").stdout;
    assert_eq!(&run()[..], b"in\n");
    server.wait_for(PATIENCE, |server| server.intrusions().1 == refused).unwrap_or_else(|error| {
        panic!("{}: {error}, but {:?}", subject.name(), server.intrusions());
    });
    assert_eq!(server.intrusions(), (0, refused), "{}: none was opened", subject.name());
    assert_eq!(server.forwardings(), 0, "{}: nothing is asked for", subject.name());
    // And it does no harm.
    assert_eq!(&run()[..], b"in\n");
    session.wait_until_closed(PATIENCE).expect("settled");
    assert!(!session.has_abandoned_channels() && session.is_alive());
}

#[test]
fn ssh2_sessions_ask_for_no_forwarding_and_refuse_whatever_a_server_opens() {
    // libssh2 does not answer what it does not know.
    refuses_channels(&Ssh2, 3);
}

#[test]
fn russh_sessions_ask_for_no_forwarding_and_refuse_whatever_a_server_opens() {
    refuses_channels(&Russh, 4);
}

#[test]
fn blocking_russh_sessions_ask_for_no_forwarding_and_refuse_whatever_a_server_opens() {
    refuses_channels(&BlockingRussh, 4);
}
