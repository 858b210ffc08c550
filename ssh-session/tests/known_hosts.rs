//! What known_hosts files say, case by case and beside OpenSSH's own reading.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ssh_session::known_hosts::{KnownHosts, Lookup};
use ssh_session::{
    FirstKey, HostKey, HostKeyCheck, HostKeyPolicy, HostKeyProblem, HostKeys, Options,
    PresentedKey, SshError, Target, Verdict,
};
use tempfile::TempDir;

/// Keys made once for a test run by OpenSSH's own tool.
struct Keys {
    folder: TempDir,
}

impl Keys {
    fn new() -> Self {
        Self { folder: TempDir::new().expect("a temporary folder") }
    }

    fn make(&self, name: &str, kind: &str) -> (String, HostKey) {
        let path = self.folder.path().join(name);
        let made = Command::new("ssh-keygen")
            .args(["-q", "-N", "", "-C", "no comment", "-t", kind, "-f"])
            .arg(&path)
            .status()
            .expect("ssh-keygen runs (Debian package openssh-client)");
        assert!(made.success());
        let text = fs::read_to_string(path.with_extension("pub")).expect("the public key");
        let text = text.split(' ').take(2).collect::<Vec<_>>().join(" ");
        let key = ssh_key::PublicKey::from_openssh(&text).expect("a public key");
        let key = HostKey::from_wire(&key.to_bytes().expect("bytes")).expect("a host key");
        (text, key)
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).expect("the file is written");
        path
    }
}

fn word(lookup: &Lookup) -> String {
    match lookup {
        Lookup::Known => "known".to_owned(),
        Lookup::Changed { line, .. } => format!("changed {line}"),
        Lookup::Revoked { line, .. } => format!("revoked {line}"),
        Lookup::Unknown => "unknown".to_owned(),
    }
}

