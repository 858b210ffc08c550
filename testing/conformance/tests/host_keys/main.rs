//! What becomes of a server's key: OpenSSH's `ssh`, our engine and each of our backends, against
//! real servers.

mod cases;
mod fixture;

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cases::{ROWS, Row};
use conformance::suite::Subject;
use fixture::{Fixture, word};
use ssh_session::{
    FirstKey, HostKey, HostKeyCheck, HostKeyPolicy, HostKeys, Kind, KnownHosts, Options, SshError,
    Target, Verdict,
};

const POLICIES: [(HostKeyPolicy, &str); 2] =
    [(HostKeyPolicy::AcceptNew, "accept-new"), (HostKeyPolicy::Strict, "yes")];

/// The files of a row, written anew.
fn files(fixture: &Fixture, row: &Row, name: &str) -> Vec<PathBuf> {
    let file = |(index, content): (usize, &&str)| {
        let path = fixture.path(&format!("known_hosts-{name}-{index}"));
        match *content {
            "absent:" => {}
            "folder:" => fs::create_dir(&path).expect("a folder"),
            content => fixture::write(&path, &fixture.text(content), row.hashed),
        }
        path
    };
    row.files.iter().enumerate().map(file).collect()
}

/// What a backend does, and the error's text.
///
/// Where the key is to be refused it logs in as somebody whom the server must not hear of.
fn backends(
    fixture: &Fixture,
    row: &Row,
    policy: HostKeyPolicy,
    backend: &impl Subject,
    name: &str,
    refused: bool,
) -> (&'static str, String) {
    let files = files(fixture, row, name);
    let mut host_keys = HostKeys::new(policy).files(&files);
    host_keys.alias = row.alias.map(Into::into);
    let user = if refused { name.to_owned() } else { fixture.user(row.shows) };
    let target = Target::new(row.host, row.port, user).expect("a target");
    let before = lines(&files);
    match fixture.ours(backend, row.shows, &target, host_keys) {
        Ok(()) if lines(&files) > before => ("new", String::new()),
        Ok(()) => ("trusted", String::new()),
        Err(error) if matches!(error.kind(), Kind::HostKey | Kind::KnownHosts) => {
            let heard = fixture.heard_of(row.shows, name);
            (if heard { "refused too late" } else { "refused" }, error.to_string())
        }
        Err(error) => ("failed", error.to_string()),
    }
}

/// How many lines there are in these files.
fn lines(files: &[PathBuf]) -> usize {
    let text = |path| fs::read(path).map(|text| String::from_utf8_lossy(&text).into_owned());
    let count = |path| text(path).map_or(0, |text| text.trim().lines().count());
    files.iter().map(count).sum()
}

/// What our engine says, and the error's text.
fn ours(fixture: &Fixture, row: &Row, policy: HostKeyPolicy, name: &str) -> (&'static str, String) {
    let files = files(fixture, row, name);
    let mut host_keys = HostKeys::new(policy).files(&files);
    host_keys.alias = row.alias.map(Into::into);
    let target = Target::new(row.host, row.port, "u").expect("a target");
    let options = Options::new(target).host_keys(host_keys);
    let judge = || {
        let check = HostKeyCheck::read(&options, &FirstKey::default())?;
        let presented = fixture.presented(row.shows, &check.algorithms());
        check.verify(&presented.expect("a key in common"))
    };
    let verdict = judge();
    let said = word(&verdict);
    match verdict {
        Ok(Verdict::New(pending)) => {
            pending.accept().expect("recorded");
            // The next session finds what the first one recorded.
            let again = judge();
            assert_eq!(word(&again), "trusted", "{}, once recorded: {again:?}", row.what);
            (said, String::new())
        }
        Ok(Verdict::Trusted) => (said, String::new()),
        Err(error) => {
            assert!(matches!(error, SshError::HostKey(_) | SshError::KnownHosts { .. }), "{error}");
            (said, error.to_string())
        }
    }
}

