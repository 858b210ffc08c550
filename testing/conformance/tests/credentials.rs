//! Which of our secrets a server gets to see, and which keys of ours are used at all.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding as _};
use conformance::for_all;
use conformance::suite::Subject;
use ssh_session::{
    Algorithms, Auth, Crypto, HostKeyPolicy, HostKeys, KeyProblem, Kind, Options, SshError, Target,
};
use tempfile::TempDir;
use test_servers::embedded::{EmbeddedServer, Method};
use test_servers::keys::KeyPair;
use test_servers::sshd::{PasswordUser, Sshd};

for_all![
    a_passphrase_is_not_sent_as_a_password,
    a_secret_beside_a_key_without_passphrase_is_a_password,
    a_key_that_others_may_read_is_refused_unless_it_is_wanted,
    a_pipe_is_no_key_and_waits_for_nobody,
    a_key_with_rounds_without_end_costs_no_time,
    a_short_rsa_key_of_ours_is_not_sent,
    a_pem_key_opens_by_its_passphrase_only_and_says_its_size_before_it_is_sent,
    a_pem_key_with_rounds_without_end_costs_no_time,
    only_the_methods_that_are_allowed_are_used,
];

fn options(host: &str, port: u16, user: &str, auth: Auth) -> Options {
    Options::new(Target::new(host, port, user).expect("a target"))
        .auth(auth)
        .host_keys(HostKeys::new(HostKeyPolicy::DangerAcceptAny))
}

fn to(server: &EmbeddedServer, auth: Auth) -> Options {
    options(&server.host(), server.port(), server.user(), auth)
}

#[track_caller]
fn refusal<S: Subject>(subject: &S, options: &Options) -> SshError {
    match subject.connect(options) {
        Ok(_) => panic!("it got in"),
        Err(error) => error,
    }
}

/// An encrypted key in this folder that no server knows.
fn encrypted_key(folder: &Path, passphrase: &str) -> PathBuf {
    let path = folder.join("encrypted");
    let key = KeyPair::ed25519().expect("a key");
    key.write_encrypted(&path, passphrase).expect("written");
    path
}

fn keygen(arguments: &[&str], path: &Path) {
    let made = Program::new("ssh-keygen").arg("-q").args(arguments).arg("-f").arg(path).status();
    assert!(made.expect("ssh-keygen runs (Debian package openssh-client)").success());
}

fn a_passphrase_is_not_sent_as_a_password<S: Subject>(subject: &S) {
    let folder = TempDir::new().expect("a folder");
    let key = encrypted_key(folder.path(), "geheim");
    let garbled = folder.path().join("garbled");
    fs::write(&garbled, "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n").expect("written");
    fs::set_permissions(&garbled, fs::Permissions::from_mode(0o600)).expect("mode");
    // The passphrase is a password that the server takes, which must not help.
    let asked = test_servers::embedded::Round::new("").ask("Password: ", "geheim");
    let servers = [
        EmbeddedServer::builder().authentication_methods([Method::Password]),
        EmbeddedServer::builder()
            .rounds([asked])
            .authentication_methods([Method::KeyboardInteractive]),
        EmbeddedServer::builder(),
    ];
    for server in servers {
        let server = server.password("geheim").start().expect("embedded server");
        for (path, secret) in [(&key, "geheim"), (&key, "wrong"), (&garbled, "geheim")] {
            let options = to(&server, Auth::key_file_or_password(path, secret));
            let error = refusal(subject, &options);
            let kinds = [Kind::AuthenticationFailed, Kind::KeyFile];
            assert!(kinds.contains(&error.kind()), "{error}");
            assert!(!format!("{error} {error:?} {options:?}").contains("geheim"), "{error}");
        }
        let refused = server.refused();
        assert_eq!((refused.password, refused.keyboard_interactive), (0, 0));
    }
}

fn a_secret_beside_a_key_without_passphrase_is_a_password<S: Subject>(subject: &S) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("plain");
    KeyPair::ed25519().expect("a key").write(&path).expect("written");
    let server = Sshd::builder().option("PasswordAuthentication yes").start().expect("sshd");
    let user = PasswordUser::create().expect("a user; run as root");
    let auth = |secret: &str| Auth::key_file_or_password(&path, secret);
    let to = |auth| options(&server.host(), server.port(), user.name(), auth);
    subject.connect(&to(auth(user.password()))).expect("let in by the password");
    let error = refusal(subject, &to(auth("wrong")));
    assert_eq!(error.kind(), Kind::AuthenticationFailed, "{error}");
    // The same on a server that knows the encrypted key.
    let own = server.encrypted_identity();
    let auth = Auth::key_file_or_password(own, server.passphrase());
    let known = options(&server.host(), server.port(), server.user(), auth);
    subject.connect(&known).expect("let in by the key");
}

