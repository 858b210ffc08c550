//! Keys that an agent holds for some servers only, and keys in devices, on real sshds.

use std::path::{Path, PathBuf};

use conformance::suite::Subject;
use conformance::{BlockingRussh, Russh, Ssh2};
use ssh_session::{
    Algorithms, Auth, Crypto, HostKeyPolicy, HostKeys, Kind, Options, SshError, Target,
};
use tempfile::TempDir;
use test_servers::agent::Agent;
use test_servers::fido::FidoAgent;
use test_servers::keys::{KeyKind, KeyPair};
use test_servers::sshd::Sshd;

/// Each case for each kind of session.
macro_rules! for_all {
    ($($case:ident),* $(,)?) => {
        mod ssh2 {
            $(#[test] fn $case() { super::$case(&super::Ssh2); })*
        }
        mod russh {
            $(#[test] fn $case() { super::$case(&super::Russh); })*
        }
        mod blocking_russh {
            $(#[test] fn $case() { super::$case(&super::BlockingRussh); })*
        }
    };
}

for_all![
    a_key_for_one_server_is_used_there_and_nowhere_else,
    a_key_in_a_device_logs_in_through_an_agent,
    a_key_of_a_type_that_is_not_accepted_is_not_sent,
    an_rsa_key_signs_by_the_hash_that_is_accepted,
];

fn to(server: &Sshd, auth: Auth) -> Options {
    let target = Target::new(server.host(), server.port(), server.user()).expect("a target");
    Options::new(target).auth(auth).host_keys(HostKeys::new(HostKeyPolicy::DangerAcceptAny))
}

fn agent(socket: PathBuf) -> Auth {
    Auth::AgentWith { socket: Some(socket), only: Vec::new() }
}

#[track_caller]
fn refusal<S: Subject>(subject: &S, options: &Options) -> SshError {
    match subject.connect(options) {
        Ok(_) => panic!("it got in"),
        Err(error) => error,
    }
}

/// A key that these servers know, and its file.
fn known_key(folder: &Path, name: &str, kind: KeyKind, servers: &[&Sshd]) -> PathBuf {
    let path = folder.join(name);
    let key = KeyPair::new(kind).expect("a key");
    key.write(&path).expect("written");
    for server in servers {
        server.authorize(&key.public_line().expect("a line")).expect("authorized");
    }
    path
}

/// `ssh-agent` signs by such a key only where it was told which server it is for, and was shown
/// that server's signature.
fn a_key_for_one_server_is_used_there_and_nowhere_else<S: Subject>(subject: &S) {
    let (here, elsewhere) = (Sshd::start().expect("sshd"), Sshd::start().expect("sshd"));
    let folder = TempDir::new().expect("a folder");
    let key = known_key(folder.path(), "bound", KeyKind::Ed25519, &[&here, &elsewhere]);
    let holder = Agent::start().expect("ssh-agent (Debian package openssh-client)");
    holder.add_for(&key, here.host_public_key()).expect("added for one server");
    subject.connect(&to(&here, agent(holder.socket()))).expect("the server that it is for");
    let error = refusal(subject, &to(&elsewhere, agent(holder.socket())));
    let kinds = [Kind::Agent, Kind::AuthenticationFailed];
    assert!(kinds.contains(&error.kind()), "{error}");
    assert_eq!(elsewhere.authentications(), 0);
    // One that is for all serves behind it.
    let open = known_key(folder.path(), "open", KeyKind::Ed25519, &[&here, &elsewhere]);
    holder.add(&open).expect("added for all");
    for server in [&here, &elsewhere] {
        subject.connect(&to(server, agent(holder.socket()))).expect("by the other key");
    }
}

fn a_key_in_a_device_logs_in_through_an_agent<S: Subject>(subject: &S) {
    let types = [(KeyKind::Ed25519, "ED25519-SK"), (KeyKind::EcdsaP256, "ECDSA-SK")];
    types.into_iter().for_each(|(kind, logged)| a_device_logs_in(subject, kind, logged));
}

fn a_device_logs_in<S: Subject>(subject: &S, kind: KeyKind, logged: &str) {
    let server = Sshd::start().expect("sshd");
    let device = FidoAgent::start(kind).expect("an agent");
    let error = refusal(subject, &to(&server, agent(device.socket())));
    assert_eq!(error.kind(), Kind::AuthenticationFailed, "unknown as yet: {error}");
    server.authorize(&device.public_line().expect("a line")).expect("authorized");
    for time in 1..=2 {
        subject.connect(&to(&server, agent(device.socket()))).expect("let in");
        assert_eq!(device.signatures(), time, "once for each login");
    }
    let log = server.log();
    assert!(log.contains("Accepted publickey") && log.contains(logged), "{log}");
    // Those who take no such keys don't ask for a touch.
    let without = Crypto::default().with(Algorithms::UserKeys, "-sk-*").expect("a list");
    refusal(subject, &to(&server, agent(device.socket())).crypto(without));
    assert_eq!(device.signatures(), 2);
}

/// `PubkeyAcceptedAlgorithms`, by a file and by an agent.
fn a_key_of_a_type_that_is_not_accepted_is_not_sent<S: Subject>(subject: &S) {
    let server = Sshd::start().expect("sshd");
    let folder = TempDir::new().expect("a folder");
    let key = known_key(folder.path(), "key", KeyKind::EcdsaP256, &[&server]);
    let holder = Agent::start().expect("ssh-agent");
    holder.add(&key).expect("added");
    let without = Crypto::default().with(Algorithms::UserKeys, "-ecdsa-*").expect("a list");
    for auth in [Auth::key_file(&key), agent(holder.socket())] {
        let error = refusal(subject, &to(&server, auth.clone()).crypto(without.clone()));
        let text = error.to_string();
        assert!(text.contains("ecdsa-sha2-nistp256"), "{text}");
        assert!(text.contains("pubkey_accepted_algorithms"), "{text}");
        assert!(!error.is_retryable(), "{text}");
        subject.connect(&to(&server, auth)).expect("by default it is");
    }
    assert_eq!(server.failed_authentications(), 0, "none was sent");
}

fn an_rsa_key_signs_by_the_hash_that_is_accepted<S: Subject>(subject: &S) {
    let builder = Sshd::builder().option("LogLevel DEBUG3");
    let server = builder.start().expect("sshd");
    let folder = TempDir::new().expect("a folder");
    let key = known_key(folder.path(), "rsa", KeyKind::Rsa2048, &[&server]);
    let holder = Agent::start().expect("ssh-agent");
    holder.add(&key).expect("added");
    for (count, (list, auth)) in [
        ("rsa-sha2-256", Auth::key_file(&key)),
        ("rsa-sha2-256", agent(holder.socket())),
        ("rsa-sha2-512", agent(holder.socket())),
    ]
    .into_iter()
    .enumerate()
    {
        let only = Crypto::default().with(Algorithms::UserKeys, list).expect("a list");
        subject.connect(&to(&server, auth).crypto(only)).expect(list);
        let log = server.log();
        let said: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("publickey") && line.contains("rsa-sha2-"))
            .collect();
        assert!(said.iter().any(|line| line.contains(list)), "{list}: {said:#?}");
        if count < 2 {
            assert!(said.iter().all(|line| !line.contains("rsa-sha2-512")), "{said:#?}");
        }
    }
}
