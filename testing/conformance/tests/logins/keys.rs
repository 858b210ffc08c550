//! Keys and certificates of ours.

use std::fs;

use conformance::{Pooled, for_all};
use ssh_session::{Auth, CertificateSource, Kind};
use test_servers::Attempts;
use test_servers::agent::Agent;
use test_servers::authority::Authority;
use test_servers::embedded::EmbeddedServer;
use test_servers::keys::KeyKind;
use test_servers::sshd::Sshd;

use crate::{
    NONE, ONE_KEY, as_user, at_embedded, counted, error_of, is_refused, key_in, keygen, read,
    sshd_options, works,
};

for_all![
    a_refused_key_falls_back_to_the_password,
    keys_of_every_kind_and_format_log_in,
    key_files_that_cannot_be_used_are_told_apart,
    a_key_is_sent_once_wherever_it_comes_from,
    certificates_of_every_kind_of_key_log_in_and_wrong_ones_are_sent_once,
    a_certificate_that_is_not_for_its_key_is_not_sent,
    two_keys_are_given_where_a_server_wants_two,
];

fn a_refused_key_falls_back_to_the_password<S: Pooled>(subject: &S) {
    let server = EmbeddedServer::start().expect("embedded server");
    let other = key_in(server.dir(), "other", KeyKind::Ed25519);
    let ways =
        [Auth::key_file("/no/such/key"), Auth::key_file(&other), Auth::password(server.password())];
    works(subject, &at_embedded(&server, ways));
}

fn keys_of_every_kind_and_format_log_in<S: Pooled>(subject: &S) {
    let server = Sshd::start().expect("sshd");
    let cases: &[(&str, &[&str])] = &[
        ("ed25519", &["-t", "ed25519"]),
        ("ecdsa", &["-t", "ecdsa"]),
        ("rsa", &["-t", "rsa", "-b", "2048"]),
        ("ecdsa-pem", &["-t", "ecdsa", "-m", "PEM"]),
        ("rsa-pem", &["-t", "rsa", "-b", "2048", "-m", "PEM"]),
        ("rsa-pkcs8", &["-t", "rsa", "-b", "2048", "-m", "PKCS8"]),
    ];
    let options = |auth| as_user(&server, server.user(), [auth]);
    for (name, flags) in cases {
        for passphrase in ["", "open sesame"] {
            let path = server.dir().join(format!("{name}-{}", passphrase.len()));
            keygen(&path, &[&["-N", passphrase], *flags].concat());
            server.authorize(&read(path.with_extension("pub"))).expect("authorized");
            if passphrase.is_empty() {
                works(subject, &options(Auth::key_file(&path)));
                works(subject, &options(Auth::key_data(read(&path))));
                continue;
            }
            works(subject, &options(Auth::encrypted_key_file(&path, passphrase)));
            for wrong in [Auth::encrypted_key_file(&path, "wrong"), Auth::key_file(&path)] {
                assert_eq!(error_of(subject, &options(wrong)).kind(), Kind::KeyFile, "{name}");
            }
        }
    }
    assert_eq!(server.failed_authentications(), 0, "a bad key file is no refused login");
}

fn key_files_that_cannot_be_used_are_told_apart<S: Pooled>(subject: &S) {
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
        let options = as_user(&server, server.user(), [auth]);
        assert_eq!(error_of(subject, &options).kind(), Kind::KeyFile);
    }
    assert_eq!(server.failed_authentications(), 0);
    let auth = Auth::encrypted_key_file(server.encrypted_identity(), server.passphrase());
    works(subject, &as_user(&server, server.user(), [auth]));
}

fn a_key_is_sent_once_wherever_it_comes_from<S: Pooled>(subject: &S) {
    let server = Sshd::start().expect("sshd");
    let agent = Agent::start().expect("ssh-agent");
    let wrong = key_in(server.dir(), "wrong", KeyKind::Ed25519);
    agent.add(&wrong).expect("added");
    let text = read(&wrong);
    let socket = Some(agent.socket());
    let ways = [
        Auth::key_file(&wrong),
        Auth::key_data(text),
        Auth::AgentWith { socket, only: Vec::new() },
    ];
    is_refused(subject, &as_user(&server, server.user(), ways));
    counted(subject, &server, ONE_KEY);
}

fn certificates_of_every_kind_of_key_log_in_and_wrong_ones_are_sent_once<S: Pooled>(subject: &S) {
    let (authority, other) = (Authority::new().expect("a key"), Authority::new().expect("a key"));
    let server = Sshd::builder().user_authority(&authority).start().expect("sshd");
    for (number, kind) in
        [KeyKind::Ed25519, KeyKind::EcdsaP256, KeyKind::Rsa2048].into_iter().enumerate()
    {
        let key = key_in(server.dir(), &format!("key{number}"), kind);
        let certificate = authority.certify_user(&key, server.user()).expect("a certificate");
        let in_files = Auth::key_file(&key).with_certificate(&certificate);
        works(subject, &as_user(&server, server.user(), [in_files]));
        let in_memory = Auth::Certificate {
            key: Box::new(Auth::key_data(read(&key))),
            certificate: CertificateSource::Text(read(&certificate)),
        };
        works(subject, &as_user(&server, server.user(), [in_memory]));
        let agent = Agent::start().expect("ssh-agent");
        agent.add(&key).expect("added");
        for only in [vec![certificate.clone()], vec![key.clone()], Vec::new()] {
            let held = Auth::AgentWith { socket: Some(agent.socket()), only };
            works(subject, &as_user(&server, server.user(), [held]));
        }
    }
    let refused = server.refused();
    let key = key_in(server.dir(), "other", KeyKind::Ed25519);
    for (authority, users) in [(&other, server.user()), (&authority, "somebody")] {
        let certificate = authority.certify_user(&key, users).expect("a certificate");
        let wrong = Auth::key_file(&key).with_certificate(certificate);
        is_refused(subject, &as_user(&server, server.user(), [wrong.clone(), wrong]));
    }
    counted(subject, &server, Attempts { public_key: refused.public_key + 2, ..refused });
}

fn a_certificate_that_is_not_for_its_key_is_not_sent<S: Pooled>(subject: &S) {
    let authority = Authority::new().expect("a key");
    let server = Sshd::builder().user_authority(&authority).start().expect("sshd");
    let key = key_in(server.dir(), "key", KeyKind::Ed25519);
    let certificate = authority.certify_user(&key, server.user()).expect("a certificate");
    let mixed = Auth::key_file(server.identity()).with_certificate(certificate);
    let error = error_of(subject, &as_user(&server, server.user(), [mixed]));
    assert_eq!(error.kind(), Kind::KeyFile, "{error}");
    let for_host = authority.certify_host(&key, "h").expect("a certificate");
    let of_host = Auth::key_file(&key).with_certificate(for_host);
    let error = error_of(subject, &as_user(&server, server.user(), [of_host]));
    assert_eq!(error.kind(), Kind::KeyFile, "{error}");
    counted(subject, &server, NONE);
}

fn two_keys_are_given_where_a_server_wants_two<S: Pooled>(subject: &S) {
    let server =
        Sshd::builder().authentication_methods("publickey,publickey").start().expect("sshd");
    let second = Auth::encrypted_key_file(server.encrypted_identity(), server.passphrase());
    let both = [Auth::key_file(server.identity()), second];
    works(subject, &as_user(&server, server.user(), both));
    assert_eq!(server.refused(), NONE);
    is_refused(subject, &sshd_options(&server));
    assert_eq!(server.refused(), NONE, "a key that was accepted is not sent again");
}
