//! Who we are, who the server is, and what is said when either is wrong.

mod common;

use std::fs;
use std::net::TcpListener;
use std::process::Command as Process;
use std::time::{Duration, Instant};

use backend_ssh2::{Ssh2Backend, Ssh2Session};
use common::{connect, sshd_options, target};
use pool_core::{Backend as _, ErrorKind};
use ssh_session::{Auth, Command, HostKeyPolicy, HostKeys, Kind, Options, Session as _, SshError};
use test_servers::embedded::EmbeddedServer;
use test_servers::keys::KeyKind;
use test_servers::sshd::{PasswordUser, Sshd};

fn anybody() -> HostKeys {
    HostKeys::new(HostKeyPolicy::DangerAcceptAny)
}

fn kind_of(options: &Options) -> Kind {
    let error = Ssh2Session::connect(options).expect_err("refused");
    println!("{error}");
    error.kind()
}

#[test]
fn a_wrong_password_is_tried_once_and_a_right_one_works() {
    let server = EmbeddedServer::start().expect("embedded server");
    let to = target(&server.host(), server.port(), server.user());
    let right =
        Options::new(to.clone()).auth(Auth::password(server.password())).host_keys(anybody());
    assert!(connect(&right).exec(&Command::new("true")).expect("output").success());
    let wrong = Options::new(to.clone())
        .auth(Auth::password("wrong-secret"))
        .auth(Auth::password("wrong-secret"))
        .host_keys(anybody());
    let error = Ssh2Session::connect(&wrong).expect_err("refused");
    assert_eq!(error.kind(), Kind::AuthenticationFailed, "{error}");
    assert!(!format!("{error} {error:?} {wrong:?}").contains("wrong-secret"));
    assert_eq!(server.failed_authentications(), 1, "the same secret is not tried twice");
    let backend = Ssh2Backend::new(wrong).expect("valid");
    assert_eq!(backend.classify(&error), ErrorKind::Permanent);
}

#[test]
fn a_refused_key_falls_back_to_the_password() {
    let server = EmbeddedServer::start().expect("embedded server");
    let other = test_servers::keys::KeyPair::ed25519().expect("a key");
    let path = server.dir().join("other");
    other.write(&path).expect("written");
    let options = Options::new(target(&server.host(), server.port(), server.user()))
        .auth(Auth::key_file("/no/such/key"))
        .auth(Auth::key_file(&path))
        .auth(Auth::password(server.password()))
        .host_keys(anybody());
    assert!(connect(&options).exec(&Command::new("true")).expect("output").success());
}

#[test]
fn keys_of_every_kind_and_format_log_in() {
    let server = Sshd::start().expect("sshd");
    let authorized = server.dir().join("authorized_keys");
    let authorized = if authorized.exists() { authorized } else { find_authorized(&server) };
    let cases: &[(&str, &[&str])] = &[
        ("ed25519", &["-t", "ed25519"]),
        ("ecdsa", &["-t", "ecdsa"]),
        ("rsa", &["-t", "rsa", "-b", "2048"]),
        ("ecdsa-pem", &["-t", "ecdsa", "-m", "PEM"]),
        ("rsa-pem", &["-t", "rsa", "-b", "2048", "-m", "PEM"]),
        ("rsa-pkcs8", &["-t", "rsa", "-b", "2048", "-m", "PKCS8"]),
    ];
    for (name, flags) in cases {
        for passphrase in ["", "open sesame"] {
            let path = server.dir().join(format!("{name}-{}", passphrase.len()));
            let made = Process::new("ssh-keygen")
                .args(["-q", "-N", passphrase, "-f"])
                .arg(&path)
                .args(*flags)
                .status();
            assert!(made.expect("ssh-keygen").success());
            let public = fs::read_to_string(path.with_extension("pub")).expect("public key");
            let mut lines = fs::read_to_string(&authorized).expect("authorized keys");
            lines.push_str(&public);
            fs::write(&authorized, lines).expect("authorized");
            let auth = if passphrase.is_empty() {
                Auth::key_file(&path)
            } else {
                Auth::encrypted_key_file(&path, passphrase)
            };
            let options = |auth| {
                Options::new(target(&server.host(), server.port(), server.user()))
                    .auth(auth)
                    .host_keys(anybody())
            };
            let session = Ssh2Session::connect(&options(auth));
            let session = session.unwrap_or_else(|error| panic!("{name} {passphrase:?}: {error}"));
            assert!(session.exec(&Command::new("true")).expect("output").success());
            let text = fs::read_to_string(&path).expect("the key");
            if passphrase.is_empty() {
                connect(&options(Auth::key_data(text)));
            } else {
                let before = server.connections();
                assert!(before > 0);
                for wrong in [Auth::encrypted_key_file(&path, "wrong"), Auth::key_file(&path)] {
                    assert_eq!(kind_of(&options(wrong)), Kind::KeyFile, "{name}");
                }
            }
        }
    }
    assert_eq!(server.failed_authentications(), 0, "a bad key file is no refused login");
}

