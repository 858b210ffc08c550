//! Ways to log in, tried by the OpenSSH client.

mod common;

use std::fs;
use std::net::Ipv6Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use common::{Client, text};
use test_servers::Attempts;
use test_servers::agent::Agent;
use test_servers::authority::Authority;
use test_servers::dropbear::Dropbear;
use test_servers::embedded::{EmbeddedServer, Method, Round};
use test_servers::keys::KeyPair;
use test_servers::sshd::{PasswordUser, Sshd};

const PATIENCE: Duration = Duration::from_secs(10);

/// Logs in with a program that is asked for each answer: a `case` of sh over what is asked.
fn answering(client: &Client, folder: &Path, cases: &str) -> Output {
    let script = folder.join("askpass");
    fs::write(&script, format!("#!/bin/sh\ncase \"$1\" in\n{cases}\nesac\n")).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = client.command();
    command.env("SSH_ASKPASS", &script).env("SSH_ASKPASS_REQUIRE", "force").arg("echo in");
    command.output().unwrap()
}

fn client(identity: &Path, user: &str, port: u16, known_hosts_line: &str, methods: &str) -> Client {
    let mut client = Client::new(identity, user, port, known_hosts_line);
    client.arguments.retain(|argument| argument != "-oBatchMode=yes");
    client.with("-oNumberOfPasswordPrompts=1").with(format!("-oPreferredAuthentications={methods}"))
}

fn sshd_client(server: &Sshd, user: &str, methods: &str) -> Client {
    client(&server.identity(), user, server.port(), &server.known_hosts_line(), methods)
}

fn embedded_client(server: &EmbeddedServer, methods: &str) -> Client {
    let line = server.known_hosts_line();
    client(&server.identity(), server.user(), server.port(), &line, methods)
}

fn keyboard_interactive(count: usize) -> Attempts {
    Attempts { keyboard_interactive: count, ..Attempts::default() }
}

#[test]
fn pam_asks_for_the_password_and_counts_wrong_answers() {
    let server = Sshd::builder().pam().start().unwrap();
    let user = PasswordUser::create().unwrap();
    let client = sshd_client(&server, user.name(), "password,keyboard-interactive");
    let right = format!("*assword:*) echo {};;", user.password());
    assert_eq!(text(&answering(&client, server.dir(), &right).stdout), "in\n");
    let output = answering(&client, server.dir(), "*) echo wrong;;");
    assert!(!output.status.success());
    let truth = server.wait_for(PATIENCE, |truth| truth.failed_authentications > 0).unwrap();
    assert_eq!((truth.authentications, truth.refused), (1, keyboard_interactive(1)));
}

#[test]
fn pam_asks_several_times_when_the_password_has_expired() {
    let server = Sshd::builder().pam().start().unwrap();
    let user = PasswordUser::create().unwrap();
    user.expire_password().unwrap();
    let client = sshd_client(&server, user.name(), "keyboard-interactive");
    let cases = format!("*ew\\ password:*) echo Other+Secret7;; *) echo {};;", user.password());
    assert_eq!(text(&answering(&client, server.dir(), &cases).stdout), "in\n");
    let changed = "*) echo Other+Secret7;;";
    assert_eq!(text(&answering(&client, server.dir(), changed).stdout), "in\n");
}

#[test]
fn the_embedded_server_asks_round_after_round() {
    let rounds = [
        Round::new("Two things").ask("Password: ", "first").ask_visibly("Code: ", "2nd"),
        Round::new("Nothing to say"),
        Round::new("").ask("Again: ", "third"),
    ];
    let server = EmbeddedServer::builder().rounds(rounds).start().unwrap();
    let client = embedded_client(&server, "keyboard-interactive");
    let right = "*assword*) echo first;; *Code*) echo 2nd;; *Again*) echo third;;";
    assert_eq!(text(&answering(&client, server.dir(), right).stdout), "in\n");
    assert_eq!(server.refused(), Attempts::default());
    let wrong = "*assword*) echo first;; *Code*) echo 2nd;; *Again*) echo fourth;;";
    assert!(!answering(&client, server.dir(), wrong).status.success());
    assert_eq!(server.refused(), keyboard_interactive(1));
}

