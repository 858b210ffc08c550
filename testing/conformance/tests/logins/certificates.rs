//! Servers that prove who they are with a certificate.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Program;

use conformance::{Pooled, for_all};
use pool_core::Backend as _;
use ssh_session::{
    Command, HostKeyPolicy, HostKeyProblem, HostKeys, Options, Session as _, SshError,
};
use tempfile::TempDir;
use test_servers::sshd::{Sshd, SshdBuilder};

use crate::{connect, keygen, read, refused_before_login, sshd_options, works};

for_all![
    a_host_with_a_key_of_any_kind_is_believed_by_its_certificate,
    a_certificate_that_does_not_hold_is_refused_before_any_credential,
    a_revoked_key_is_refused_whoever_certified_it,
    a_certificate_by_an_authority_that_is_not_the_hosts_is_not_trusted_on_first_use,
    without_a_word_about_its_authority_the_bare_key_counts,
    new_keys_of_the_same_connection_are_agreed_on_with_a_certificate,
    a_pool_believes_whatever_key_the_authority_certifies,
];

const PRINCIPAL: &str = "127.0.0.1";

/// For it, signed by the authority and valid.
const FOR_IT: &[&str] = &["-h", "-n", PRINCIPAL];

const ED25519: &[&str] = &["-N", "", "-t", "ed25519"];

const POLICIES: [HostKeyPolicy; 2] = [HostKeyPolicy::Strict, HostKeyPolicy::AcceptNew];

/// A server that has one host key only, and a certificate for that.
struct Certified {
    server: Sshd,
    folder: TempDir,
}

impl Certified {
    /// `flags` say how the certificate is signed.
    fn start(key: &[&str], flags: &[&str]) -> Self {
        Self::start_with(key, flags, Sshd::builder())
    }

    fn start_with(key: &[&str], flags: &[&str], server: SshdBuilder) -> Self {
        let folder = TempDir::new().expect("a folder");
        let host_key = folder.path().join("host_key");
        let authority = folder.path().join("authority");
        keygen(&authority, ED25519);
        keygen(&host_key, key);
        sign(&authority, &host_key, flags);
        let server = server
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
        read(self.file(&format!("{name}.pub")))
    }

    /// Options that believe what these lines of a known_hosts file say; `%` stands for the server.
    fn options(&self, policy: HostKeyPolicy, lines: &str) -> Options {
        let name = format!("[{PRINCIPAL}]:{}", self.server.port());
        fs::write(self.file("known_hosts"), lines.replace('%', &name)).expect("written");
        sshd_options(&self.server)
            .host_keys(HostKeys::new(policy).files([self.file("known_hosts")]))
    }

    fn known(&self) -> String {
        read(self.file("known_hosts"))
    }

    fn believes_authority(&self, policy: HostKeyPolicy) -> Options {
        self.options(policy, &format!("@cert-authority % {}", self.public("authority")))
    }
}

fn sign(authority: &Path, key: &Path, flags: &[&str]) {
    let public = key.with_extension("pub");
    let mut keygen = Program::new("ssh-keygen");
    let signed = keygen.args(["-q", "-I", "test", "-s"]).arg(authority).args(flags).arg(public);
    assert!(signed.status().expect("ssh-keygen").success());
}

fn refusal<S: Pooled>(subject: &S, host: &Certified, options: &Options) -> HostKeyProblem {
    match refused_before_login(subject, options, &host.server) {
        SshError::HostKey(refused) => refused.problem,
        other => panic!("not refused for its key: {other:?}"),
    }
}

fn a_host_with_a_key_of_any_kind_is_believed_by_its_certificate<S: Pooled>(subject: &S) {
    for (kind, bits) in
        [("ed25519", "256"), ("ecdsa", "256"), ("ecdsa", "384"), ("ecdsa", "521"), ("rsa", "2048")]
    {
        let host = Certified::start(&["-N", "", "-t", kind, "-b", bits], FOR_IT);
        for policy in POLICIES {
            let options = host.believes_authority(policy);
            let before = host.known();
            works(subject, &options);
            assert_eq!(host.known(), before, "nothing is recorded beside the authority");
        }
    }
}

