//! Which servers a pool goes on to believe, from dial to dial.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use conformance::{Pooled, for_all};
use pool_core::Backend as _;
use ssh_key::certificate::{Builder, CertType};
use ssh_session::{
    Auth, CertificateProblem, HostKeyPolicy, HostKeyProblem, HostKeys, Kind, KnownHosts, Options,
    Pin, SshError, Target,
};
use tempfile::TempDir;
use test_servers::keys::{KeyKind, KeyPair};
use test_servers::scripted::{Kex, ScriptedServer};
use test_servers::sshd::Sshd;

/// Opens session after session, as a pool does.
type Dialer = Box<dyn Fn() -> Result<(), SshError> + Send + Sync>;

fn dialer<S: Pooled>(subject: &S, options: Options) -> Dialer {
    let backend = subject.backend(options);
    Box::new(move || backend.connect().map(drop))
}

for_all![
    two_known_keys_behind_one_address_are_both_believed,
    two_certified_keys_behind_one_address_are_both_believed,
    a_rotation_mended_in_known_hosts_is_accepted_at_the_next_dial,
    a_key_that_cannot_be_recorded_binds_the_pool,
    a_key_that_must_be_recorded_and_cannot_be_is_an_error,
    of_two_keys_met_at_once_one_is_believed,
    the_type_of_a_pinned_key_is_asked_for,
    a_short_host_key_is_refused_before_any_credential,
    a_certificate_by_a_short_or_weak_signature_is_refused,
    a_certificate_for_thousands_of_other_hosts_is_refused_at_once,
    revoked_keys_are_refused_whoever_else_believes_them,
    only_the_host_key_algorithms_that_are_named_are_asked_for,
    a_command_says_what_is_known_as_it_does_for_ssh,
];

/// A server whose host key changes, and a file that knows hosts.
struct Host {
    server: Sshd,
    folder: TempDir,
}

impl Host {
    fn start() -> Self {
        let server = Sshd::start().expect("sshd (Debian package openssh-server)");
        Self { server, folder: TempDir::new().expect("a folder") }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("known_hosts")
    }

    fn know(&self, lines: &[&str]) {
        fs::write(self.file(), lines.join("\n") + "\n").expect("written");
    }

    fn known(&self) -> String {
        fs::read_to_string(self.file()).expect("readable")
    }

    fn options(&self, host_keys: HostKeys) -> Options {
        let (host, port) = (self.server.host(), self.server.port());
        let target = Target::new(host, port, self.server.user()).expect("a target");
        Options::new(target).auth(Auth::key_file(self.server.identity())).host_keys(host_keys)
    }

    fn with(&self, policy: HostKeyPolicy) -> Options {
        self.options(HostKeys::new(policy).files([self.file()]))
    }

    fn change(&mut self) {
        self.server.change_host_key().expect("another key");
    }
}

fn problem(result: Result<(), SshError>) -> HostKeyProblem {
    match result {
        Err(SshError::HostKey(refused)) => refused.problem,
        other => panic!("not refused for its key: {other:?}"),
    }
}

fn keygen(arguments: &[&str], folder: &Path) {
    let made = Program::new("ssh-keygen").arg("-q").args(arguments).current_dir(folder).output();
    let made = made.expect("ssh-keygen runs (Debian package openssh-client)");
    assert!(made.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&made.stderr));
}

fn public(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(format!("{name}.pub"))).expect("a public key").trim().to_owned()
}

fn two_known_keys_behind_one_address_are_both_believed<S: Pooled>(subject: &S) {
    let mut host = Host::start();
    let mut known = vec![host.server.known_hosts_line()];
    for policy in [HostKeyPolicy::Strict, HostKeyPolicy::AcceptNew] {
        let lines = |known: &[String]| known.join("\n") + "\n";
        fs::write(host.file(), lines(&known)).expect("written");
        let dial = dialer(subject, host.with(policy.clone()));
        dial().expect("the first key is known");
        host.change();
        assert!(matches!(problem(dial()), HostKeyProblem::Changed { .. }), "{policy:?}");
        known.push(host.server.known_hosts_line());
        fs::write(host.file(), lines(&known)).expect("written");
        dial().unwrap_or_else(|error| panic!("{policy:?}, both known: {error}"));
    }
}