#[test]
fn a_key_and_then_the_password_are_wanted_by_every_server_that_is_told_so() {
    let user = PasswordUser::create().unwrap();
    let server = Sshd::builder().authentication_methods("publickey,password").start().unwrap();
    let both = sshd_client(&server, user.name(), "publickey,password");
    let right = format!("*) echo {};;", user.password());
    assert_eq!(text(&answering(&both, server.dir(), &right).stdout), "in\n");
    assert_eq!(server.refused(), Attempts::default());
    let one = sshd_client(&server, user.name(), "publickey");
    assert!(!answering(&one, server.dir(), &right).status.success());

    let methods = [Method::PublicKey, Method::Password];
    let server = EmbeddedServer::builder().authentication_methods(methods).start().unwrap();
    let both = embedded_client(&server, "publickey,password");
    let right = format!("*) echo {};;", server.password());
    assert_eq!(text(&answering(&both, server.dir(), &right).stdout), "in\n");
    assert_eq!(server.refused(), Attempts::default());
    assert!(!answering(&both, server.dir(), "*) echo wrong;;").status.success());
    assert_eq!(server.refused(), Attempts { password: 1, ..Attempts::default() });

    let server = Dropbear::start_with(&["-t"]).unwrap();
    let line = server.known_hosts_line();
    let both =
        client(&server.identity(), server.user(), server.port(), &line, "publickey,password");
    let right = format!("*) echo {};;", server.password());
    assert_eq!(text(&answering(&both, server.dir(), &right).stdout), "in\n");
    assert!(!answering(&both, server.dir(), "*) echo wrong;;").status.success());
    assert_eq!(server.refused_passwords(), 1);
}

#[test]
fn certificates_open_a_server_that_believes_their_authority() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let sshd = Sshd::builder().user_authority(&authority).start().unwrap();
    let embedded = EmbeddedServer::builder().user_authority(&authority).start().unwrap();
    let users = format!("{},{}", sshd.user(), embedded.user());
    for (authority, users, opens) in
        [(&authority, users.as_str(), true), (&other, &users, false), (&authority, "x", false)]
    {
        let key = folder.path().join("key");
        KeyPair::ed25519().unwrap().write(&key).unwrap();
        authority.certify_user(&key, users).unwrap();
        for (user, port, line) in [
            (sshd.user(), sshd.port(), sshd.known_hosts_line()),
            (embedded.user(), embedded.port(), embedded.known_hosts_line()),
        ] {
            let output = Client::new(&key, user, port, &line).run("echo in");
            assert_eq!(output.status.success(), opens, "{users}: {}", text(&output.stderr));
        }
    }
}

#[test]
fn an_agent_gives_the_keys_it_was_given() {
    let server = Sshd::start().unwrap();
    let agent = Agent::start().unwrap();
    let missing = server.dir().join("missing");
    let line = server.known_hosts_line();
    let mut client = Client::new(&missing, server.user(), server.port(), &line);
    client.arguments.retain(|argument| argument != "-oIdentitiesOnly=yes");
    let client = client.with(format!("-oIdentityAgent={}", agent.socket().display()));
    assert!(!client.run("true").status.success());
    agent.add(&server.identity()).unwrap();
    assert!(client.run("true").status.success());
}

#[test]
fn a_server_listens_on_ipv6() {
    let server = Sshd::builder().address(Ipv6Addr::LOCALHOST).start().unwrap();
    assert_eq!(server.host(), "::1");
    let mut client = sshd_client(&server, server.user(), "publickey");
    client.destination = format!("{}@::1", server.user());
    let output = client.run("echo in");
    assert_eq!(text(&output.stdout), "in\n", "{}", text(&output.stderr));
}

#[test]
fn channels_that_a_server_opens_at_its_client_are_counted() {
    let server = EmbeddedServer::builder().intrudes().start().unwrap();
    let client = embedded_client(&server, "publickey").with("-oForwardX11=no");
    let output = client.run("sleep 1");
    assert!(output.status.success(), "{}", text(&output.stderr));
    server.wait_for(PATIENCE, |server| server.intrusions() == (0, 4)).unwrap();
    assert_eq!(server.forwardings(), 0);
}

#[test]
fn banner_and_farewell_reach_the_client() {
    let server =
        EmbeddedServer::builder().banner("be welcome\r\n").farewell("but go").start().unwrap();
    let output = embedded_client(&server, "publickey").verbose("INFO").run("true");
    let said = text(&output.stderr);
    assert!(said.contains("be welcome") && said.contains("but go"), "{said}");
}