fn a_certificate_that_does_not_hold_is_refused_before_any_credential<S: Pooled>(subject: &S) {
    let other = TempDir::new().expect("a folder");
    let other = other.path().join("other");
    keygen(&other, ED25519);
    let other = read(other.with_extension("pub"));
    let cases: &[(&str, &[&str])] = &[
        ("is for other hosts (other.example)", &["-h", "-n", "other.example"]),
        ("has expired", &["-h", "-n", PRINCIPAL, "-V", "20200101:20210101"]),
        ("is not yet valid", &["-h", "-n", PRINCIPAL, "-V", "20400101:20410101"]),
        ("names no host", &["-h"]),
    ];
    for (why, flags) in cases {
        let host = Certified::start(ED25519, flags);
        let options = host.believes_authority(HostKeyPolicy::Strict);
        let error = refused_before_login(subject, &options, &host.server);
        assert!(error.to_string().contains(why), "{error}");
        let SshError::HostKey(refused) = error else { panic!("{error:?}") };
        assert!(matches!(refused.problem, HostKeyProblem::Certificate { .. }), "{refused:?}");
        let (authority, key) = (host.public("authority"), host.public("host_key"));
        let both = format!("@cert-authority % {authority}% {key}");
        works(subject, &host.options(HostKeyPolicy::Strict, &both));
    }
    let host = Certified::start(ED25519, FOR_IT);
    let options = host.options(HostKeyPolicy::Strict, &format!("@cert-authority % {other}"));
    let problem = refusal(subject, &host, &options);
    assert!(matches!(problem, HostKeyProblem::NotCertified { .. }), "{problem:?}");
}

fn a_revoked_key_is_refused_whoever_certified_it<S: Pooled>(subject: &S) {
    let host = Certified::start(ED25519, FOR_IT);
    for revoked in ["host_key", "authority"] {
        let (authority, revoked) = (host.public("authority"), host.public(revoked));
        for policy in POLICIES {
            let lines = format!("@cert-authority % {authority}@revoked * {revoked}");
            let problem = refusal(subject, &host, &host.options(policy, &lines));
            assert!(matches!(problem, HostKeyProblem::Revoked { .. }), "{revoked}: {problem:?}");
        }
    }
}

fn a_certificate_by_an_authority_that_is_not_the_hosts_is_not_trusted_on_first_use<S: Pooled>(
    subject: &S,
) {
    let host = Certified::start(ED25519, FOR_IT);
    let other = host.file("other");
    keygen(&other, ED25519);
    let lines = format!("@cert-authority % {}", host.public("other"));
    for policy in POLICIES {
        let options = host.options(policy, &lines);
        let before = host.known();
        refused_before_login(subject, &options, &host.server);
        assert_eq!(host.known(), before, "nothing is recorded");
    }
    works(subject, &host.options(HostKeyPolicy::AcceptNew, ""));
    let bare = host.public("host_key");
    let bare: Vec<_> = bare.split(' ').take(2).collect();
    assert_eq!(host.known(), format!("[{PRINCIPAL}]:{} {}\n", host.server.port(), bare.join(" ")));
}

fn without_a_word_about_its_authority_the_bare_key_counts<S: Pooled>(subject: &S) {
    let host = Certified::start(ED25519, FOR_IT);
    let line = format!("% {}", host.public("host_key"));
    works(subject, &host.options(HostKeyPolicy::Strict, &line));
    let problem = refusal(subject, &host, &host.options(HostKeyPolicy::Strict, ""));
    assert!(matches!(problem, HostKeyProblem::Unknown { .. }), "{problem:?}");
}

fn new_keys_of_the_same_connection_are_agreed_on_with_a_certificate<S: Pooled>(subject: &S) {
    let server = Sshd::builder().option("RekeyLimit 1M");
    let host = Certified::start_with(ED25519, FOR_IT, server);
    let session = connect(subject, &host.believes_authority(HostKeyPolicy::Strict));
    let output = session.exec(&Command::new("head -c 8000000 /dev/zero")).expect("output");
    assert_eq!(output.stdout.len(), 8_000_000);
    assert!(session.exec(&Command::new("true")).expect("output").success());
}

fn a_pool_believes_whatever_key_the_authority_certifies<S: Pooled>(subject: &S) {
    let mut host = Certified::start(ED25519, FOR_IT);
    let backend = subject.backend(host.believes_authority(HostKeyPolicy::Strict));
    drop(backend.connect().expect("the first"));
    sign(&host.file("authority"), &host.file("host_key"), &["-h", "-n", PRINCIPAL, "-z", "2"]);
    host.server.restart().expect("restarted");
    drop(backend.connect().expect("the certificate is new, the key is not"));

    fs::remove_file(host.file("host_key")).expect("removed");
    keygen(&host.file("host_key"), ED25519);
    sign(&host.file("authority"), &host.file("host_key"), FOR_IT);
    host.server.restart().expect("restarted");
    drop(backend.connect().expect("another key, certified as well"));
}
