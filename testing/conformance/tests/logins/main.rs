//! Every way to log in, right and wrong, who the server is, and what the server counted: the same
//! for every kind of session.

mod agents;
mod certificates;
mod hosts;
mod keys;
mod methods;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::thread;
use std::time::{Duration, Instant};

use conformance::suite::Subject;
use ssh_session::{
    Auth, Command, HostKeyPolicy, HostKeys, Kind, Options, Session as _, SshError, Target,
};
use test_servers::Attempts;
use test_servers::embedded::EmbeddedServer;
use test_servers::keys::{KeyKind, KeyPair};
use test_servers::sshd::Sshd;

/// How long a server's log may lag behind. Tests share their machine with others.
const PATIENCE: Duration = Duration::from_secs(10);

const NONE: Attempts = Attempts { public_key: 0, password: 0, keyboard_interactive: 0 };
const ONE_KEY: Attempts = Attempts { public_key: 1, ..NONE };
const ONE_PASSWORD: Attempts = Attempts { password: 1, ..NONE };
const ONE_ANSWER: Attempts = Attempts { keyboard_interactive: 1, ..NONE };

fn target(host: &str, port: u16, user: &str) -> Target {
    Target::new(host, port, user).expect("a valid target")
}

fn anybody() -> HostKeys {
    HostKeys::new(HostKeyPolicy::DangerAcceptAny)
}

fn with(to: Target, auth: impl IntoIterator<Item = Auth>) -> Options {
    auth.into_iter().fold(Options::new(to).host_keys(anybody()), Options::auth)
}

fn as_user(server: &Sshd, user: &str, auth: impl IntoIterator<Item = Auth>) -> Options {
    with(target(&server.host(), server.port(), user), auth)
}

fn at_embedded(server: &EmbeddedServer, auth: impl IntoIterator<Item = Auth>) -> Options {
    with(target(&server.host(), server.port(), server.user()), auth)
}

/// With the server's own key.
fn sshd_options(server: &Sshd) -> Options {
    as_user(server, server.user(), [Auth::key_file(server.identity())])
}

#[track_caller]
fn connect<S: Subject>(subject: &S, options: &Options) -> S::Session {
    subject.connect(options).unwrap_or_else(|error| panic!("no session: {error}"))
}

#[track_caller]
fn works<S: Subject>(subject: &S, options: &Options) {
    let session = connect(subject, options);
    assert!(session.exec(&Command::new("true")).expect("output").success());
}

#[track_caller]
fn error_of<S: Subject>(subject: &S, options: &Options) -> SshError {
    match subject.connect(options) {
        Ok(_) => panic!("it got in"),
        Err(error) => error,
    }
}

#[track_caller]
fn is_refused<S: Subject>(subject: &S, options: &Options) -> String {
    let error = error_of(subject, options);
    assert_eq!(error.kind(), Kind::AuthenticationFailed, "{error}");
    error.to_string()
}

/// Waits until sshd's log shows that many refusals, and no more after another login.
#[track_caller]
fn counted<S: Subject>(subject: &S, server: &Sshd, expected: Attempts) {
    let before = server.authentications();
    works(subject, &sshd_options(server));
    let truth = server.wait_for(PATIENCE, |truth| truth.authentications > before).expect("a login");
    assert_eq!(truth.refused, expected);
}

/// The error with which the host's key is refused; the server has seen nothing of a login.
#[track_caller]
fn refused_before_login<S: Subject>(subject: &S, options: &Options, server: &Sshd) -> SshError {
    let seen = server.log().len();
    let error = error_of(subject, options);
    assert_eq!(error.kind(), Kind::HostKey, "{error}");
    // sshd says so when the client has gone; what it says of logins it says before.
    let gone = |log: &str| log.contains("Connection closed by") || log.contains("Connection reset");
    let deadline = Instant::now() + PATIENCE;
    let log = loop {
        let log = server.log().split_off(seen);
        if gone(&log) {
            break log;
        }
        assert!(Instant::now() < deadline, "sshd does not say that we went: {log}");
        thread::sleep(Duration::from_millis(5));
    };
    for word in ["publickey", "password", "userauth-request", "Failed", "Accepted"] {
        assert!(!log.contains(word), "nothing of a login is in the server's log: {log}");
    }
    error
}

fn key_in(folder: &Path, name: &str, kind: KeyKind) -> PathBuf {
    let path = folder.join(name);
    KeyPair::new(kind).expect("a key").write(&path).expect("written");
    path
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).expect("a text")
}

fn keygen(path: &Path, arguments: &[&str]) {
    let made = Program::new("ssh-keygen").arg("-q").args(arguments).arg("-f").arg(path).status();
    assert!(made.expect("ssh-keygen runs (Debian package openssh-client)").success());
}