fn two_certified_keys_behind_one_address_are_both_believed<S: Pooled>(subject: &S) {
    let folder = TempDir::new().expect("a folder");
    let place = folder.path();
    keygen(&["-N", "", "-t", "ed25519", "-f", "ca"], place);
    let certify = || {
        let _ = fs::remove_file(place.join("key"));
        keygen(&["-N", "", "-t", "ed25519", "-f", "key"], place);
        keygen(&["-s", "ca", "-I", "id", "-h", "-n", "127.0.0.1", "key.pub"], place);
    };
    certify();
    let server = Sshd::builder()
        .host_keys([])
        .option(format!("HostKey {}", place.join("key").display()))
        .option(format!("HostCertificate {}", place.join("key-cert.pub").display()));
    let server = server.start().expect("sshd");
    let mut host = Host { server, folder: TempDir::new().expect("a folder") };
    host.know(&[&format!("@cert-authority * {}", public(place, "ca"))]);
    for policy in [HostKeyPolicy::Strict, HostKeyPolicy::AcceptNew] {
        let dial = dialer(subject, host.with(policy));
        for _ in 0..2 {
            dial().expect("certified");
            certify();
            host.server.restart().expect("restarted");
        }
        assert_eq!(host.known().lines().count(), 1, "nothing is recorded");
    }
}

fn a_rotation_mended_in_known_hosts_is_accepted_at_the_next_dial<S: Pooled>(subject: &S) {
    let mut host = Host::start();
    host.know(&[]);
    let dial = dialer(subject, host.with(HostKeyPolicy::AcceptNew));
    dial().expect("trusted on first use");
    assert_eq!(host.known().trim(), host.server.known_hosts_line());
    dial().expect("known by now");
    host.change();
    for _ in 0..2 {
        assert!(matches!(problem(dial()), HostKeyProblem::Changed { .. }));
    }
    // Once by its new line, once by taking the old one out.
    host.know(&[&host.server.known_hosts_line()]);
    dial().expect("mended");
    host.change();
    assert!(matches!(problem(dial()), HostKeyProblem::Changed { .. }));
    host.know(&[]);
    dial().expect("trusted on first use again");
    assert_eq!(host.known().trim(), host.server.known_hosts_line());
}

fn a_key_that_cannot_be_recorded_binds_the_pool<S: Pooled>(subject: &S) {
    let mut host = Host::start();
    let nowhere = KnownHosts::files(Vec::<PathBuf>::new());
    let below_a_file = KnownHosts::files([host.server.identity().join("known_hosts")]);
    for files in [nowhere, below_a_file, KnownHosts::files(["/dev/null"])] {
        let mut host_keys = HostKeys::new(HostKeyPolicy::AcceptNew);
        host_keys.files = files.clone();
        let dial = dialer(subject, host.options(host_keys));
        dial().expect("trusted on first use");
        dial().expect("the same");
        host.change();
        for _ in 0..2 {
            let problem = problem(dial());
            assert!(
                matches!(problem, HostKeyProblem::NotTheFirst { .. }),
                "{files:?}: {problem:?}"
            );
        }
    }
}

fn a_key_that_must_be_recorded_and_cannot_be_is_an_error<S: Pooled>(subject: &S) {
    let host = Host::start();
    for files in [
        KnownHosts::files([host.server.identity().join("known_hosts")]),
        KnownHosts::files(["/dev/null"]),
        KnownHosts::files(Vec::<PathBuf>::new()),
    ] {
        let mut host_keys = HostKeys::new(HostKeyPolicy::AcceptNew);
        host_keys.files = files.clone();
        host_keys.must_record = true;
        let error = dialer(subject, host.options(host_keys))().expect_err("not recorded");
        assert_eq!(error.kind(), Kind::KnownHosts, "{files:?}: {error}");
    }
    let mut host_keys = HostKeys::new(HostKeyPolicy::AcceptNew).files([host.file()]);
    host_keys.must_record = true;
    host_keys.hash_names = true;
    dialer(subject, host.options(host_keys))().expect("recorded");
    let known = host.known();
    assert!(known.starts_with("|1|") && !known.contains("127.0.0.1"), "{known}");
    // `ssh` finds it as we do.
    let name = format!("[{}]:{}", host.server.host(), host.server.port());
    keygen(&["-F", &name, "-f", "known_hosts"], host.folder.path());
    dialer(subject, host.with(HostKeyPolicy::Strict))().expect("known");
}