fn find_authorized(server: &Sshd) -> std::path::PathBuf {
    let config = fs::read_dir(server.dir()).expect("the server's folder");
    config
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.contains("authorized")
        })
        .expect("an authorized_keys file")
}

#[test]
fn key_files_that_cannot_be_used_are_told_apart() {
    let server = Sshd::start().expect("sshd");
    let public = server.dir().join("public.pub");
    fs::write(&public, server.host_public_key()).expect("written");
    let garbage = server.dir().join("garbage");
    fs::write(&garbage, "not a key").expect("written");
    for auth in [
        Auth::key_file("/no/such/key"),
        Auth::key_file(server.dir()),
        Auth::key_file(&public),
        Auth::key_file(&garbage),
        Auth::encrypted_key_file(server.encrypted_identity(), "wrong"),
        Auth::key_file(server.encrypted_identity()),
    ] {
        let options = Options::new(target(&server.host(), server.port(), server.user()))
            .auth(auth)
            .host_keys(anybody());
        assert_eq!(kind_of(&options), Kind::KeyFile);
    }
    assert_eq!(server.failed_authentications(), 0);
    let auth = Auth::encrypted_key_file(server.encrypted_identity(), server.passphrase());
    let options = Options::new(target(&server.host(), server.port(), server.user()))
        .auth(auth)
        .host_keys(anybody());
    assert!(connect(&options).is_alive());
}

#[test]
fn a_new_host_is_recorded_and_its_changed_key_refused_before_any_credential() {
    let mut server = Sshd::start().expect("sshd");
    let known = server.dir().join("known/known_hosts");
    let mut options = sshd_options(&server);
    options.host_keys = HostKeys::new(HostKeyPolicy::Strict).files([&known]);
    assert_eq!(kind_of(&options), Kind::HostKey, "strict refuses unknown hosts");
    options.host_keys.policy = HostKeyPolicy::AcceptNew;
    connect(&options);
    let line = fs::read_to_string(&known).expect("recorded");
    assert_eq!(line.trim(), server.known_hosts_line().trim());
    options.host_keys.policy = HostKeyPolicy::Strict;
    connect(&options);

    server.change_host_key().expect("changed");
    let logged_before = server.log().len();
    for policy in [HostKeyPolicy::Strict, HostKeyPolicy::AcceptNew] {
        options.host_keys.policy = policy;
        let error = Ssh2Session::connect(&options).expect_err("changed");
        assert!(error.to_string().contains("HOST KEY CHANGED"), "{error}");
        assert!(error.to_string().contains("known_hosts:1 "), "{error}");
    }
    std::thread::sleep(Duration::from_millis(300));
    let log = server.log();
    let since = &log[logged_before..];
    for word in ["publickey", "password", "userauth-request"] {
        assert!(!since.contains(word), "nothing of a login is in the server's log: {since}");
    }
    assert_eq!(fs::read_to_string(&known).expect("known"), line, "and the file is as it was");
}

#[test]
fn a_new_host_is_not_recorded_when_login_fails() {
    let server = EmbeddedServer::start().expect("embedded server");
    let known = server.dir().join("known_hosts_of_test");
    let options = Options::new(target(&server.host(), server.port(), server.user()))
        .auth(Auth::password("wrong"))
        .host_keys(HostKeys::new(HostKeyPolicy::AcceptNew).files([&known]));
    assert_eq!(kind_of(&options), Kind::AuthenticationFailed);
    assert!(!known.exists());
}

#[test]
fn known_types_of_keys_are_asked_for_first() {
    let server =
        Sshd::builder().host_keys([KeyKind::Ed25519, KeyKind::EcdsaP256]).start().expect("sshd");
    let known = server.dir().join("known_hosts_of_test");
    let name = format!("[{}]:{}", server.host(), server.port());
    for public in server.host_public_keys() {
        fs::write(&known, format!("{name} {public}\n")).expect("written");
        let mut options = sshd_options(&server);
        options.host_keys = HostKeys::new(HostKeyPolicy::Strict).files([&known]);
        connect(&options);
    }
}

