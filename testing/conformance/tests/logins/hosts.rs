//! Who the server is, and what is said of whatever is no SSH server.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use conformance::{Pooled, for_all};
use pool_core::{Backend as _, ErrorKind};
use ssh_session::{Auth, HostKeyPolicy, HostKeys, Kind, SshError};
use test_servers::embedded::EmbeddedServer;
use test_servers::keys::KeyKind;
use test_servers::sshd::Sshd;

use crate::{at_embedded, connect, error_of, refused_before_login, sshd_options, target, with};

for_all![
    a_new_host_is_recorded_and_its_changed_key_refused_before_any_credential,
    a_new_host_is_not_recorded_when_login_fails,
    known_types_of_keys_are_asked_for_first,
    what_is_no_ssh_server_is_told_apart_in_bounded_time,
    a_first_key_that_no_file_keeps_binds_the_pool_and_is_no_passing_trouble,
];

fn a_new_host_is_recorded_and_its_changed_key_refused_before_any_credential<S: Pooled>(
    subject: &S,
) {
    let mut server = Sshd::start().expect("sshd");
    let known = server.dir().join("known/known_hosts");
    let mut options = sshd_options(&server);
    options.host_keys = HostKeys::new(HostKeyPolicy::Strict).files([&known]);
    assert_eq!(error_of(subject, &options).kind(), Kind::HostKey, "strict refuses unknown hosts");
    options.host_keys.policy = HostKeyPolicy::AcceptNew;
    connect(subject, &options);
    let line = fs::read_to_string(&known).expect("recorded");
    assert_eq!(line.trim(), server.known_hosts_line().trim());
    options.host_keys.policy = HostKeyPolicy::Strict;
    connect(subject, &options);

    server.change_host_key().expect("changed");
    for policy in [HostKeyPolicy::Strict, HostKeyPolicy::AcceptNew] {
        options.host_keys.policy = policy;
        let error = refused_before_login(subject, &options, &server);
        assert!(error.to_string().contains("HOST KEY CHANGED"), "{error}");
        assert!(error.to_string().contains("known_hosts:1 "), "{error}");
    }
    assert_eq!(fs::read_to_string(&known).expect("known"), line, "and the file is as it was");
}

fn a_new_host_is_not_recorded_when_login_fails<S: Pooled>(subject: &S) {
    let server = EmbeddedServer::start().expect("embedded server");
    let known = server.dir().join("known_hosts_of_test");
    let options = at_embedded(&server, [Auth::password("wrong")])
        .host_keys(HostKeys::new(HostKeyPolicy::AcceptNew).files([&known]));
    assert_eq!(error_of(subject, &options).kind(), Kind::AuthenticationFailed);
    assert!(!known.exists());
}

fn known_types_of_keys_are_asked_for_first<S: Pooled>(subject: &S) {
    let server =
        Sshd::builder().host_keys([KeyKind::Ed25519, KeyKind::EcdsaP256]).start().expect("sshd");
    let known = server.dir().join("known_hosts_of_test");
    let name = format!("[{}]:{}", server.host(), server.port());
    for public in server.host_public_keys() {
        fs::write(&known, format!("{name} {public}\n")).expect("written");
        let mut options = sshd_options(&server);
        options.host_keys = HostKeys::new(HostKeyPolicy::Strict).files([&known]);
        connect(subject, &options);
    }
}

fn what_is_no_ssh_server_is_told_apart_in_bounded_time<S: Pooled>(subject: &S) {
    let options = |port| {
        let mut options = with(target("127.0.0.1", port, "u"), [Auth::password("p")]);
        options.connect_timeout = Duration::from_secs(1);
        options
    };
    let answering = |answer: &'static [u8], keep: bool| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        thread::spawn(move || {
            let mut kept = Vec::new();
            while let Ok((mut stream, _)) = listener.accept() {
                let _ = stream.write_all(answer);
                if keep {
                    kept.push(stream);
                }
            }
        });
        port
    };
    let free = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("bound").port()
    };
    assert_eq!(error_of(subject, &options(free)).kind(), Kind::Connect);
    assert_eq!(error_of(subject, &options(answering(b"", false))).kind(), Kind::Busy);
    let busy = answering(b"Not allowed at this time\r\n", false);
    assert_eq!(error_of(subject, &options(busy)).kind(), Kind::Busy);
    let http = answering(b"HTTP/1.1 400 \x1b[31mBad Request\r\n\r\n", false);
    let error = error_of(subject, &options(http));
    assert_eq!(error.kind(), Kind::Handshake, "{error}");
    assert!(!error.to_string().contains('\x1b'));
    let start = Instant::now();
    assert_eq!(error_of(subject, &options(answering(b"", true))).kind(), Kind::Timeout);
    assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());
    let flood = endless(b"one more line before the banner\r\n".repeat(100_000));
    let start = Instant::now();
    // After 256 KiB it is none, whatever may follow; libssh2 reads them byte by byte, so on a busy
    // machine time may be up before.
    let kind = error_of(subject, &options(flood)).kind();
    assert!(matches!(kind, Kind::Handshake | Kind::Timeout), "{kind:?}");
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    let cut = answering(b"SSH-2.0-x\r\n", false);
    assert_eq!(error_of(subject, &options(cut)).kind(), Kind::ConnectionLost);
    let start = Instant::now();
    let mut nowhere = options(22);
    nowhere.target = target("no-such-host.invalid", 22, "u");
    nowhere.connect_timeout = Duration::from_secs(5);
    let error = error_of(subject, &nowhere);
    assert!(matches!(error.kind(), Kind::Resolve), "{error}");
    assert!(start.elapsed() < Duration::from_secs(6));
    let mut silent = options(22);
    silent.target = target("192.0.2.1", 22, "u");
    let error = error_of(subject, &silent);
    assert!(matches!(error, SshError::Timeout { .. } | SshError::Connect { .. }), "{error}");
}

/// A port where everybody gets this again and again.
fn endless(text: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            while stream.write_all(&text).is_ok() {}
        }
    });
    port
}

fn a_first_key_that_no_file_keeps_binds_the_pool_and_is_no_passing_trouble<S: Pooled>(subject: &S) {
    let mut server = Sshd::start().expect("sshd");
    let mut options = sshd_options(&server);
    options.host_keys = HostKeys::new(HostKeyPolicy::AcceptNew).files(["/dev/null"]);
    let backend = subject.backend(options);
    drop(backend.connect().expect("first"));
    server.change_host_key().expect("changed");
    let error = backend.connect().map(drop).expect_err("another key");
    assert!(error.to_string().contains("first session"), "{error}");
    assert_eq!(backend.classify(&error), ErrorKind::Permanent);
}