fn of_two_keys_met_at_once_one_is_believed<S: Pooled>(subject: &S) {
    let host = Host::start();
    let both: Vec<(HostKeys, bool)> = vec![
        (HostKeys::new(HostKeyPolicy::AcceptNew).files([host.file()]), true),
        (HostKeys::new(HostKeyPolicy::AcceptNew).files(Vec::<PathBuf>::new()), false),
    ];
    for (host_keys, recorded) in both {
        let _ = fs::remove_file(host.file());
        let dial = Arc::new(dialer(subject, host.options(host_keys)));
        let barrier = Arc::new(Barrier::new(4));
        let dials: Vec<_> = (0..4)
            .map(|_| {
                let (dial, barrier) = (Arc::clone(&dial), Arc::clone(&barrier));
                thread::spawn(move || {
                    barrier.wait();
                    dial()
                })
            })
            .collect();
        for dial in dials {
            dial.join().expect("no panic").expect("the same key each time");
        }
        assert_eq!(host.file().exists(), recorded);
        if recorded {
            assert_eq!(host.known().lines().count(), 1);
        }
    }
}

fn the_type_of_a_pinned_key_is_asked_for<S: Pooled>(subject: &S) {
    let kinds = [KeyKind::Ed25519, KeyKind::Rsa2048, KeyKind::EcdsaP256];
    let server = Sshd::builder().host_keys(kinds).start().expect("sshd");
    let host = Host { server, folder: TempDir::new().expect("a folder") };
    let mut keys = Vec::new();
    for number in 0..kinds.len() {
        keys.push(public(host.server.dir(), &format!("host_key_{number}")));
    }
    let pin = |key: &str| key.parse::<Pin>().expect("a public key");
    let dial = |pins: &[Pin]| dialer(subject, host.with(HostKeyPolicy::pinned(pins.to_vec())))();
    for key in &keys {
        dial(&[pin(key)]).unwrap_or_else(|error| panic!("{key}: {error}"));
        let (kind, print) = (pin(key).algorithm().expect("typed").to_owned(), pin(key));
        let typed = format!("{kind} {}", print.fingerprint());
        dial(&[pin(&typed)]).unwrap_or_else(|error| panic!("{typed}: {error}"));
    }
    let other = TempDir::new().expect("a folder");
    keygen(&["-N", "", "-t", "rsa", "-b", "2048", "-f", "other"], other.path());
    let other = pin(&public(other.path(), "other"));
    // Several: the one that it has counts.
    dial(&[other.clone(), pin(&keys[1])]).expect("the second pin");
    let error = dial(std::slice::from_ref(&other)).expect_err("not pinned");
    assert!(error.to_string().contains(&other.to_string()), "{error}");
    assert!(matches!(problem(Err(error)), HostKeyProblem::NotPinned { .. }));
    // A pin without a type can't say what to ask for, and the error says what to do.
    let error = dial(&[pin(&keys[1]).fingerprint().into()]).expect_err("another type");
    assert!(error.to_string().contains("write the key's type before the pin"), "{error}");
    let none = host.with(HostKeyPolicy::Pinned(Vec::new()));
    assert_eq!(none.validate().expect_err("no pin").kind(), Kind::InvalidInput);
}

fn a_short_host_key_is_refused_before_any_credential<S: Pooled>(subject: &S) {
    let server = Sshd::builder().host_keys([KeyKind::Rsa2048]).start().expect("sshd");
    let host = Host { server, folder: TempDir::new().expect("a folder") };
    for policy in [HostKeyPolicy::AcceptNew, HostKeyPolicy::DangerAcceptAny] {
        let mut options = host.with(policy);
        options.key_rules.required_rsa_size = 2049;
        let problem = problem(dialer(subject, options.clone())());
        assert!(
            matches!(problem, HostKeyProblem::TooShort { bits: 2048, required: 2049 }),
            "{problem:?}"
        );
        options.key_rules.required_rsa_size = 2048;
        assert_eq!(host.server.counters().authentications, 0);
        if matches!(options.host_keys.policy, HostKeyPolicy::DangerAcceptAny) {
            dialer(subject, options)().expect("as many bits as are required");
        }
    }
}

