//! Every way to log in, right and wrong, and what the server counted.

mod common;

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backend_ssh2::{Ssh2Backend, Ssh2Session};
use common::{connect, target};
use pool_core::{Backend as _, Config, ErrorKind, Pool};
use ssh_session::{
    Auth, CertificateSource, Command, HostKeyPolicy, HostKeys, Kind, Options, Session as _,
    SshError,
};
use test_servers::Attempts;
use test_servers::agent::Agent;
use test_servers::authority::Authority;
use test_servers::embedded::{EmbeddedServer, Method, Round};
use test_servers::keys::{KeyKind, KeyPair};
use test_servers::sshd::{PasswordUser, Sshd};

fn as_user(server: &Sshd, user: &str, auth: impl IntoIterator<Item = Auth>) -> Options {
    with(&server.host(), server.port(), user, auth)
}

fn at_embedded(server: &EmbeddedServer, auth: impl IntoIterator<Item = Auth>) -> Options {
    with(&server.host(), server.port(), server.user(), auth)
}

fn with(host: &str, port: u16, user: &str, auth: impl IntoIterator<Item = Auth>) -> Options {
    let options = Options::new(target(host, port, user))
        .host_keys(HostKeys::new(HostKeyPolicy::DangerAcceptAny));
    auth.into_iter().fold(options, Options::auth)
}

fn works(options: &Options) {
    let session = connect(options);
    assert!(session.exec(&Command::new("true")).expect("output").success());
}

fn error_of(options: &Options) -> SshError {
    let error = Ssh2Session::connect(options).expect_err("refused");
    println!("{error}");
    error
}

fn is_refused(options: &Options) -> String {
    let error = error_of(options);
    assert_eq!(error.kind(), Kind::AuthenticationFailed, "{error}");
    error.to_string()
}

fn key_in(folder: &Path, name: &str, kind: KeyKind) -> PathBuf {
    let path = folder.join(name);
    KeyPair::new(kind).expect("a key").write(&path).expect("written");
    path
}

const NONE: Attempts = Attempts { public_key: 0, password: 0, keyboard_interactive: 0 };
const ONE_KEY: Attempts = Attempts { public_key: 1, ..NONE };
const ONE_PASSWORD: Attempts = Attempts { password: 1, ..NONE };
const ONE_ANSWER: Attempts = Attempts { keyboard_interactive: 1, ..NONE };

/// Waits until sshd's log shows that many refusals, and no more after another login.
fn counted(server: &Sshd, expected: Attempts) {
    let before = server.authentications();
    works(&as_user(server, server.user(), [Auth::key_file(server.identity())]));
    let patience = Duration::from_secs(10);
    let truth = server.wait_for(patience, |truth| truth.authentications > before).expect("a login");
    assert_eq!(truth.refused, expected);
}

#[test]
fn a_password_given_or_asked_for_is_sent_once() {
    let server = Sshd::start().expect("sshd");
    let user = PasswordUser::create().expect("a user; run the tests as root");
    let asked = Arc::new(AtomicUsize::new(0));
    let asking = |password: &str| {
        let (asked, password) = (Arc::clone(&asked), password.to_owned());
        Auth::ask_password(move |_| {
            asked.fetch_add(1, Ordering::SeqCst);
            Some(password.clone().into())
        })
    };
    works(&as_user(&server, user.name(), [Auth::password(user.password())]));
    works(&as_user(&server, user.name(), [asking(user.password())]));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    counted(&server, NONE);
    let wrong = [Auth::password("wrong"), asking("wrong"), Auth::password("wrong")];
    is_refused(&as_user(&server, user.name(), wrong));
    counted(&server, ONE_PASSWORD);
    let none = as_user(&server, user.name(), [Auth::ask_password(|_| None)]);
    assert_eq!(error_of(&none).kind(), Kind::InvalidInput);
    counted(&server, ONE_PASSWORD);
}

#[test]
fn a_password_answers_pam_that_asks_for_it_once() {
    let server = Sshd::builder().pam().start().expect("sshd");
    let user = PasswordUser::create().expect("a user; run the tests as root");
    works(&as_user(&server, user.name(), [Auth::password(user.password())]));
    counted(&server, NONE);
    let wrong = as_user(&server, user.name(), [Auth::password("wrong"), Auth::password("wrong")]);
    is_refused(&wrong);
    counted(&server, ONE_ANSWER);
}

