//! What is tried when nothing is said. Alone in its process: it starts itself anew.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command as Process;
use std::time::Duration;

use backend_ssh2::Ssh2Session;
use common::target;
use ssh_session::{Auth, HostKeyPolicy, HostKeys, Kind, Options};
use test_servers::Attempts;
use test_servers::agent::Agent;
use test_servers::keys::KeyPair;
use test_servers::sshd::Sshd;

/// Only the environment says where the agent and the keys are, so the login happens in a child that
/// has its own: this same test, told where to go and what is to come of it.
const AT: &str = "HUSSH_TEST_AT";

fn login_as_told(at: &str) {
    let parts: Vec<_> = at.split(' ').collect();
    let options = Options::new(target(parts[0], parts[1].parse().expect("a port"), parts[2]))
        .auth(Auth::Auto)
        .host_keys(HostKeys::new(HostKeyPolicy::DangerAcceptAny));
    let came = match Ssh2Session::connect(&options) {
        Ok(_) => "session".to_owned(),
        Err(error) => format!("{:?}", error.kind()),
    };
    assert_eq!(came, parts[3]);
}

#[test]
fn an_agents_keys_and_default_files_are_tried_and_missing_ones_are_no_error() {
    if let Ok(at) = std::env::var(AT) {
        return login_as_told(&at);
    }
    let server = Sshd::start().expect("sshd");
    let home = tempfile::tempdir().expect("a folder");
    let keys = home.path().join(".ssh");
    fs::create_dir(&keys).expect("created");
    let wrong = KeyPair::ed25519().expect("a key");
    let agent = Agent::start().expect("ssh-agent");
    let child = |socket: &Path, outcome: String| {
        let output = Process::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "--nocapture"])
            .arg("an_agents_keys_and_default_files_are_tried_and_missing_ones_are_no_error")
            .env("SSH_AUTH_SOCK", socket)
            .env("HOME", home.path())
            .env(AT, format!("{} {} {} {outcome}", server.host(), server.port(), server.user()))
            .output()
            .expect("the child runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let (none, here) = (home.path().join("none"), agent.socket());
    let session = || "session".to_owned();
    for socket in [&none, &here] {
        child(socket, format!("{:?}", Kind::Agent));
    }
    // Encrypted ones are passed over.
    fs::copy(server.encrypted_identity(), keys.join("id_rsa")).expect("copied");
    child(&none, format!("{:?}", Kind::Agent));
    wrong.write(&keys.join("id_ecdsa")).expect("written");
    child(&here, format!("{:?}", Kind::AuthenticationFailed));
    fs::copy(server.identity(), keys.join("id_ed25519")).expect("copied");
    child(&none, session());
    agent.add(&keys.join("id_ecdsa")).expect("added");
    child(&here, session());
    let patience = Duration::from_secs(10);
    let truth = server.wait_for(patience, |truth| truth.authentications == 2).expect("two logins");
    // The same key in the agent and in a file is one.
    assert_eq!(truth.refused, Attempts { public_key: 3, ..Attempts::default() });
}
