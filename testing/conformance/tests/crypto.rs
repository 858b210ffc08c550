//! What may be agreed on: with usual servers, and with old ones that have nothing good.

use conformance::suite::{ServerKind, Setup, Subject};
use conformance::{BlockingRussh, Russh, Ssh2, Tap};
use ssh_session::{
    Algorithms, Auth, Command, Crypto, HostKeyPolicy, HostKeys, Kind, Options, RekeyLimit,
    Session as _, SshError, Target, is_aead,
};
use test_servers::keys::KeyKind;
use test_servers::sshd::{Sshd, SshdBuilder};

fn at(options: &Options, tap: &Tap, crypto: Crypto) -> Options {
    let mut options = options.clone();
    let user = options.target.user().to_owned();
    options.target = Target::new("127.0.0.1", tap.addr().port(), user).expect("a target");
    options.crypto(crypto)
}

fn of_sshd(server: &Sshd) -> Options {
    let target = Target::new(server.host(), server.port(), server.user()).expect("a target");
    let options = Options::new(target).auth(Auth::key_file(server.identity()));
    options.host_keys(HostKeys::new(HostKeyPolicy::DangerAcceptAny))
}

fn run(subject: &impl Subject, options: &Options) -> Result<(), SshError> {
    let session = subject.connect(options)?;
    assert!(session.exec(&Command::new("true"))?.success());
    Ok(())
}

fn every_policy_is_kept(subject: &impl Subject, place: ServerKind) {
    let server = place.start(&Setup::default(), None);
    for name in ["default", "modern", "compatible"] {
        let what = format!("{}, {}, {name}", subject.name(), place.name());
        let tap = Tap::start(server.addr()).expect("a tap");
        let policy = Crypto::named(name).expect("a policy");
        run(subject, &at(&server.options(), &tap, policy.clone())).expect(&what);
        let agreed = tap.agreed().expect(&what);
        println!("{what}: {agreed:?}");
        assert!(policy.has(Algorithms::KeyExchange, &agreed.kex), "{what}: {agreed:?}");
        assert!(policy.has(Algorithms::HostKeys, &agreed.host_key), "{what}: {agreed:?}");
        assert!(policy.has(Algorithms::Ciphers, &agreed.cipher), "{what}: {agreed:?}");
        assert!(is_aead(&agreed.cipher), "all of these servers have one: {agreed:?}");
        // Nothing beyond the policy is as much as offered.
        let offered = tap.offered().expect(&what);
        let extension = |name: &&String| name.starts_with("ext-info") || name.contains("strict");
        for kex in offered.kex.iter().filter(|name| !extension(name)) {
            assert!(policy.has(Algorithms::KeyExchange, kex), "{what}: {kex}");
        }
        assert!(offered.kex.iter().any(|name| name == "kex-strict-c-v00@openssh.com"));
        for (which, lists) in [
            (Algorithms::HostKeys, [&offered.host_keys, &offered.host_keys]),
            (Algorithms::Ciphers, [&offered.ciphers[0], &offered.ciphers[1]]),
            (Algorithms::Macs, [&offered.macs[0], &offered.macs[1]]),
        ] {
            // Beside ciphers that need none they mean nothing, but libssh2 wants one in common.
            let mean_nothing = offered.ciphers[0].iter().all(|name| is_aead(name));
            for name in lists.into_iter().flatten() {
                if which == Algorithms::Macs && mean_nothing {
                    assert!(Crypto::default().has(which, name), "{what}: {name}");
                    continue;
                }
                assert!(policy.has(which, name), "{what}: {name}");
            }
        }
    }
}

#[test]
fn ssh2_keeps_every_policy_on_every_server() {
    ServerKind::ALL.into_iter().for_each(|place| every_policy_is_kept(&Ssh2, place));
}

#[test]
fn russh_keeps_every_policy_on_every_server() {
    ServerKind::ALL.into_iter().for_each(|place| every_policy_is_kept(&Russh, place));
}

#[test]
fn blocking_russh_keeps_every_policy_on_every_server() {
    ServerKind::ALL.into_iter().for_each(|place| every_policy_is_kept(&BlockingRussh, place));
}

/// An sshd with these and nothing else.
fn legacy(lists: [&str; 4]) -> Sshd {
    let builder = Sshd::builder().host_keys([KeyKind::Rsa2048]);
    lists.into_iter().fold(builder, SshdBuilder::option).start().expect("sshd")
}

/// What the oldest servers have and a library too, each with the list that it is to be added to.
const OLD: [(Algorithms, &str); 4] = [
    (Algorithms::KeyExchange, "diffie-hellman-group14-sha1"),
    (Algorithms::HostKeys, "ssh-rsa"),
    (Algorithms::Ciphers, "aes128-cbc"),
    (Algorithms::Macs, "hmac-sha1"),
];

/// What was good in 2005.
const OLDEST: [&str; 4] = [
    "KexAlgorithms diffie-hellman-group14-sha1",
    "Ciphers aes128-cbc",
    "MACs hmac-sha1",
    "HostKeyAlgorithms ssh-rsa",
];