fn a_certificate_by_a_short_or_weak_signature_is_refused<S: Pooled>(subject: &S) {
    let folder = TempDir::new().expect("a folder");
    let place = folder.path();
    keygen(&["-N", "", "-t", "rsa", "-b", "1024", "-f", "ca"], place);
    keygen(&["-N", "", "-t", "ed25519", "-f", "key"], place);
    let certify = |flags: &[&str]| {
        let sign = ["-s", "ca", "-I", "id", "-h", "-n", "127.0.0.1"];
        keygen(&[&sign[..], flags, &["key.pub"]].concat(), place);
    };
    certify(&["-t", "ssh-rsa"]);
    let server = Sshd::builder()
        .host_keys([])
        .option(format!("HostKey {}", place.join("key").display()))
        .option(format!("HostCertificate {}", place.join("key-cert.pub").display()));
    let mut host = Host { server: server.start().expect("sshd"), folder };
    host.know(&[&format!("@cert-authority * {}", public(host.folder.path(), "ca"))]);
    for policy in [HostKeyPolicy::Strict, HostKeyPolicy::AcceptNew] {
        let problem = problem(dialer(subject, host.with(policy))());
        let HostKeyProblem::Certificate { problem, .. } = problem else { panic!("{problem:?}") };
        let sha1 = CertificateProblem::SignatureAlgorithm { name: "ssh-rsa".into() };
        assert_eq!(problem, sha1);
    }
    let place = host.folder.path().to_owned();
    let sign = ["-s", "ca", "-I", "id", "-h", "-n", "127.0.0.1", "-t", "rsa-sha2-512", "key.pub"];
    keygen(&sign, &place);
    host.server.restart().expect("restarted");
    dialer(subject, host.with(HostKeyPolicy::Strict))().expect("signed with SHA-2");
    let mut options = host.with(HostKeyPolicy::Strict);
    options.key_rules.required_rsa_size = 1025;
    let refused = problem(dialer(subject, options)());
    assert!(
        matches!(
            refused,
            HostKeyProblem::Certificate {
                problem: CertificateProblem::ShortAuthority { bits: 1024 },
                ..
            }
        ),
        "{refused:?}"
    );
    let mut options = host.with(HostKeyPolicy::Strict);
    options.host_keys.ca_algorithms =
        ssh_session::SignatureAlgorithms::parse("ssh-ed25519").expect("a list");
    assert!(matches!(problem(dialer(subject, options)()), HostKeyProblem::Certificate { .. }));
}

/// Its names are patterns, each of which is compared with ours: the worst that fit in a packet.
fn a_certificate_for_thousands_of_other_hosts_is_refused_at_once<S: Pooled>(subject: &S) {
    let authority = KeyPair::ed25519().expect("a key");
    let key = KeyPair::ed25519().expect("a key");
    let public = key.private_key().public_key().key_data().clone();
    let mut certificate = Builder::new([7; 16], public, 0, u64::MAX).expect("a certificate");
    certificate.cert_type(CertType::Host).expect("a host's");
    for n in 0..1_000 {
        certificate.valid_principal(format!("*1*2*7*.*0*.*0*.*{n}x")).expect("a principal");
    }
    let certificate = certificate.sign(authority.private_key()).expect("signed");
    let shown = Some(certificate.to_bytes().expect("encoded"));
    let kex = Kex::with_key(key.private_key().clone(), "ssh-ed25519-cert-v01@openssh.com");
    let kex = Kex { shown, ..kex };
    let server = ScriptedServer::start(move |wire| {
        wire.begin(&kex)?;
        wire.serve()
    });
    let server = server.expect("a server");
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("known_hosts");
    let line = authority.public_line().expect("a line");
    fs::write(&file, format!("@cert-authority * {line}\n")).expect("written");
    let target = Target::new("127.0.0.1", server.addr().port(), "u").expect("a target");
    let keys = HostKeys::new(HostKeyPolicy::Strict).files([file]);
    let options = Options::new(target).auth(Auth::password("p")).host_keys(keys);
    let start = Instant::now();
    let error = dialer(subject, options)().expect_err("for other hosts");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let text = error.to_string();
    assert!(text.len() < 2_000, "{} bytes of text", text.len());
    assert_eq!(error.kind(), Kind::HostKey, "{text}");
    assert!(text.contains("is for other hosts (*1*2*7*.*0*.*0*.*0x"), "{text}");
}

fn revoked_keys_are_refused_whoever_else_believes_them<S: Pooled>(subject: &S) {
    let host = Host::start();
    host.know(&[&host.server.known_hosts_line()]);
    let key = host.server.host_public_key();
    let list = host.folder.path().join("revoked");
    fs::write(&list, format!("# gone\n\nssh-ed25519 AAAA\n{key} me@here\n")).expect("written");
    let pinned = HostKeyPolicy::pinned([key.parse::<Pin>().expect("a public key")]);
    let policies =
        [HostKeyPolicy::AcceptNew, HostKeyPolicy::Strict, pinned, HostKeyPolicy::DangerAcceptAny];
    for policy in policies {
        let mut options = host.with(policy);
        options.host_keys.revoked = vec![list.clone()];
        let problem = problem(dialer(subject, options.clone())());
        assert!(matches!(problem, HostKeyProblem::Revoked { line: 4, .. }), "{problem:?}");
        // What a file that is not there would say is not known.
        options.host_keys.revoked = vec![list.clone(), host.folder.path().join("absent")];
        let error = dialer(subject, options)().expect_err("unreadable");
        assert_eq!(error.kind(), Kind::KnownHosts, "{error}");
    }
    assert_eq!(host.server.counters().authentications, 0);
    let mut options = host.with(HostKeyPolicy::Strict);
    let other = TempDir::new().expect("a folder");
    keygen(&["-N", "", "-t", "ed25519", "-f", "other"], other.path());
    options.host_keys.revoked = vec![other.path().join("other.pub")];
    dialer(subject, options)().expect("another key is revoked");
}

