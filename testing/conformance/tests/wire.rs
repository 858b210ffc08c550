//! Servers that mean harm: every session makes an error of them, in bounded time and memory.

use std::time::{Duration, Instant};

use conformance::suite::Subject;
use conformance::suite::hostile;
use conformance::{BlockingRussh, Russh, Ssh2};
use ssh_session::{Auth, Command, HostKeyPolicy, HostKeys, Kind, Options, Session as _, Target};
use test_servers::scripted::{Kex, Packet, ScriptedServer};

fn all(subject: &impl Subject) {
    // Part of the name of the cases that are wanted, for whoever looks into one.
    let filter = std::env::var("HUSSH_TEST_HOSTILE").unwrap_or_default();
    let mut wrong = Vec::new();
    for case in hostile::all().iter().filter(|case| case.name.contains(&filter)) {
        let finding = case.put(subject);
        println!("{finding}");
        if finding.wrong.is_some() {
            wrong.push(finding.to_string());
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", subject.name(), wrong.join("\n"));
}

#[test]
fn ssh2_makes_an_error_of_every_hostile_server() {
    all(&Ssh2);
}

#[test]
fn russh_makes_an_error_of_every_hostile_server() {
    all(&Russh);
}

#[test]
fn blocking_russh_makes_an_error_of_every_hostile_server() {
    all(&BlockingRussh);
}

/// libssh2 keeps packets that nobody waits for. What it may keep has a bound, and the session ends
/// there, well before its command's deadline.
#[test]
fn packets_that_nobody_asked_for_end_an_ssh2_session() {
    for kind in [51, 82, 99, 100, 192] {
        let server = ScriptedServer::start(move |wire| {
            wire.begin(&Kex::default())?;
            wire.command()?;
            loop {
                wire.flood(&Packet::new(kind).number(7).string([7; 1000]), 64)?;
            }
        });
        let server = server.expect("a server");
        let target = Target::new("127.0.0.1", server.addr().port(), "u").expect("a target");
        let options = Options::new(target).auth(Auth::password("p"));
        let options = options.host_keys(HostKeys::new(HostKeyPolicy::DangerAcceptAny));
        let session = Ssh2.connect(&options).expect("a session");
        let start = Instant::now();
        let limit = Duration::from_secs(60);
        let error = session.exec(&Command::new("true").timeout(limit)).expect_err("flooded");
        println!("type {kind}: {:.1?}: {error}", start.elapsed());
        assert_eq!(error.kind(), Kind::ConnectionLost, "type {kind}: {error}");
        assert!(error.to_string().contains("nobody asked for"), "type {kind}: {error}");
        assert!(start.elapsed() < limit / 3, "type {kind}: {:?}", start.elapsed());
    }
}

/// What comes of a server that shows another host key when keys are agreed on anew.
fn another_key(subject: &impl Subject) -> Result<(), ssh_session::SshError> {
    let server = ScriptedServer::start(|wire| {
        wire.begin(&Kex::default())?;
        let command = wire.command()?;
        wire.agree(&Kex::default())?;
        wire.write(command, b"works\n")?;
        wire.finish(command, 0)?;
        wire.wait()
    });
    let server = server.expect("a server");
    let target = Target::new("127.0.0.1", server.addr().port(), "u").expect("a target");
    let options = Options::new(target).auth(Auth::password("p"));
    let options = options.host_keys(HostKeys::new(HostKeyPolicy::DangerAcceptAny));
    let session = subject.connect(&options).expect("a session");
    session.exec(&Command::new("true").timeout(Duration::from_secs(20))).map(drop)
}

#[test]
fn ssh2_ends_a_session_whose_server_shows_another_host_key() {
    let error = another_key(&Ssh2).expect_err("another key");
    assert_eq!(error.kind(), Kind::ConnectionLost, "{error}");
    assert!(error.to_string().contains("another host key"), "{error}");
}

/// Not as it should be, but nobody can see it from outside. Once this fails, russh shows us the key
/// or compares it: then SECURITY.md has to say so, and `client.rs` to look at it.
#[test]
fn russh_does_not_show_the_host_key_of_later_exchanges() {
    another_key(&Russh).expect("nobody noticed");
}
