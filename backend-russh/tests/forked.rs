//! A forked-off process and the ways that its parent's sessions go.

mod common;

use std::sync::{Arc, Mutex};

use backend_russh::RusshSession;
use backend_russh::blocking::BlockingSession;
use common::sshd_options;
use ssh_session::{
    AsyncSession as _, Auth, Command, HostKeyPolicy, HostKeys, Kind, Options, ProxyCommand, Route,
    Session as _, Target,
};
use test_servers::scripted::{Kex, ScriptedServer};
use test_servers::sshd::Sshd;

#[test]
fn a_forked_off_process_leaves_its_parents_hops_and_proxy_commands_alone() {
    let hop = Sshd::builder().max_sessions(0).start().expect("sshd");
    let target = Sshd::start().expect("sshd");
    let relay = "bash -c 'exec 3<>/dev/tcp/$0/$1; cat <&3 & cat >&3' %h %p";
    let by_command = Route::Command(ProxyCommand::parse(relay).expect("a template"));
    let ways = [Route::Jump(vec![sshd_options(&hop)]), by_command];
    let sessions = ways.map(|way| {
        let session = BlockingSession::connect(&sshd_options(&target).route(way));
        let session = session.expect("connected");
        assert!(session.exec(&Command::new("true")).expect("output").success());
        session
    });
    match fork::fork().expect("forked") {
        fork::Fork::Child => {
            let refused = sessions.iter().all(|session| {
                let result = session.exec(&Command::new("true"));
                let kind = result.err().map(|error| error.kind());
                !session.is_alive() && kind == Some(Kind::ConnectionLost)
            });
            drop(sessions);
            std::process::exit(if refused { 0 } else { 1 });
        }
        fork::Fork::Parent(child) => {
            let status = fork::waitpid(child).expect("the child ends");
            assert_eq!(status, 0, "a session of another process is over there");
        }
    }
    for session in sessions {
        assert!(session.exec(&Command::new("true")).expect("output").success());
    }
    assert_eq!(hop.connections(), 1);
}

/// Cookies, and halves of key exchanges, as servers saw them.
type Seen = Arc<Mutex<Vec<(Vec<u8>, Vec<u8>)>>>;

fn options(server: &ScriptedServer) -> Options {
    let address = server.addr();
    let target = Target::new(address.ip().to_string(), address.port(), "u").expect("a target");
    let options = Options::new(target).auth(Auth::password("p"));
    options.host_keys(HostKeys::new(HostKeyPolicy::DangerAcceptAny))
}

#[test]
fn parent_and_child_never_send_the_same_random_numbers() {
    let seen = Seen::default();
    let own = Arc::clone(&seen);
    let server = ScriptedServer::start(move |wire| {
        wire.begin(&Kex::default())?;
        own.lock().expect("no panic before").push(wire.secrets_of_client());
        wire.serve()
    });
    let server = server.expect("a server");
    let in_a_runtime = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let session = RusshSession::connect(&options(&server)).await.expect("connected");
            assert!(session.exec(&Command::new("true")).await.expect("output").success());
        });
    };
    let blocking = || {
        let session = BlockingSession::connect(&options(&server)).expect("connected");
        assert!(session.exec(&Command::new("true")).expect("output").success());
    };
    // The thread's source of random numbers is there before the fork.
    in_a_runtime();
    blocking();
    for dial in [&in_a_runtime as &dyn Fn(), &blocking] {
        for _ in 0..2 {
            match fork::fork().expect("forked") {
                fork::Fork::Child => {
                    let dialled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(dial));
                    std::process::exit(if dialled.is_ok() { 0 } else { 1 });
                }
                fork::Fork::Parent(child) => {
                    let status = fork::waitpid(child).expect("the child ends");
                    assert_eq!(status, 0, "the child has dialled");
                }
            }
        }
        dial();
    }
    let seen = seen.lock().expect("no panic before").clone();
    assert_eq!(seen.len(), 8);
    for (number, (cookie, half)) in seen.iter().enumerate() {
        let others = seen.iter().skip(number + 1);
        for (other_cookie, other_half) in others {
            assert_ne!(cookie, other_cookie, "a cookie twice");
            assert_ne!(half, other_half, "half of a key exchange twice");
        }
    }
}