/// What OpenSSH says.
fn theirs(fixture: &Fixture, row: &Row, checking: &str, name: &str) -> (&'static str, String) {
    let files = files(fixture, row, name);
    let paths: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    let mut options = vec![
        format!("StrictHostKeyChecking={checking}"),
        format!("UserKnownHostsFile={}", paths.join(" ")),
        "GlobalKnownHostsFile=/dev/null".to_owned(),
    ];
    options.extend(row.alias.map(|alias| format!("HostKeyAlias={alias}")));
    let before = lines(&files);
    match fixture.ssh(row.shows, row.host, row.port, &options) {
        // A folder cannot be written to, and nobody minds.
        Ok(()) if lines(&files) > before || files[0].is_dir() => ("new", String::new()),
        Ok(()) => ("trusted", String::new()),
        Err(said) => {
            assert!(said.contains("Host key verification failed"), "{}: {said}", row.what);
            ("refused", said)
        }
    }
}

#[test]
fn on_what_becomes_of_a_servers_key_openssh_and_our_backends_agree() {
    let fixture = Fixture::new();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut told = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(row) = ROWS.get(index) else { return told };
            let mut said = [["", ""]; 4];
            let mut texts = String::new();
            for (column, (policy, checking)) in POLICIES.into_iter().enumerate() {
                let name = |who: &str| format!("{who}-{index}-{column}");
                let refused = row.verdicts[column] == "refused";
                let (ssh2, russh) = (name("ssh2"), name("russh"));
                for (place, (word, text)) in said.iter_mut().zip([
                    theirs(&fixture, row, checking, &name("theirs")),
                    ours(&fixture, row, policy.clone(), &name("ours")),
                    backends(&fixture, row, policy.clone(), &conformance::Ssh2, &ssh2, refused),
                    backends(&fixture, row, policy, &conformance::Russh, &russh, refused),
                ]) {
                    place[column] = word;
                    texts = texts + "\n    " + &text;
                }
            }
            told.push((index, said, texts));
        }
    };
    let mut told = thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect::<Vec<_>>()
    });
    told.sort_by_key(|(index, ..)| *index);
    println!("| with `accept-new`, then `yes` | OpenSSH | our engine | ssh2 | russh | |");
    println!("|---|---|---|---|---|---|");
    let mut wrong = 0;
    for (index, said, texts) in told {
        let row = &ROWS[index];
        let [theirs, ours @ ..] = said;
        let agreed = [row.verdicts];
        let expected = row.difference.map_or(&agreed[..], |(verdicts, _)| verdicts);
        // Where versions of OpenSSH differ, this one may say what we say.
        let fine =
            ours == [row.verdicts; 3] && (expected.contains(&theirs) || theirs == row.verdicts);
        let note = row.difference.map_or("", |(_, why)| why);
        let said = said.map(|verdicts| verdicts.join(", ")).join(" | ");
        println!("| {} | {said} | {note} |", row.what);
        if !fine {
            println!("  WRONG, expected {expected:?} and {:?}:{texts}", row.verdicts);
            wrong += 1;
        }
    }
    println!("{} cases", ROWS.len());
    assert_eq!(wrong, 0, "see the table above");
}