#[test]
fn every_form_of_line_is_read_as_openssh_does() {
    let keys = Keys::new();
    let (a_text, a) = keys.make("a", "ed25519");
    let (b_text, _) = keys.make("b", "ed25519");
    let (e_text, _) = keys.make("e", "ecdsa");
    let (r_text, _) = keys.make("r", "rsa");
    let cases: &[(&str, String, &str, u16, &str)] = &[
        ("plain", format!("h {a_text}"), "h", 22, "known"),
        ("capitals", format!("H.Example {a_text}"), "h.eXample", 22, "known"),
        ("comment behind the key", format!("h {a_text} someone@somewhere"), "h", 22, "known"),
        ("comment that is not text", format!("h {a_text} \u{fffd}"), "h", 22, "known"),
        ("spaces and tabs", format!("  h\t {} ", a_text.replace(' ', " \t")), "h", 22, "known"),
        ("carriage return", format!("h {a_text}\r\n"), "h", 22, "known"),
        ("several names", format!("x,h,y {a_text}"), "h", 22, "known"),
        ("another host", format!("x {a_text}"), "h", 22, "unknown"),
        ("no file content", String::new(), "h", 22, "unknown"),
        ("commented out", format!("# h {a_text}"), "h", 22, "unknown"),
        ("other key", format!("h {b_text}"), "h", 22, "changed 1"),
        ("other key type only", format!("h {e_text}"), "h", 22, "changed 1"),
        ("other type, then same type", format!("h {r_text}\nh {b_text}"), "h", 22, "changed 2"),
        ("other key first, then this", format!("h {b_text}\nh {a_text}"), "h", 22, "known"),
        ("wildcard", format!("*.example.com {a_text}"), "h.example.com", 22, "known"),
        ("question mark", format!("h? {a_text}"), "h1", 22, "known"),
        ("negated", format!("*.x,!h.x {a_text}"), "h.x", 22, "unknown"),
        ("negation first", format!("!h.x,*.x {a_text}"), "h.x", 22, "unknown"),
        ("port", format!("[h]:2222 {a_text}"), "h", 2222, "known"),
        ("another port", format!("[h]:2223 {a_text}"), "h", 2222, "unknown"),
        ("port in the file only", format!("[h]:2222 {a_text}"), "h", 22, "unknown"),
        ("same key without port", format!("h {a_text}"), "h", 2222, "known"),
        ("other key without port", format!("h {b_text}"), "h", 2222, "unknown"),
        ("port 22 in brackets", format!("[h]:22 {a_text}"), "h", 22, "unknown"),
        ("IPv6", format!("::1 {a_text}"), "::1", 22, "known"),
        ("IPv6 with port", format!("[::1]:2222 {a_text}"), "::1", 2222, "known"),
        ("IPv6 changed", format!("fe80::1 {b_text}"), "FE80::1", 22, "changed 1"),
        ("wildcard with port", format!("[*]:2222 {a_text}"), "h", 2222, "known"),
        ("star over all", format!("* {b_text}"), "h", 2222, "changed 1"),
        ("revoked", format!("@revoked h {a_text}"), "h", 22, "revoked 1"),
        ("revoked for all", format!("h {a_text}\n@revoked * {a_text}"), "h", 22, "revoked 2"),
        ("another key revoked", format!("@revoked * {b_text}\nh {a_text}"), "h", 22, "known"),
        ("only another revoked", format!("@revoked * {b_text}"), "h", 22, "unknown"),
        ("authority is no host key", format!("@cert-authority h {a_text}"), "h", 22, "unknown"),
        ("authority beside another", format!("@cert-authority * {b_text}"), "h", 22, "unknown"),
        ("unknown marker", format!("@what h {a_text}"), "h", 22, "unknown"),
        ("half a key", format!("h {}\nh {a_text}", &a_text[..40]), "h", 22, "known"),
        ("not base64", format!("h ssh-ed25519 %%%\nh {a_text}"), "h", 22, "known"),
        ("type and key differ", format!("h ssh-rsa {}", &a_text[12..]), "h", 22, "unknown"),
        ("key missing", "h\nh ssh-ed25519".to_owned(), "h", 22, "unknown"),
        ("nonsense", "\u{1}\u{2}|1|\n|1|x|y z\n,,,".to_owned(), "h", 22, "unknown"),
    ];
    for (what, content, host, port, expected) in cases {
        let file = keys.file("known_hosts", content);
        let lookup = KnownHosts::files([&file]).lookup(host, *port, &a).expect("readable");
        assert_eq!(word(&lookup), *expected, "{what}");
    }
    println!("{} cases", cases.len());
}

/// What cannot be read as text must not hide what is revoked.
#[test]
fn a_revoked_key_stays_revoked_whatever_bytes_stand_beside_its_host() {
    let keys = Keys::new();
    let (text, key) = keys.make("a", "ed25519");
    let path = keys.file("known_hosts", "");
    for hosts in [&b"h\xff,h"[..], b"h,\xc3\x28", b"*\x80,h", b"*"] {
        let line = [b"@revoked ", hosts, b" ", text.as_bytes(), b"\nh ", text.as_bytes()].concat();
        fs::write(&path, line).expect("written");
        let found = KnownHosts::files([&path]).lookup("h", 22, &key).expect("readable");
        assert!(matches!(found, Lookup::Revoked { line: 1, .. }), "{hosts:?}: {found:?}");
    }
}