fn old_servers_are_for_those_who_ask(
    subject: &impl Subject,
    lists: [&str; 4],
    old: &[(Algorithms, &str)],
) {
    let server = legacy(lists);
    let options = of_sshd(&server);
    let what = subject.name();
    {
        let policy = Crypto::default();
        let error = run(subject, &options.clone().crypto(policy)).expect_err(what);
        println!("{what}: {error}");
        assert_eq!(error.kind(), Kind::Handshake, "{error}");
        let text = error.to_string();
        for named in [old[0].0.field(), old[0].1, "we offer", "the server takes", "compatible"] {
            assert!(text.contains(named), "{what}: {text}");
        }
        assert!(!error.is_retryable());
    }
    run(subject, &options.clone().crypto(Crypto::compatible())).expect(what);
    // By its lists, one after the other as the errors name them.
    let mut crypto = Crypto::default();
    for (which, missing) in old.iter().copied() {
        let error = run(subject, &options.clone().crypto(crypto.clone())).expect_err(what);
        let text = error.to_string();
        assert!(text.contains(which.field()) && text.contains(missing), "{what}: {text}");
        crypto = crypto.with(which, &format!("+{missing}")).expect("a list");
    }
    run(subject, &options.crypto(crypto)).expect(what);
}

#[test]
fn ssh2_reaches_old_servers_where_that_is_asked_for() {
    // Of what is old, libssh2 has CBC only, as it is built.
    let lists = [
        "KexAlgorithms diffie-hellman-group14-sha256",
        "Ciphers aes128-cbc",
        "MACs hmac-sha2-256-etm@openssh.com",
        "HostKeyAlgorithms rsa-sha2-256",
    ];
    old_servers_are_for_those_who_ask(&Ssh2, lists, &[(Algorithms::Ciphers, "aes128-cbc")]);
    // Where the library is what is missing, the error says that.
    let error = run(&Ssh2, &of_sshd(&legacy(OLDEST)).crypto(Crypto::compatible()));
    let error = error.expect_err("not by libssh2");
    assert!(error.to_string().contains("the other one has"), "{error}");
}

#[test]
fn russh_reaches_old_servers_where_that_is_asked_for() {
    old_servers_are_for_those_who_ask(&Russh, OLDEST, &OLD);
}

#[test]
fn blocking_russh_reaches_old_servers_where_that_is_asked_for() {
    old_servers_are_for_those_who_ask(&BlockingRussh, OLDEST, &OLD);
}

/// libssh2 has assertions behind encrypted lengths, and what is wrong there ends the process.
#[test]
fn ssh2_takes_ciphers_with_encrypted_lengths_only_where_that_is_asked_for() {
    let builder = Sshd::builder().option("Ciphers aes256-ctr").option("MACs hmac-sha2-256");
    let server = builder.start().expect("sshd");
    let options = of_sshd(&server);
    let error = run(&Ssh2, &options).expect_err("by default");
    assert_eq!(error.kind(), Kind::Handshake, "{error}");
    assert!(error.to_string().contains("compatible"), "{error}");
    run(&Ssh2, &options.clone().crypto(Crypto::compatible())).expect("asked for by the policy");
    let asked = Crypto::default().with(Algorithms::Macs, "hmac-sha2-256").expect("a list");
    run(&Ssh2, &options.clone().crypto(asked)).expect("asked for by the list");
    run(&Russh, &options).expect("russh has no such flaw");
    let builder = Sshd::builder().option("Ciphers aes256-ctr");
    let server = builder.option("MACs hmac-sha2-256-etm@openssh.com").start().expect("sshd");
    run(&Ssh2, &of_sshd(&server)).expect("of these the length is in clear");
}

#[test]
fn rsa_keys_shorter_than_asked_for_are_refused() {
    let server = Sshd::builder().host_keys([KeyKind::Rsa2048]).start().expect("sshd");
    let longer = Crypto::default().with_min_rsa_bits(2049).expect("in range");
    let longer = of_sshd(&server).crypto(longer);
    for error in [run(&Ssh2, &longer), run(&Russh, &longer), run(&BlockingRussh, &longer)] {
        let error = error.expect_err("a short key");
        assert_eq!(error.kind(), Kind::Handshake, "{error}");
        assert!(error.to_string().contains("2048 bits"), "{error}");
    }
    assert_eq!(server.authentications(), 0);
    let just = Crypto::default().with_min_rsa_bits(2048).expect("in range");
    run(&Ssh2, &of_sshd(&server).crypto(just.clone())).expect("just long enough");
    run(&Russh, &of_sshd(&server).crypto(just)).expect("just long enough");
}

/// `RekeyLimit`: russh begins a new exchange by itself, libssh2 never does.
#[test]
fn keys_are_agreed_on_anew_as_often_as_is_asked_for() {
    let server = Sshd::builder().option("LogLevel DEBUG3").start().expect("sshd");
    let exchanges = |options: &Options, subject: &dyn Fn(&Options) -> Result<(), SshError>| {
        let before = server.log().matches("SSH2_MSG_KEXINIT received").count();
        subject(options).expect("run");
        server.log().matches("SSH2_MSG_KEXINIT received").count() - before
    };
    let options = of_sshd(&server);
    let often = RekeyLimit { bytes: Some(64 << 10), time: None };
    let often = options.clone().crypto(Crypto::default().with_rekey_limit(often));
    let russh = |options: &Options| much(&Russh, options);
    let blocking = |options: &Options| much(&BlockingRussh, options);
    for subject in [&russh as &dyn Fn(&Options) -> _, &blocking] {
        assert_eq!(exchanges(&options, subject), 1, "by default not for a megabyte");
        let count = exchanges(&often, subject);
        assert!(count > 2, "{count} exchanges for a megabyte");
    }
    let error = run(&Ssh2, &often).expect_err("libssh2 cannot");
    assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
    let text = error.to_string();
    assert!(text.contains("rekey_limit") && text.contains("russh"), "{text}");
}

/// Commands with a megabyte of output.
fn much(subject: &impl Subject, options: &Options) -> Result<(), SshError> {
    let session = subject.connect(options)?;
    for _ in 0..8 {
        let output = session.exec(&Command::new("head -c 131072 /dev/zero"))?;
        assert_eq!(output.stdout.len(), 131_072);
    }
    Ok(())
}