#[test]
fn a_refusal_shows_both_fingerprints_and_file_and_line() {
    let fixture = Fixture::new();
    let target = Target::new("h.example", 22, "u").expect("a target");
    let text = |content: &str, certificate: Option<&'static str>| {
        let path = fixture.path("known_hosts");
        fixture::write(&path, &fixture.text(content), false);
        let shows = fixture::Shows { keys: &["a"], certificate };
        let host_keys = HostKeys::new(HostKeyPolicy::Strict).files([&path]);
        let options = Options::new(target.clone()).host_keys(host_keys);
        let check = HostKeyCheck::read(&options, &FirstKey::default()).expect("readable");
        let presented = fixture.presented(shows, &check.algorithms()).expect("a key");
        check.verify(&presented).expect_err("refused").to_string()
    };
    let fingerprint = |name: &str| fixture.host_key(name).fingerprint().to_string();
    let place = |line: usize| format!("{}:{line}", fixture.path("known_hosts").display());
    let (a, b, ca) = (fingerprint("a"), fingerprint("b"), fingerprint("ca"));
    let cert = "\n@cert-authority * {ca}\n";
    for (content, certificate, parts) in [
        ("\n\nh.example {b}\n", None, vec![a.clone(), b, place(3), "ssh-ed25519".into()]),
        ("@revoked * {a}\n", None, vec![a.clone(), place(1), "revoked".into()]),
        ("", None, vec![a.clone(), fixture.path("known_hosts").display().to_string()]),
        (cert, Some("expired"), vec![a.clone(), ca.clone(), place(2), "has expired".into()]),
        (cert, Some("not-yet"), vec![a.clone(), ca.clone(), place(2), "not yet valid".into()]),
        (cert, Some("wrong-principal"), vec![a.clone(), ca.clone(), "(other.example)".into()]),
        (cert, Some("critical"), vec![a.clone(), ca.clone(), "x@example.com".into()]),
        (cert, Some("users"), vec![a.clone(), ca.clone(), "a user's".into()]),
        (cert, Some("no-principals"), vec![a.clone(), ca.clone(), "names no host".into()]),
        ("@cert-authority * {ca}\n@revoked * {ca}\n", Some("good"), vec![a, place(2)]),
    ] {
        let text = text(content, certificate);
        for part in parts {
            assert!(text.contains(&part), "{content} {certificate:?}: {part:?} is in {text:?}");
        }
        assert!(text.contains("u@h.example"), "{text}");
    }
}

/// Adds a key, again where others had the file for longer than an addition waits: on a busy machine
/// they may.
fn add_patiently(files: &KnownHosts, host: &str, key: &HostKey) {
    let start = Instant::now();
    while let Err(error) = files.add(host, 22, key) {
        let in_use = matches!(
            &error,
            SshError::KnownHosts { source, .. } if source.kind() == ErrorKind::WouldBlock
        );
        assert!(in_use && start.elapsed() < Duration::from_secs(30), "{error}");
    }
}

#[test]
fn openssh_and_we_write_one_file_at_once_and_lose_nothing() {
    let fixture = Fixture::new();
    let path = fixture.path("known_hosts");
    let files = KnownHosts::files([&path]);
    let key = fixture.host_key("a");
    let shows = fixture::Shows { keys: &["a"], certificate: None };
    let options = [
        "StrictHostKeyChecking=accept-new".to_owned(),
        format!("UserKnownHostsFile={}", path.display()),
        "GlobalKnownHostsFile=/dev/null".to_owned(),
    ];
    thread::scope(|scope| {
        for writer in 0..3 {
            let (fixture, options, files, key) = (&fixture, &options, &files, &key);
            scope.spawn(move || {
                for host in 0..3 {
                    fixture
                        .ssh(shows, &format!("theirs-{writer}-{host}"), 22, options)
                        .expect("login");
                }
            });
            scope.spawn(move || {
                for host in 0..100 {
                    add_patiently(files, &format!("ours-{writer}-{host}"), key);
                }
            });
        }
    });
    let text = fs::read_to_string(&path).expect("readable");
    assert_eq!(text.lines().count(), 3 * 3 + 3 * 100);
    for line in text.lines() {
        let name = line.split(' ').next().expect("a name");
        let found = files.lookup(name, 22, &key).expect("readable");
        assert_eq!(found, ssh_session::known_hosts::Lookup::Known, "{line}");
    }
    // Each accepts what the other wrote.
    let strict = ["StrictHostKeyChecking=yes".to_owned(), options[1].clone(), options[2].clone()];
    fixture.ssh(shows, "ours-2-99", 22, &strict).expect("known");
}