fn answering(answers: &'static [(&'static str, &'static str)]) -> Auth {
    Auth::keyboard_interactive(move |prompt| {
        let answer = |text: &str| {
            let known = answers.iter().find(|(question, _)| text.contains(question));
            known.map(|(_, answer)| (*answer).into())
        };
        prompt.questions.iter().map(|question| answer(&question.text)).collect()
    })
}

fn two_things_round_after_round() -> EmbeddedServer {
    let rounds = [
        Round::new("Two things").ask("Password: ", "first").ask_visibly("Code: ", "2nd"),
        Round::new("Nothing to say"),
        Round::new("").ask("Again: ", "third"),
    ];
    EmbeddedServer::builder().no_password().rounds(rounds).start().expect("embedded server")
}

#[test]
fn prompts_of_several_rounds_are_answered_and_wrong_answers_sent_once() {
    let server = two_things_round_after_round();
    let right = answering(&[("Password", "first"), ("Code", "2nd"), ("Again", "third")]);
    works(&at_embedded(&server, [right]));
    assert_eq!(server.refused(), NONE);
    let wrong = answering(&[("Password", "first"), ("Code", "2nd"), ("Again", "fourth")]);
    is_refused(&at_embedded(&server, [wrong]));
    assert_eq!(server.refused(), ONE_ANSWER);
}

#[test]
fn whoever_gives_no_answer_may_log_in_in_another_way_and_nothing_is_sent_for_it() {
    let server = two_things_round_after_round();
    let silent = || Auth::keyboard_interactive(|_| None);
    let error = error_of(&at_embedded(&server, [silent()]));
    assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
    let right = || answering(&[("Password", "first"), ("Code", "2nd"), ("Again", "third")]);
    let half = || answering(&[("Password", "first"), ("Code", "2nd")]);
    let key = || Auth::key_file(server.identity());
    for ways in [
        vec![silent(), key()],
        // Whoever comes next is asked the same, in the first round and in a later one.
        vec![Auth::password("first"), silent(), right()],
        vec![half(), right()],
        vec![half(), key()],
    ] {
        works(&at_embedded(&server, ways));
    }
    assert_eq!(server.refused(), NONE);
    let wrong = key_in(server.dir(), "wrong", KeyKind::Ed25519);
    let error = error_of(&at_embedded(&server, [half(), Auth::key_file(wrong), right()]));
    assert_eq!(error.kind(), Kind::AuthenticationFailed, "libssh2 begins no other dialogue now");
    assert_eq!(server.refused(), ONE_KEY);
}

#[test]
fn a_panic_in_a_callback_is_no_answer() {
    let server = two_things_round_after_round();
    let panicking = Auth::keyboard_interactive(|_| panic!("on purpose"));
    let error = error_of(&at_embedded(&server, [panicking]));
    assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
}

#[test]
fn a_key_is_sent_once_wherever_it_comes_from() {
    let server = Sshd::start().expect("sshd");
    let agent = Agent::start().expect("ssh-agent");
    let wrong = key_in(server.dir(), "wrong", KeyKind::Ed25519);
    agent.add(&wrong).expect("added");
    let text = std::fs::read_to_string(&wrong).expect("the key");
    let socket = Some(agent.socket());
    let ways = [
        Auth::key_file(&wrong),
        Auth::key_data(text),
        Auth::AgentWith { socket, only: Vec::new() },
    ];
    is_refused(&as_user(&server, server.user(), ways));
    counted(&server, ONE_KEY);
}

