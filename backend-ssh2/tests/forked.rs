//! A forked-off process and the ways that its parent's sessions go. Alone in its process: it forks.

mod common;

use std::sync::{Arc, Mutex};

use backend_ssh2::Ssh2Session;
use common::{connect, sshd_options};
use ssh_session::{
    Auth, Command, HostKeyPolicy, HostKeys, Kind, Options, ProxyCommand, Route, Session as _,
    Target,
};
use test_servers::scripted::{Kex, ScriptedServer};
use test_servers::sshd::Sshd;

const PROXY: &str = "bash -c 'exec 3<>/dev/tcp/%h/%p; cat <&0 >&3 & cat <&3; kill $!'";

#[test]
fn a_forked_off_process_leaves_its_parents_hops_and_proxy_commands_alone() {
    let (hop, server) = (Sshd::start().expect("sshd"), Sshd::start().expect("sshd"));
    let by_command = Route::Command(ProxyCommand::parse(PROXY).expect("a template"));
    let hops = vec![sshd_options(&hop).route(by_command.clone())];
    let sessions =
        [by_command, Route::Jump(hops)].map(|route| connect(&sshd_options(&server).route(route)));
    match fork::fork().expect("forked") {
        fork::Fork::Child => {
            let is_over_here = sessions.iter().all(|session| {
                let refused = session.exec(&Command::new("true")).err().map(|error| error.kind());
                !session.is_alive() && refused == Some(Kind::ConnectionLost)
            });
            drop(sessions);
            std::process::exit(i32::from(!is_over_here));
        }
        fork::Fork::Parent(child) => {
            let status = fork::waitpid(child).expect("the child ends");
            assert_eq!(status, 0, "a session of another process is over there");
        }
    }
    for session in sessions {
        assert!(session.exec(&Command::new("true")).expect("output").success());
    }
    assert_eq!((hop.connections(), server.connections()), (1, 2));
}

/// Cookies, and halves of key exchanges, as servers saw them.
type Seen = Arc<Mutex<Vec<(Vec<u8>, Vec<u8>)>>>;

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
    let address = server.addr();
    let target = Target::new(address.ip().to_string(), address.port(), "u").expect("a target");
    let options = Options::new(target).auth(Auth::password("p"));
    let options = options.host_keys(HostKeys::new(HostKeyPolicy::DangerAcceptAny));
    let dial = || {
        let session = Ssh2Session::connect(&options).expect("connected");
        assert!(session.exec(&Command::new("true")).expect("output").success());
    };
    dial();
    for _ in 0..2 {
        match fork::fork().expect("forked") {
            fork::Fork::Child => {
                let dialled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(dial));
                std::process::exit(i32::from(dialled.is_err()));
            }
            fork::Fork::Parent(child) => {
                assert_eq!(fork::waitpid(child).expect("the child ends"), 0, "it has dialled");
            }
        }
        dial();
    }
    let seen = seen.lock().expect("no panic before").clone();
    assert_eq!(seen.len(), 5);
    for (number, (cookie, half)) in seen.iter().enumerate() {
        for (other_cookie, other_half) in seen.iter().skip(number + 1) {
            assert_ne!(cookie, other_cookie, "a cookie twice");
            assert_ne!(half, other_half, "half of a key exchange twice");
        }
    }
}
