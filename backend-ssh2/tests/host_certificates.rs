//! Servers that prove who they are with a certificate.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use backend_ssh2::{Ssh2Backend, Ssh2Session};
use common::{connect, sshd_options};
use pool_core::Backend as _;
use ssh_session::{
    Command, HostKeyPolicy, HostKeyProblem, HostKeys, Options, Session as _, SshError,
};
use tempfile::TempDir;
use test_servers::sshd::Sshd;

const PRINCIPAL: &str = "127.0.0.1";

/// A server that has one host key only, and a certificate for that.
struct Certified {
    server: Sshd,
    folder: TempDir,
}

impl Certified {
    /// `flags` say how the certificate is signed.
    fn start(key: &[&str], flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let host_key = folder.path().join("host_key");
        let authority = folder.path().join("authority");
        keygen(&authority, &["-t", "ed25519"]);
        keygen(&host_key, key);
        sign(&authority, &host_key, flags);
        let server = Sshd::builder()
            .host_keys([])
            .option(format!("HostKey {}", host_key.display()))
            .option(format!("HostCertificate {}-cert.pub", host_key.display()))
            .start()
            .expect("sshd");
        Self { server, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn public(&self, name: &str) -> String {
        fs::read_to_string(self.file(&format!("{name}.pub"))).expect("a public key")
    }

    /// Options that believe what these lines of a known_hosts file say; `%` stands for the server.
    fn options(&self, policy: HostKeyPolicy, lines: &str) -> Options {
        let name = format!("[{PRINCIPAL}]:{}", self.server.port());
        fs::write(self.file("known_hosts"), lines.replace('%', &name)).expect("written");
        sshd_options(&self.server)
            .host_keys(HostKeys::new(policy).files([self.file("known_hosts")]))
    }

    fn believes_authority(&self) -> Options {
        let lines = format!("@cert-authority % {}", self.public("authority"));
        self.options(HostKeyPolicy::Strict, &lines)
    }
}

fn keygen(path: &Path, flags: &[&str]) {
    let mut keygen = Process::new("ssh-keygen");
    let made = keygen.args(["-q", "-N", "", "-f"]).arg(path).args(flags).status();
    assert!(made.expect("ssh-keygen").success());
}

fn sign(authority: &Path, key: &Path, flags: &[&str]) {
    let public = key.with_extension("pub");
    let mut keygen = Process::new("ssh-keygen");
    let signed = keygen.args(["-q", "-I", "test", "-s"]).arg(authority).args(flags).arg(public);
    assert!(signed.status().expect("ssh-keygen").success());
}

fn refusal(options: &Options) -> HostKeyProblem {
    match Ssh2Session::connect(options) {
        Err(SshError::HostKey(refused)) => refused.problem,
        other => panic!("not refused for its key: {other:?}"),
    }
}

#[test]
fn a_host_with_a_key_of_any_kind_is_believed_by_its_certificate() {
    for key in [
        &["-t", "ed25519"][..],
        &["-t", "ecdsa", "-b", "256"],
        &["-t", "ecdsa", "-b", "384"],
        &["-t", "ecdsa", "-b", "521"],
        &["-t", "rsa", "-b", "2048"],
    ] {
        let host = Certified::start(key, &["-h", "-n", PRINCIPAL]);
        let options = host.believes_authority();
        let session =
            Ssh2Session::connect(&options).unwrap_or_else(|error| panic!("{key:?}: {error}"));
        assert!(session.exec(&Command::new("true")).expect("output").success());
        let known = fs::read_to_string(host.file("known_hosts")).expect("known hosts");
        assert_eq!(known.lines().count(), 1, "nothing is recorded beside the authority: {known}");
    }
}

#[test]
fn a_certificate_that_does_not_hold_is_refused_before_any_credential() {
    let other = tempfile::tempdir().expect("a folder");
    let other = other.path().join("other");
    keygen(&other, &["-t", "ed25519"]);
    let other = fs::read_to_string(other.with_extension("pub")).expect("a public key");
    let cases: &[(&str, &[&str], bool)] = &[
        ("another host's", &["-h", "-n", "other.example"], true),
        ("expired", &["-h", "-n", PRINCIPAL, "-V", "20200101:20210101"], true),
        ("not yet valid", &["-h", "-n", PRINCIPAL, "-V", "20400101:20410101"], true),
        ("nobody's", &["-h"], true),
        ("another authority's", &["-h", "-n", PRINCIPAL], false),
    ];
    for (name, flags, right_authority) in cases {
        let host = Certified::start(&["-t", "ed25519"], flags);
        let authority = if *right_authority { &host.public("authority") } else { &other };
        let lines = format!("@cert-authority % {authority}");
        let problem = refusal(&host.options(HostKeyPolicy::Strict, &lines));
        match problem {
            HostKeyProblem::Certificate { .. } => assert!(right_authority, "{name}"),
            HostKeyProblem::NotCertified { .. } => assert!(!right_authority, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
        let truth =
            host.server.wait_for(std::time::Duration::from_secs(5), |truth| truth.connections == 1);
        let truth = truth.expect("the connection is logged");
        assert_eq!((truth.authentications, truth.failed_authentications), (0, 0), "{name}");
    }
}

#[test]
fn a_revoked_key_is_refused_whoever_certified_it() {
    let host = Certified::start(&["-t", "ed25519"], &["-h", "-n", PRINCIPAL]);
    for revoked in ["host_key", "authority"] {
        let lines = format!(
            "@cert-authority % {}@revoked * {}",
            host.public("authority"),
            host.public(revoked)
        );
        let problem = refusal(&host.options(HostKeyPolicy::AcceptNew, &lines));
        assert!(matches!(problem, HostKeyProblem::Revoked { .. }), "{revoked}: {problem:?}");
    }
}

#[test]
fn without_a_word_about_its_authority_the_bare_key_counts() {
    let host = Certified::start(&["-t", "ed25519"], &["-h", "-n", PRINCIPAL]);
    connect(&host.options(HostKeyPolicy::Strict, &format!("% {}", host.public("host_key"))));
    let problem = refusal(&host.options(HostKeyPolicy::Strict, ""));
    assert!(matches!(problem, HostKeyProblem::Unknown { .. }), "{problem:?}");
}

#[test]
fn a_pool_believes_whatever_key_the_authority_certifies() {
    let mut host = Certified::start(&["-t", "ed25519"], &["-h", "-n", PRINCIPAL]);
    let backend = Ssh2Backend::new(host.believes_authority()).expect("valid");
    drop(backend.connect().expect("the first"));
    sign(&host.file("authority"), &host.file("host_key"), &["-h", "-n", PRINCIPAL, "-z", "2"]);
    host.server.restart().expect("restarted");
    drop(backend.connect().expect("the same key"));

    fs::remove_file(host.file("host_key")).expect("removed");
    keygen(&host.file("host_key"), &["-t", "ed25519"]);
    sign(&host.file("authority"), &host.file("host_key"), &["-h", "-n", PRINCIPAL]);
    host.server.restart().expect("restarted");
    drop(backend.connect().expect("another key, certified as well"));
}