fn a_key_that_others_may_read_is_refused_unless_it_is_wanted<S: Subject>(subject: &S) {
    let server = Sshd::start().expect("sshd");
    let path = server.identity();
    let mut to = options(&server.host(), server.port(), server.user(), Auth::key_file(&path));
    for mode in [0o644, 0o640, 0o604, 0o620, 0o601] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode");
        let error = refusal(subject, &to);
        let text = error.to_string();
        assert!(
            matches!(error, SshError::KeyFile { problem: KeyProblem::TooOpen { mode: told }, .. } if told == mode),
            "{text}"
        );
        assert!(text.contains(&format!("chmod 600 '{}'", path.display())), "{text}");
        assert!(text.contains(&format!("{mode:04o}")), "{text}");
    }
    to.key_rules.strict_modes = false;
    subject.connect(&to).expect("wanted");
    to.key_rules.strict_modes = true;
    for mode in [0o600, 0o400, 0o700] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode");
        subject.connect(&to).unwrap_or_else(|error| panic!("{mode:o}: {error}"));
    }
}

fn a_pipe_is_no_key_and_waits_for_nobody<S: Subject>(subject: &S) {
    let folder = TempDir::new().expect("a folder");
    let pipe = folder.path().join("pipe");
    assert!(
        Program::new("mkfifo").args(["-m", "600"]).arg(&pipe).status().expect("mkfifo").success()
    );
    let server = EmbeddedServer::start().expect("embedded server");
    let certified = Auth::key_file(server.identity()).with_certificate(&pipe);
    for auth in [Auth::key_file(&pipe), Auth::key_file_or_password(&pipe, "p"), certified] {
        let mut to = to(&server, auth);
        to.connect_timeout = Duration::from_secs(5);
        let start = Instant::now();
        let error = refusal(subject, &to);
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}: {error}", start.elapsed());
        assert_eq!(error.kind(), Kind::KeyFile, "{error}");
    }
}

/// A key that says that its passphrase takes so many rounds of bcrypt.
fn with_rounds(path: &Path, rounds: u32) {
    use base64ct::{Base64, Encoding as _};
    let text = fs::read_to_string(path).expect("a key");
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let mut bytes = Base64::decode_vec(&body).expect("base64");
    // Magic, cipher, KDF, then its options: a salt of 16 bytes and the rounds.
    let kdf = bytes.windows(6).position(|part| part == b"bcrypt").expect("bcrypt");
    let at = kdf + 6 + 4 + 4 + 16;
    bytes[at..at + 4].copy_from_slice(&rounds.to_be_bytes());
    let encoded = Base64::encode_string(&bytes);
    let lines: Vec<_> = encoded.as_bytes().chunks(70).map(String::from_utf8_lossy).collect();
    let (begin, end) = ("-----BEGIN OPENSSH PRIVATE KEY-----", "-----END OPENSSH PRIVATE KEY-----");
    fs::write(path, format!("{begin}\n{}\n{end}\n", lines.join("\n"))).expect("written");
}

fn a_key_with_rounds_without_end_costs_no_time<S: Subject>(subject: &S) {
    let folder = TempDir::new().expect("a folder");
    let server = EmbeddedServer::start().expect("embedded server");
    let path = encrypted_key(folder.path(), "geheim");
    for rounds in [u32::MAX, 1 << 31, 1_001] {
        with_rounds(&path, rounds);
        let mut to = to(&server, Auth::encrypted_key_file(&path, "geheim"));
        to.connect_timeout = Duration::from_secs(2);
        let start = Instant::now();
        let error = refusal(subject, &to);
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}: {error}", start.elapsed());
        assert!(error.to_string().contains(&format!("{rounds} rounds")), "{error}");
    }
    // As many as are allowed may take longer than there is time, which ends the wait.
    with_rounds(&path, 1_000);
    let mut to = to(&server, Auth::encrypted_key_file(&path, "geheim"));
    to.connect_timeout = Duration::from_millis(500);
    let start = Instant::now();
    let error = refusal(subject, &to);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}: {error}", start.elapsed());
}

fn a_short_rsa_key_of_ours_is_not_sent<S: Subject>(subject: &S) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("short");
    keygen(&["-N", "", "-t", "rsa", "-b", "1024"], &path);
    let public = fs::read_to_string(path.with_extension("pub")).expect("a public key");
    let server = EmbeddedServer::builder().authorized_key(public.trim()).start();
    let server = server.expect("embedded server");
    let mut to = to(&server, Auth::key_file(&path));
    subject.connect(&to).expect("as many bits as are required");
    to.key_rules.required_rsa_size = 1025;
    let error = refusal(subject, &to);
    assert!(error.to_string().contains("1024 bits, fewer than 1025"), "{error}");
    assert_eq!(error.kind(), Kind::KeyFile);
    to.key_rules.required_rsa_size = 1023;
    assert_eq!(refusal(subject, &to).kind(), Kind::InvalidInput);
}