#[test]
fn certificates_of_every_kind_of_key_log_in_and_wrong_ones_are_sent_once() {
    let (authority, other) = (Authority::new().expect("a key"), Authority::new().expect("a key"));
    let server = Sshd::builder().user_authority(&authority).start().expect("sshd");
    for (number, kind) in
        [KeyKind::Ed25519, KeyKind::EcdsaP256, KeyKind::Rsa2048].into_iter().enumerate()
    {
        let key = key_in(server.dir(), &format!("key{number}"), kind);
        let certificate = authority.certify_user(&key, server.user()).expect("a certificate");
        works(&as_user(
            &server,
            server.user(),
            [Auth::key_file(&key).with_certificate(&certificate)],
        ));
        let text = |path: &Path| std::fs::read_to_string(path).expect("a text");
        let in_memory = Auth::Certificate {
            key: Box::new(Auth::key_data(text(&key))),
            certificate: CertificateSource::Text(text(&certificate)),
        };
        works(&as_user(&server, server.user(), [in_memory]));
        let agent = Agent::start().expect("ssh-agent");
        agent.add(&key).expect("added");
        for only in [vec![certificate.clone()], vec![key.clone()], Vec::new()] {
            let held = Auth::AgentWith { socket: Some(agent.socket()), only };
            works(&as_user(&server, server.user(), [held]));
        }
    }
    let refused = server.refused();
    let key = key_in(server.dir(), "other", KeyKind::Ed25519);
    for (authority, users) in [(&other, server.user()), (&authority, "somebody")] {
        let certificate = authority.certify_user(&key, users).expect("a certificate");
        let wrong = Auth::key_file(&key).with_certificate(certificate);
        is_refused(&as_user(&server, server.user(), [wrong.clone(), wrong]));
    }
    counted(&server, Attempts { public_key: refused.public_key + 2, ..refused });
}

#[test]
fn a_certificate_that_is_not_for_its_key_is_not_sent() {
    let authority = Authority::new().expect("a key");
    let server = Sshd::builder().user_authority(&authority).start().expect("sshd");
    let key = key_in(server.dir(), "key", KeyKind::Ed25519);
    let certificate = authority.certify_user(&key, server.user()).expect("a certificate");
    let mixed = Auth::key_file(server.identity()).with_certificate(certificate);
    let error = error_of(&as_user(&server, server.user(), [mixed]));
    assert_eq!(error.kind(), Kind::KeyFile, "{error}");
    let for_host = authority.certify_host(&key, "h").expect("a certificate");
    let of_host = Auth::key_file(&key).with_certificate(for_host);
    let error = error_of(&as_user(&server, server.user(), [of_host]));
    assert_eq!(error.kind(), Kind::KeyFile, "{error}");
    counted(&server, NONE);
}

#[test]
fn an_agent_of_many_keys_sends_those_that_are_named() {
    let server = Sshd::builder().max_auth_tries(3).start().expect("sshd");
    let agent = Agent::start().expect("ssh-agent");
    for number in 0..7 {
        let key = key_in(server.dir(), &format!("wrong{number}"), KeyKind::Ed25519);
        agent.add(&key).expect("added");
    }
    agent.add(&server.identity()).expect("added");
    let socket = || Some(agent.socket());
    let all = Auth::AgentWith { socket: socket(), only: Vec::new() };
    let backend = Ssh2Backend::new(as_user(&server, server.user(), [all])).expect("valid");
    let error = backend.connect().expect_err("too many");
    assert!(error.to_string().contains("at which it hung up"), "{error}");
    assert_eq!(backend.classify(&error), ErrorKind::Permanent);
    let named =
        |only| as_user(&server, server.user(), [Auth::AgentWith { socket: socket(), only }]);
    // By its public half, by the file beside the private one, and after another one.
    let public = server.identity().with_extension("pub");
    works(&named(vec![public]));
    works(&named(vec![server.identity()]));
    works(&named(vec![server.dir().join("wrong3"), server.identity()]));
    let error = error_of(&named(vec![server.dir().join("nowhere")]));
    assert_eq!(error.kind(), Kind::Agent, "{error}");
}

#[test]
fn a_missing_or_empty_agent_is_told_apart_from_a_refusal() {
    let server = Sshd::start().expect("sshd");
    let agent = Agent::start().expect("ssh-agent");
    for socket in [agent.socket(), server.dir().join("no-agent")] {
        let nothing = Auth::AgentWith { socket: Some(socket), only: Vec::new() };
        let error = error_of(&as_user(&server, server.user(), [nothing.clone()]));
        assert_eq!(error.kind(), Kind::Agent, "{error}");
        works(&as_user(&server, server.user(), [nothing, Auth::key_file(server.identity())]));
    }
    counted(&server, NONE);
}