fn only_the_host_key_algorithms_that_are_named_are_asked_for<S: Pooled>(subject: &S) {
    let kinds = [KeyKind::Ed25519, KeyKind::Rsa2048];
    let server = Sshd::builder().host_keys(kinds).start().expect("sshd");
    let host = Host { server, folder: TempDir::new().expect("a folder") };
    fs::set_permissions(host.folder.path(), fs::Permissions::from_mode(0o700)).expect("mode");
    for (list, recorded) in [
        ("rsa-sha2-256", "ssh-rsa"),
        ("ssh-ed25519", "ssh-ed25519"),
        ("^rsa-*", "ssh-rsa"),
        ("-*ed25519*", "ssh-rsa"),
    ] {
        host.know(&[]);
        let mut options = host.with(HostKeyPolicy::AcceptNew);
        options.host_keys.algorithms = ssh_session::HostKeyAlgorithms::parse(list).expect("a list");
        dialer(subject, options)().unwrap_or_else(|error| panic!("{list}: {error}"));
        assert!(host.known().contains(recorded), "{list}: {}", host.known());
    }
    let mut options = host.with(HostKeyPolicy::AcceptNew);
    options.host_keys.algorithms =
        ssh_session::HostKeyAlgorithms::parse("ecdsa-sha2-nistp384").expect("a list");
    let error = dialer(subject, options)().expect_err("nothing in common");
    assert_eq!(error.kind(), Kind::Handshake, "{error}");
}

fn a_command_says_what_is_known_as_it_does_for_ssh<S: Pooled>(subject: &S) {
    let host = Host::start();
    let place = host.folder.path();
    let (asked, script) = (place.join("asked"), place.join("script"));
    let line = host.server.known_hosts_line();
    let write = |end: &str| {
        let text = format!("#!/bin/sh\necho \"$@\" >> {}\n{end}\n", asked.display());
        fs::write(&script, text).expect("written");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).expect("mode");
        let _ = fs::remove_file(&asked);
    };
    let config = format!(
        "Host h\n HostName {}\n Port {}\n User {}\n IdentityFile {}\n IdentitiesOnly yes\n \
         IdentityAgent none\n UserKnownHostsFile none\n GlobalKnownHostsFile none\n \
         StrictHostKeyChecking yes\n KnownHostsCommand {} %H %I %t %f %K %n %p %% # x\n",
        host.server.host(),
        host.server.port(),
        host.server.user(),
        host.server.identity().display(),
        script.display(),
    );
    let file = place.join("config");
    fs::write(&file, &config).expect("written");
    let read = ssh_session::SshConfig::load(&file).expect("a configuration");
    let options = Options::from_ssh_config("h", &read).expect("options");
    let dial = dialer(subject, options.clone());

    write(&format!("echo '{line}'"));
    let mut ssh = Program::new("timeout");
    ssh.args(["30", "ssh", "-o", "BatchMode=yes", "-F"]).arg(&file).args(["h", "exit 0"]);
    assert!(ssh.status().expect("ssh runs").success(), "ssh believes the command");
    let theirs = fs::read_to_string(&asked).expect("it was asked");
    write(&format!("echo '{line}'"));
    dial().expect("known by the command");
    let ours = fs::read_to_string(&asked).expect("it was asked");
    assert_eq!(ours, theirs, "asked as by ssh");
    assert_eq!(ours.lines().count(), 2, "{ours}");

    for (end, kind) in [
        ("exit 0", Kind::HostKey),
        ("exit 1", Kind::KnownHosts),
        ("echo 'other ssh-ed25519 AAAA'", Kind::HostKey),
    ] {
        write(end);
        assert_eq!(dial().expect_err(end).kind(), kind, "{end}");
    }
    write(&format!("echo '@revoked * {}'; echo '{line}'", host.server.host_public_key()));
    assert!(matches!(problem(dial()), HostKeyProblem::Revoked { .. }));
    // One that hangs is ended with the time there is for the dial.
    write("sleep 600");
    let start = Instant::now();
    let mut options = options;
    options.connect_timeout = Duration::from_secs(2);
    let error = dialer(subject, options)().expect_err("it hangs");
    assert!(start.elapsed().as_secs() < 8, "{:?}: {error}", start.elapsed());
}