/// PEM as `ssh-keygen` writes it, old and new, encrypted or not.
fn a_pem_key_opens_by_its_passphrase_only_and_says_its_size_before_it_is_sent<S: Subject>(
    subject: &S,
) {
    let folder = TempDir::new().expect("a folder");
    for (format, passphrase) in [("PEM", ""), ("PEM", "geheim"), ("PKCS8", ""), ("PKCS8", "geheim")]
    {
        let what = format!("{format} {passphrase}");
        let path = folder.path().join(what.replace(' ', "-"));
        keygen(&["-N", passphrase, "-t", "rsa", "-b", "1024", "-m", format], &path);
        let public = fs::read_to_string(path.with_extension("pub")).expect("a public key");
        let server = EmbeddedServer::builder().authorized_key(public.trim()).start();
        let server = server.expect("embedded server");
        let auth = |passphrase: &str| match passphrase {
            "" => Auth::key_file(&path),
            some => Auth::encrypted_key_file(&path, some),
        };
        let mut to_it = to(&server, auth(passphrase));
        subject.connect(&to_it).expect(&what);
        to_it.key_rules.required_rsa_size = 1025;
        let error = refusal(subject, &to_it);
        assert!(error.to_string().contains("1024 bits, fewer than 1025"), "{what}: {error}");
        let without = Crypto::default().with(Algorithms::UserKeys, "-rsa-*").expect("a list");
        let error = refusal(subject, &to(&server, auth(passphrase)).crypto(without));
        assert!(error.to_string().contains("pubkey_accepted_algorithms"), "{what}: {error}");
        assert_eq!(server.failed_authentications(), 0, "{what}: it was not sent");
        if !passphrase.is_empty() {
            for (wrong, problem) in [("falsch", "passphrase"), ("", "passphrase")] {
                let error = refusal(subject, &to(&server, auth(wrong)));
                assert_eq!(error.kind(), Kind::KeyFile, "{what}: {error}");
                assert!(error.to_string().contains(problem), "{what}: {error}");
            }
        }
    }
}

/// 2^31 rounds of PBKDF2, and gigabytes for scrypt.
fn a_pem_key_with_rounds_without_end_costs_no_time<S: Subject>(subject: &S) {
    let folder = TempDir::new().expect("a folder");
    let server = EmbeddedServer::start().expect("embedded server");
    let path = folder.path().join("key");
    for (number, expected) in [(1_u32 << 31, "rounds"), (100_000_000, "rounds")] {
        fs::write(&path, with_pbkdf2_rounds(number)).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("mode");
        let mut to = to(&server, Auth::encrypted_key_file(&path, "geheim"));
        to.connect_timeout = Duration::from_secs(2);
        let start = Instant::now();
        let error = refusal(subject, &to);
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}: {error}", start.elapsed());
        assert_eq!(error.kind(), Kind::KeyFile, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

/// A key encrypted by AES-256-CBC and PBKDF2 with HMAC-SHA-256, as PKCS#8 has it (RFC 8018), that
/// says it takes so many rounds.
fn with_pbkdf2_rounds(rounds: u32) -> String {
    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = u8::try_from(content.len()).expect("short");
        match length {
            0..0x80 => [&[tag, length], &content[..]].concat(),
            _ => [&[tag, 0x81, length], &content[..]].concat(),
        }
    }
    const PBES2: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d";
    const PBKDF2: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c";
    const SHA256: &[u8] = b"\x06\x08\x2a\x86\x48\x86\xf7\x0d\x02\x09";
    const AES: &[u8] = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01\x2a";
    let count = der(2, &[&[0], &rounds.to_be_bytes()]);
    let hash = der(0x30, &[SHA256, b"\x05\x00"]);
    let derivation = der(0x30, &[PBKDF2, &der(0x30, &[&der(4, &[b"saltsalt"]), &count, &hash])]);
    let cipher = der(0x30, &[AES, &der(4, &[&[7; 16]])]);
    let scheme = der(0x30, &[PBES2, &der(0x30, &[&derivation, &cipher])]);
    let key = der(0x30, &[&scheme, &der(4, &[&[9; 64]])]);
    let text = Base64::encode_string(&key);
    let lines: Vec<&str> =
        (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\n{}\n-----END ENCRYPTED PRIVATE KEY-----\n",
        lines.join("\n")
    )
}

fn only_the_methods_that_are_allowed_are_used<S: Subject>(subject: &S) {
    let server = EmbeddedServer::builder().password("right").start().expect("embedded server");
    let mut to = to(&server, Auth::password("wrong")).auth(Auth::key_file(server.identity()));
    to.methods.password = false;
    to.methods.keyboard_interactive = false;
    subject.connect(&to).expect("let in by the key");
    assert_eq!(server.failed_authentications(), 0, "no password was sent");
    to.methods.public_key = false;
    let error = refusal(subject, &to);
    assert!(error.to_string().contains("not allowed here"), "{error}");
    assert_eq!(server.failed_authentications(), 0);
    // The order is that of `PreferredAuthentications`, not that of the credentials.
    to.methods = Default::default();
    to.methods.preferred =
        Some(vec![ssh_session::login::Method::PublicKey, ssh_session::login::Method::Password]);
    subject.connect(&to).expect("let in by the key");
    assert_eq!(server.failed_authentications(), 0, "the key went first");
}