#[test]
fn an_agent_that_does_not_answer_is_waited_for_until_the_deadline() {
    let server = Sshd::start().expect("sshd");
    let socket = server.dir().join("silent");
    let _silent = UnixListener::bind(&socket).expect("a socket");
    let silent = Auth::AgentWith { socket: Some(socket), only: Vec::new() };
    let mut options = as_user(&server, server.user(), [silent]);
    options.connect_timeout = Duration::from_millis(500);
    assert_eq!(error_of(&options).kind(), Kind::Timeout);
}

#[test]
fn two_methods_in_sequence_are_sent_in_the_servers_order() {
    let user = PasswordUser::create().expect("a user; run the tests as root");
    for methods in ["publickey,password", "password,publickey"] {
        let server = Sshd::builder().authentication_methods(methods).start().expect("sshd");
        let key = || Auth::key_file(server.identity());
        let password = || Auth::password(user.password());
        for both in [[key(), password()], [password(), key()]] {
            works(&as_user(&server, user.name(), both));
        }
        assert_eq!(server.refused(), NONE, "{methods}");
        let text = is_refused(&as_user(&server, user.name(), [key(), Auth::password("x")]));
        assert!(text.contains("password"), "{text}");
        let only_one = is_refused(&as_user(&server, user.name(), [password()]));
        println!("{only_one}");
    }
}

#[test]
fn two_keys_are_given_where_a_server_wants_two() {
    let server =
        Sshd::builder().authentication_methods("publickey,publickey").start().expect("sshd");
    let second = Auth::encrypted_key_file(server.encrypted_identity(), server.passphrase());
    let both = [Auth::key_file(server.identity()), second];
    works(&as_user(&server, server.user(), both));
    assert_eq!(server.refused(), NONE);
    let one = is_refused(&as_user(&server, server.user(), [Auth::key_file(server.identity())]));
    println!("{one}");
    assert_eq!(server.refused(), NONE, "a key that was accepted is not sent again");
}

#[test]
fn a_code_is_asked_for_after_the_key() {
    let server = EmbeddedServer::builder()
        .authentication_methods([Method::PublicKey, Method::KeyboardInteractive])
        .rounds([Round::new("").ask("Code: ", "123")])
        .start()
        .expect("embedded server");
    let key = || Auth::key_file(server.identity());
    works(&at_embedded(&server, [answering(&[("Code", "123")]), key()]));
    works(&at_embedded(&server, [key(), answering(&[("Code", "123")])]));
    assert_eq!(server.refused(), NONE);
    is_refused(&at_embedded(&server, [key(), answering(&[("Code", "456")])]));
    assert_eq!(server.refused(), ONE_ANSWER);
}

#[test]
fn eight_threads_at_once_send_a_wrong_credential_once() {
    let server = Sshd::start().expect("sshd");
    let user = PasswordUser::create().expect("a user; run the tests as root");
    let wrong = as_user(&server, user.name(), [Auth::password("wrong")]);
    let backend = Ssh2Backend::new(wrong).expect("valid");
    let pool = Pool::new(backend, Config::default());
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let pool = pool.clone();
            std::thread::spawn(move || pool.get().map(drop))
        })
        .collect();
    for task in tasks {
        task.join().expect("no panic").expect_err("refused");
    }
    counted(&server, ONE_PASSWORD);
}

#[test]
fn a_server_that_says_goodbye_to_a_credential_has_refused_it() {
    let server = EmbeddedServer::builder().farewell("too many").start().expect("embedded server");
    let options = at_embedded(&server, [Auth::password("wrong"), Auth::password("other")]);
    let backend = Ssh2Backend::new(options).expect("valid");
    let error = backend.connect().expect_err("refused");
    println!("{error}");
    assert_eq!(error.kind(), Kind::AuthenticationFailed, "{error}");
    assert_eq!(backend.classify(&error), ErrorKind::Permanent);
    assert_eq!(server.refused(), ONE_PASSWORD);
}
