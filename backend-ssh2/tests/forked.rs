//! A forked-off process and the ways that its parent's sessions go. Alone in its process: it forks.

mod common;

use common::{connect, sshd_options};
use ssh_session::{Command, Kind, ProxyCommand, Route, Session as _};
use testkit::sshd::Sshd;

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
