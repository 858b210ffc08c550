//! Hosts that prove who they are by a certificate.

mod common;

use std::fs;
use std::path::PathBuf;

use backend_russh::{RusshBackend, RusshSession};
use common::{certify_host, configure, connect, refused_before_login, sshd_options};
use pool_core::AsyncBackend as _;
use ssh_session::{AsyncSession as _, Command, HostKeyPolicy, HostKeys, Options};
use test_servers::keys::{KeyKind, KeyPair};
use test_servers::sshd::Sshd;

/// A server whose host key an authority certified for `127.0.0.1`.
struct Certified {
    server: Sshd,
    authority: PathBuf,
    authority_line: String,
    known_hosts: PathBuf,
}

impl Certified {
    fn start(kind: KeyKind, certificate: &[&str]) -> Self {
        let mut server = Sshd::builder().host_keys([kind]).start().expect("sshd");
        let authority = server.dir().join("authority");
        let pair = KeyPair::ed25519().expect("a key");
        pair.write(&authority).expect("written");
        certify_host(&mut server, &authority, certificate);
        let known_hosts = server.dir().join("known_hosts_of_test");
        Self { authority_line: pair.public_line().expect("a line"), server, authority, known_hosts }
    }

    /// The port is no part of the principal, but of the name that the line must match.
    fn name(&self) -> String {
        format!("[127.0.0.1]:{}", self.server.port())
    }

    fn authority_known(&self) -> String {
        format!("@cert-authority {} {}\n", self.name(), self.authority_line)
    }

    fn bare_key_known(&self) -> String {
        format!("{}\n", self.server.known_hosts_line())
    }

    fn options(&self, policy: HostKeyPolicy, known: &str) -> Options {
        fs::write(&self.known_hosts, known).expect("written");
        let mut options = sshd_options(&self.server);
        options.host_keys = HostKeys::new(policy).files([&self.known_hosts]);
        options
    }
}

const FOR_IT: &[&str] = &["-n", "127.0.0.1"];

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_by_a_known_authority_is_believed_for_every_kind_of_key() {
    for kind in [KeyKind::Ed25519, KeyKind::EcdsaP256, KeyKind::Rsa2048] {
        let host = Certified::start(kind, FOR_IT);
        let known = host.authority_known();
        for policy in [HostKeyPolicy::Strict, HostKeyPolicy::AcceptNew] {
            let session = connect(&host.options(policy, &known)).await;
            assert!(session.exec(&Command::new("true")).await.expect("output").success());
        }
        let after = fs::read_to_string(&host.known_hosts).expect("read");
        assert_eq!(after, known, "{kind:?}: nothing is recorded beside the authority");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_does_not_hold_is_refused_before_any_credential() {
    for (why, certificate) in [
        ("is for other hosts (elsewhere.example)", &["-n", "elsewhere.example"][..]),
        ("has expired", &["-n", "127.0.0.1", "-V", "20200101:20200201"]),
        ("is not yet valid", &["-n", "127.0.0.1", "-V", "20990101:20990201"]),
        ("names no host", &[]),
    ] {
        let host = Certified::start(KeyKind::Ed25519, certificate);
        let options = host.options(HostKeyPolicy::Strict, &host.authority_known());
        let text = refused_before_login(&options, &host.server).await;
        assert!(text.contains(why), "{text}");
        let both = host.authority_known() + &host.bare_key_known();
        connect(&host.options(HostKeyPolicy::Strict, &both)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_authority_or_key_is_refused_before_any_credential() {
    let host = Certified::start(KeyKind::Ed25519, FOR_IT);
    let key = host.server.host_public_key().to_owned();
    for revoked in [&host.authority_line, &key] {
        let known = format!("@revoked * {revoked}\n{}", host.authority_known());
        for policy in [HostKeyPolicy::Strict, HostKeyPolicy::AcceptNew] {
            let options = host.options(policy, &known);
            let text = refused_before_login(&options, &host.server).await;
            assert!(text.contains("is revoked by"), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_by_an_authority_that_is_not_the_hosts_is_not_trusted_on_first_use() {
    let host = Certified::start(KeyKind::Ed25519, FOR_IT);
    let other = KeyPair::ed25519().expect("a key").public_line().expect("a line");
    let known = format!("@cert-authority {} {other}\n", host.name());
    refused_before_login(&host.options(HostKeyPolicy::Strict, &known), &host.server).await;
    refused_before_login(&host.options(HostKeyPolicy::AcceptNew, &known), &host.server).await;
    let after = fs::read_to_string(&host.known_hosts).expect("read");
    assert_eq!(after, known, "nothing is recorded");
    connect(&host.options(HostKeyPolicy::AcceptNew, "")).await;
    let after = fs::read_to_string(&host.known_hosts).expect("read");
    assert_eq!(after, host.bare_key_known(), "without any authority the bare key is recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_keys_of_the_same_connection_are_agreed_on_with_a_certificate() {
    let mut host = Certified::start(KeyKind::Ed25519, FOR_IT);
    configure(&mut host.server, "RekeyLimit 1M");
    let session = connect(&host.options(HostKeyPolicy::Strict, &host.authority_known())).await;
    let output = session.exec(&Command::new("head -c 8000000 /dev/zero")).await.expect("output");
    assert_eq!(output.stdout.len(), 8_000_000);
    assert!(session.exec(&Command::new("true")).await.expect("output").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_believes_whatever_key_the_authority_certifies() {
    let mut host = Certified::start(KeyKind::Ed25519, FOR_IT);
    let options = host.options(HostKeyPolicy::Strict, &host.authority_known());
    let backend = RusshBackend::new(options.clone()).expect("valid");
    drop(backend.connect().await.expect("first"));
    certify_host(&mut host.server, &host.authority, &["-n", "127.0.0.1", "-V", "+1d"]);
    drop(backend.connect().await.expect("the certificate is new, the key is not"));
    host.server.change_host_key().expect("changed");
    certify_host(&mut host.server, &host.authority, FOR_IT);
    drop(backend.connect().await.expect("another key, certified as well"));
    RusshSession::connect(&options).await.expect("as by another pool");
}