#[test]
fn several_files_are_one() {
    let keys = Keys::new();
    let (a_text, a) = keys.make("a", "ed25519");
    let (b_text, _) = keys.make("b", "ed25519");
    let first = keys.file("first", &format!("h {b_text}\n"));
    let second = keys.file("second", &format!("h {a_text}\n"));
    let absent = keys.folder.path().join("absent");
    let both = KnownHosts::files([&absent, &first, &second]);
    assert_eq!(both.lookup("h", 22, &a).expect("readable"), Lookup::Known);
    assert!(matches!(
        KnownHosts::files([&absent, &first]).lookup("h", 22, &a).expect("readable"),
        Lookup::Changed { path, line: 1, .. } if path == first
    ));
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_not_an_unknown_host() {
    let keys = Keys::new();
    let (_, a) = keys.make("a", "ed25519");
    let folder = keys.folder.path().join("folder");
    fs::create_dir(&folder).expect("a folder");
    let error = KnownHosts::files([&folder]).lookup("h", 22, &a).expect_err("a folder");
    assert!(matches!(error, SshError::KnownHosts { path, .. } if path == folder));
}

/// Lines of `file` that OpenSSH finds for a name.
fn found_by_openssh(file: &Path, name: &str) -> Vec<usize> {
    let output = Command::new("ssh-keygen")
        .args(["-F", name, "-f"])
        .arg(file)
        .output()
        .expect("ssh-keygen runs");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_once("found: line ")?.1.split(' ').next()?.parse().ok())
        .collect()
}

#[test]
fn the_same_lines_are_found_as_by_ssh_keygen() {
    let keys = Keys::new();
    let (a_text, a) = keys.make("a", "ed25519");
    let (b_text, _) = keys.make("b", "ed25519");
    let names = [
        "h",
        "h.x",
        "*.x",
        "h?",
        "!h.x,*.x",
        "*.x,!h.x",
        "[h]:2222",
        "[*]:2222",
        "*",
        "::1",
        "[::1]:2222",
        "[h]:22",
        "a,b,h",
        "H.X",
        "",
    ];
    let hosts =
        [("h", 22), ("h.x", 22), ("i.x", 22), ("h", 2222), ("::1", 22), ("::1", 2222), ("H", 22)];
    let mut compared = 0;
    for hashed in [false, true] {
        for pattern in names {
            let file = keys.file("known_hosts", &format!("{pattern} {b_text}\n"));
            if hashed {
                let done = Command::new("ssh-keygen").arg("-qHf").arg(&file).output();
                assert!(done.expect("ssh-keygen runs").status.code().is_some());
            }
            for (host, port) in hosts {
                // `ssh` itself looks hosts up in small letters, `ssh-keygen` takes what it is given.
                let host = host.to_ascii_lowercase();
                let name = if port == 22 { host.clone() } else { format!("[{host}]:{port}") };
                let theirs = found_by_openssh(&file, &name).first().copied();
                let files = KnownHosts::files([&file]);
                let ours = match files.lookup(&host, port, &a) {
                    Ok(Lookup::Changed { line, .. }) => Some(line),
                    _ => None,
                };
                assert_eq!(ours, theirs, "{pattern:?} (hashed: {hashed}) for {name}");
                compared += 1;
            }
        }
    }
    assert!(a_text.starts_with("ssh-ed25519"));
    println!("{compared} comparisons");
}

#[test]
fn what_we_write_openssh_finds() {
    let keys = Keys::new();
    let (_, a) = keys.make("a", "ed25519");
    let (_, b) = keys.make("b", "ecdsa");
    let file = keys.folder.path().join("new/folder/known_hosts");
    let files = KnownHosts::files([&file]);
    files.add("Host.Example", 22, &a).expect("added");
    files.add("::1", 2222, &b).expect("added");
    files.add("host.example", 22, &a).expect("added again");
    assert_eq!(found_by_openssh(&file, "host.example"), [1]);
    assert_eq!(found_by_openssh(&file, "[::1]:2222"), [2]);
    assert_eq!(fs::read_to_string(&file).expect("readable").lines().count(), 2);
    let mode = |path: &Path| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(path).expect("metadata").permissions().mode() & 0o777
    };
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(file.parent().expect("a folder")), 0o700);
}

#[test]
fn a_last_line_without_an_end_is_not_glued_to_ours() {
    let keys = Keys::new();
    let (a_text, a) = keys.make("a", "ed25519");
    let file = keys.file("known_hosts", &format!("x {a_text}"));
    KnownHosts::files([&file]).add("h", 22, &a).expect("added");
    assert_eq!(found_by_openssh(&file, "x"), [1]);
    assert_eq!(found_by_openssh(&file, "h"), [2]);
}

