//! A forked-off process and the ways that its parent's sessions go.

mod common;

use backend_russh::blocking::BlockingSession;
use common::sshd_options;
use ssh_session::{Command, Kind, ProxyCommand, Route, Session as _};
use testkit::sshd::Sshd;

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
