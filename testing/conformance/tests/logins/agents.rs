//! Keys that an agent holds, and what is tried when nothing is said.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command as Program;
use std::time::Duration;

use conformance::{Pooled, for_all};
use pool_core::{Backend as _, ErrorKind};
use ssh_session::{Auth, Kind};
use tempfile::TempDir;
use test_servers::Attempts;
use test_servers::agent::Agent;
use test_servers::keys::KeyKind;
use test_servers::sshd::Sshd;

use crate::{NONE, PATIENCE, as_user, counted, error_of, key_in, target, with, works};

for_all![
    an_agent_of_many_keys_sends_those_that_are_named,
    a_missing_or_empty_agent_is_told_apart_from_a_refusal,
    an_agent_that_does_not_answer_is_waited_for_until_the_deadline,
    the_agents_keys_are_tried_one_after_another,
    an_agents_keys_and_default_files_are_tried_and_missing_ones_are_no_error,
];

fn an_agent_of_many_keys_sends_those_that_are_named<S: Pooled>(subject: &S) {
    let server = Sshd::builder().max_auth_tries(3).start().expect("sshd");
    let agent = Agent::start().expect("ssh-agent");
    for number in 0..7 {
        let key = key_in(server.dir(), &format!("wrong{number}"), KeyKind::Ed25519);
        agent.add(&key).expect("added");
    }
    agent.add(&server.identity()).expect("added");
    let socket = || Some(agent.socket());
    let all = Auth::AgentWith { socket: socket(), only: Vec::new() };
    let backend = subject.backend(as_user(&server, server.user(), [all]));
    let error = backend.connect().map(drop).expect_err("too many");
    assert!(error.to_string().contains("at which it hung up"), "{error}");
    assert_eq!(backend.classify(&error), ErrorKind::Permanent);
    let named =
        |only| as_user(&server, server.user(), [Auth::AgentWith { socket: socket(), only }]);
    // By its public half, by the file beside the private one, and after another one.
    let public = server.identity().with_extension("pub");
    works(subject, &named(vec![public]));
    works(subject, &named(vec![server.identity()]));
    works(subject, &named(vec![server.dir().join("wrong3"), server.identity()]));
    let error = error_of(subject, &named(vec![server.dir().join("nowhere")]));
    assert_eq!(error.kind(), Kind::Agent, "{error}");
}

fn a_missing_or_empty_agent_is_told_apart_from_a_refusal<S: Pooled>(subject: &S) {
    let server = Sshd::start().expect("sshd");
    let agent = Agent::start().expect("ssh-agent");
    for socket in [agent.socket(), server.dir().join("no-agent")] {
        let nothing = Auth::AgentWith { socket: Some(socket), only: Vec::new() };
        let error = error_of(subject, &as_user(&server, server.user(), [nothing.clone()]));
        assert_eq!(error.kind(), Kind::Agent, "{error}");
        works(
            subject,
            &as_user(&server, server.user(), [nothing, Auth::key_file(server.identity())]),
        );
    }
    counted(subject, &server, NONE);
}

fn an_agent_that_does_not_answer_is_waited_for_until_the_deadline<S: Pooled>(subject: &S) {
    let server = Sshd::start().expect("sshd");
    let socket = server.dir().join("silent");
    let _silent = UnixListener::bind(&socket).expect("a socket");
    let silent = Auth::AgentWith { socket: Some(socket), only: Vec::new() };
    let mut options = as_user(&server, server.user(), [silent]);
    options.connect_timeout = Duration::from_millis(500);
    assert_eq!(error_of(subject, &options).kind(), Kind::Timeout);
}

/// Only the environment says where the agent and the default keys are, so a login that goes by it
/// happens in a child that has its own: the same test again, told where to go.
const AT: &str = "HUSSH_TEST_AT";

/// In the child: logs in as told, and checks that it came to what was told.
fn log_in_as_told<S: Pooled>(subject: &S, auth: Auth, at: &str) {
    let parts: Vec<_> = at.split(' ').collect();
    let to = target(parts[0], parts[1].parse().expect("a port"), parts[2]);
    let came = match subject.connect(&with(to, [auth])) {
        Ok(_) => "session".to_owned(),
        Err(error) => format!("{:?}", error.kind()),
    };
    assert_eq!(came, parts[3]);
}

/// Runs the test `name` of this file in a child; `outcome` is what its login must come to.
fn in_a_child<S: Pooled>(
    subject: &S,
    name: &str,
    server: &Sshd,
    (socket, home): (&Path, &Path),
    outcome: &str,
) {
    let kind = subject.name().replace('-', "_");
    let output = Program::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "--nocapture", &format!("agents::{kind}::{name}")])
        .env("SSH_AUTH_SOCK", socket)
        .env("HOME", home)
        .env(AT, format!("{} {} {} {outcome}", server.host(), server.port(), server.user()))
        .output()
        .expect("the child runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "one test runs in the child: {said}");
}

fn the_agents_keys_are_tried_one_after_another<S: Pooled>(subject: &S) {
    if let Ok(at) = std::env::var(AT) {
        return log_in_as_told(subject, Auth::Agent, &at);
    }
    let server = Sshd::start().expect("sshd");
    let agent = Agent::start().expect("ssh-agent");
    for key in [key_in(server.dir(), "wrong", KeyKind::Ed25519), server.identity()] {
        agent.add(&key).expect("added");
    }
    let name = "the_agents_keys_are_tried_one_after_another";
    in_a_child(subject, name, &server, (&agent.socket(), server.dir()), "session");
    let truth = server.wait_for(PATIENCE, |truth| truth.authentications == 1).expect("a login");
    assert_eq!(truth.refused, Attempts { public_key: 1, ..NONE });
}

fn an_agents_keys_and_default_files_are_tried_and_missing_ones_are_no_error<S: Pooled>(
    subject: &S,
) {
    if let Ok(at) = std::env::var(AT) {
        return log_in_as_told(subject, Auth::Auto, &at);
    }
    let server = Sshd::start().expect("sshd");
    let home = TempDir::new().expect("a folder");
    let keys = home.path().join(".ssh");
    fs::create_dir(&keys).expect("created");
    let agent = Agent::start().expect("ssh-agent");
    let child = |socket: &Path, outcome: &str| {
        let name = "an_agents_keys_and_default_files_are_tried_and_missing_ones_are_no_error";
        in_a_child(subject, name, &server, (socket, home.path()), outcome);
    };
    let (none, here) = (home.path().join("none"), agent.socket());
    for socket in [&none, &here] {
        child(socket, "Agent");
    }
    // Encrypted ones are passed over.
    fs::copy(server.encrypted_identity(), keys.join("id_rsa")).expect("copied");
    child(&none, "Agent");
    key_in(&keys, "id_ecdsa", KeyKind::Ed25519);
    child(&here, "AuthenticationFailed");
    fs::copy(server.identity(), keys.join("id_ed25519")).expect("copied");
    child(&none, "session");
    agent.add(&keys.join("id_ecdsa")).expect("added");
    child(&here, "session");
    let truth = server.wait_for(PATIENCE, |truth| truth.authentications == 2).expect("two logins");
    // The same key in the agent and in a file is one.
    assert_eq!(truth.refused, Attempts { public_key: 3, ..NONE });
}