#[test]
fn sixteen_writers_at_once_lose_nothing_and_double_nothing() {
    let keys = Keys::new();
    let (_, a) = keys.make("a", "ed25519");
    let file = keys.folder.path().join("known_hosts");
    std::thread::scope(|scope| {
        for writer in 0..16 {
            let (file, a) = (&file, &a);
            scope.spawn(move || {
                let files = KnownHosts::files([file]);
                for host in 0..10 {
                    files.add(&format!("own-{writer}-{host}"), 22, a).expect("added");
                    files.add(&format!("shared-{host}"), 22, a).expect("added");
                }
            });
        }
    });
    let content = fs::read_to_string(&file).expect("readable");
    assert_eq!(content.lines().count(), 16 * 10 + 10);
}

#[test]
fn a_file_that_somebody_keeps_locked_holds_nobody_up() {
    let keys = Keys::new();
    let (_, a) = keys.make("a", "ed25519");
    let path = keys.file("known_hosts", "");
    let locked = fs::File::open(&path).expect("opened");
    locked.lock().expect("locked");
    let start = std::time::Instant::now();
    let error = KnownHosts::files([&path]).add("h", 22, &a).expect_err("locked");
    assert!(matches!(error, SshError::KnownHosts { path: at, .. } if at == path));
    assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());
    locked.unlock().expect("unlocked");
    KnownHosts::files([&path]).add("h", 22, &a).expect("added");
}

fn judge(host_keys: HostKeys, host: &str, key: &HostKey) -> Result<Verdict, SshError> {
    let options = Options::new(Target::new(host, 22, "u").expect("valid")).host_keys(host_keys);
    let check = HostKeyCheck::read(&options, &FirstKey::default())?;
    check.verify(&PresentedKey::Plain(key.clone()))
}

#[test]
fn policies_differ_on_unknown_hosts_only() {
    let keys = Keys::new();
    let (a_text, a) = keys.make("a", "ed25519");
    let (_, b) = keys.make("b", "ed25519");
    let file = keys.file("known_hosts", &format!("h {a_text}\n"));
    let with = |policy| HostKeys::new(policy).files([&file]);
    for policy in [HostKeyPolicy::AcceptNew, HostKeyPolicy::Strict] {
        assert!(matches!(judge(with(policy.clone()), "h", &a), Ok(Verdict::Trusted)));
        let error = judge(with(policy), "h", &b).expect_err("changed");
        let text = error.to_string();
        for part in [a.fingerprint().to_string(), b.fingerprint().to_string(), "u@h".into()] {
            assert!(text.contains(&part), "{part} is in {text}");
        }
    }
    let error = judge(with(HostKeyPolicy::Strict), "new", &a).expect_err("unknown");
    assert!(matches!(error, SshError::HostKey(refused)
        if matches!(refused.problem, HostKeyProblem::Unknown { .. })));

    let verdict = judge(with(HostKeyPolicy::AcceptNew), "new", &b).expect("new");
    let before = fs::read_to_string(&file).expect("readable");
    assert!(!before.contains("new "), "nothing is recorded before login succeeded");
    let Verdict::New(pending) = verdict else { panic!("the host is new") };
    pending.accept().expect("recorded");
    assert!(matches!(judge(with(HostKeyPolicy::Strict), "new", &b), Ok(Verdict::Trusted)));

    let pinned = HostKeyPolicy::pinned([b.fingerprint()]);
    assert!(matches!(judge(with(pinned.clone()), "h", &b), Ok(Verdict::Trusted)));
    assert!(judge(with(pinned), "h", &a).is_err());
    let any = with(HostKeyPolicy::DangerAcceptAny);
    assert!(matches!(judge(any, "h", &b), Ok(Verdict::Trusted)));
}