#[test]
fn the_agents_keys_are_tried_one_after_another() {
    // Only the environment says where the agent is, so the login happens in a child that has its
    // own: this same test, told where to go.
    if let Ok(at) = std::env::var("HUSSH_TEST_AT") {
        let parts: Vec<_> = at.split(' ').collect();
        let options = Options::new(target(parts[0], parts[1].parse().expect("a port"), parts[2]))
            .auth(Auth::Agent)
            .host_keys(anybody());
        assert!(connect(&options).exec(&Command::new("true")).expect("output").success());
        return;
    }
    let server = Sshd::start().expect("sshd");
    let wrong = server.dir().join("wrong");
    test_servers::keys::KeyPair::ed25519().expect("key").write(&wrong).expect("written");
    let socket = server.dir().join("agent");
    let mut agent = Process::new("ssh-agent")
        .args(["-D", "-a"])
        .arg(&socket)
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("ssh-agent");
    while !socket.exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    for key in [&wrong, &server.identity()] {
        let added =
            Process::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &socket).status();
        assert!(added.expect("ssh-add").success());
    }
    let output = Process::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "the_agents_keys_are_tried_one_after_another", "--nocapture"])
        .env("SSH_AUTH_SOCK", &socket)
        .env("HUSSH_TEST_AT", format!("{} {} {}", server.host(), server.port(), server.user()))
        .output()
        .expect("the child runs");
    agent.kill().expect("killed");
    agent.wait().expect("ended");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(server.authentications(), 1);
}

#[test]
fn what_is_no_ssh_server_is_told_apart_in_bounded_time() {
    let options = |port| {
        let mut options = Options::new(target("127.0.0.1", port, "u")).auth(Auth::password("p"));
        options.connect_timeout = Duration::from_secs(1);
        options.host_keys = anybody();
        options
    };
    let answering = |answer: &'static [u8], keep: bool| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        std::thread::spawn(move || {
            use std::io::Write as _;
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
    assert_eq!(kind_of(&options(free)), Kind::Connect);
    assert_eq!(kind_of(&options(answering(b"", false))), Kind::Busy);
    let busy = answering(b"Not allowed at this time\r\n", false);
    assert_eq!(kind_of(&options(busy)), Kind::Busy);
    let http = answering(b"HTTP/1.1 400 \x1b[31mBad Request\r\n\r\n", false);
    let error = Ssh2Session::connect(&options(http)).expect_err("http");
    assert_eq!(error.kind(), Kind::Handshake, "{error}");
    assert!(!error.to_string().contains('\x1b'));
    let start = Instant::now();
    assert_eq!(kind_of(&options(answering(b"", true))), Kind::Timeout);
    assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());
    let flood = b"one more line before the banner\r\n".repeat(100_000);
    let flood = endless(flood);
    let start = Instant::now();
    // After 256 KiB it is none, whatever may follow; libssh2 reads them byte by byte, so on a busy
    // machine time may be up before.
    let kind = kind_of(&options(flood));
    assert!(matches!(kind, Kind::Handshake | Kind::Timeout), "{kind:?}");
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    let cut = answering(b"SSH-2.0-x\r\n", false);
    assert_eq!(kind_of(&options(cut)), Kind::ConnectionLost);
    let start = Instant::now();
    let mut nowhere = options(22);
    nowhere.target = target("no-such-host.invalid", 22, "u");
    nowhere.connect_timeout = Duration::from_secs(5);
    let error = Ssh2Session::connect(&nowhere).expect_err("no such host");
    assert!(matches!(error.kind(), Kind::Resolve), "{error}");
    assert!(start.elapsed() < Duration::from_secs(6));
    let mut silent = options(22);
    silent.target = target("192.0.2.1", 22, "u");
    let error = Ssh2Session::connect(&silent).expect_err("nobody is there");
    assert!(matches!(error, SshError::Timeout { .. } | SshError::Connect { .. }), "{error}");
}

#[test]
fn a_first_key_that_no_file_keeps_binds_the_pool_and_is_no_passing_trouble() {
    let mut server = Sshd::start().expect("sshd");
    let mut options = sshd_options(&server);
    options.host_keys = HostKeys::new(HostKeyPolicy::AcceptNew).files(["/dev/null"]);
    let backend = Ssh2Backend::new(options).expect("valid");
    drop(backend.connect().expect("first"));
    server.change_host_key().expect("changed");
    let error = backend.connect().expect_err("another key");
    assert!(error.to_string().contains("first session"), "{error}");
    assert_eq!(backend.classify(&error), ErrorKind::Permanent);
}

/// A port where everybody gets this again and again.
fn endless(text: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        use std::io::Write as _;
        while let Ok((mut stream, _)) = listener.accept() {
            while stream.write_all(&text).is_ok() {}
        }
    });
    port
}

#[test]
fn a_server_that_hangs_up_on_a_wrong_password_refused_it() {
    let server = Sshd::builder().option("MaxAuthTries 1").start().expect("sshd");
    let user = PasswordUser::create().expect("a user; run the tests as root");
    let options = Options::new(target(&server.host(), server.port(), user.name()))
        .auth(Auth::password("wrong-secret"))
        .host_keys(anybody());
    let error = Ssh2Session::connect(&options).expect_err("refused");
    assert_eq!(error.kind(), Kind::AuthenticationFailed, "{error}");
    assert!(error.to_string().contains("hung up"), "{error}");
    let backend = Ssh2Backend::new(options).expect("valid");
    assert_eq!(backend.classify(&error), ErrorKind::Permanent, "so a pool does not try it again");
}
