//! Revocation lists beside what `ssh-keygen -Q` says about them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ssh_session::{
    FirstKey, HostKeyCheck, HostKeyPolicy, HostKeyProblem, HostKeys, Kind, Options, PresentedKey,
    SshError, Target,
};
use tempfile::TempDir;

fn keygen(folder: &Path, arguments: &[&str]) -> bool {
    let done = Command::new("ssh-keygen").arg("-q").args(arguments).current_dir(folder).output();
    done.expect("ssh-keygen runs (Debian package openssh-client)").status.success()
}

/// Keys `a`, `b`, `r`, authorities `ca` and `other`, and certificates for `a`: their serials are in
/// their names.
fn keys() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let place = folder.path();
    for (name, kind) in
        [("a", "ed25519"), ("b", "ed25519"), ("r", "rsa"), ("ca", "ed25519"), ("other", "ecdsa")]
    {
        assert!(keygen(place, &["-N", "", "-t", kind, "-f", name]));
    }
    for (name, authority, id, serial) in [
        ("ca-0", "ca", "none", "0"),
        ("ca-5", "ca", "five", "5"),
        ("ca-70", "ca", "seventy", "70"),
        ("ca-1000", "ca", "thousand", "1000"),
        ("other-5", "other", "five", "5"),
    ] {
        fs::copy(place.join("a.pub"), place.join(format!("{name}.pub"))).expect("copied");
        let public = format!("{name}.pub");
        let sign = ["-s", authority, "-I", id, "-z", serial, "-h", "-n", "h", &public];
        assert!(keygen(place, &sign));
    }
    folder
}

/// What is shown: a key file or a certificate's.
fn presented(path: &Path) -> PresentedKey {
    let text = fs::read_to_string(path).expect("a public file");
    let blob = match ssh_key::Certificate::from_openssh(text.trim()) {
        Ok(certificate) => certificate.to_bytes(),
        Err(_) => ssh_key::PublicKey::from_openssh(&text).expect("a public key").to_bytes(),
    };
    PresentedKey::from_wire(&blob.expect("bytes")).expect("a host key")
}

fn ours(list: &Path, shown: &Path) -> Result<bool, SshError> {
    let target = Target::new("h", 22, "u").expect("a target");
    let mut host_keys = HostKeys::new(HostKeyPolicy::DangerAcceptAny);
    host_keys.revoked = vec![list.to_owned()];
    let options = Options::new(target).host_keys(host_keys);
    let check = HostKeyCheck::read(&options, &FirstKey::default())?;
    match check.verify(&presented(shown)) {
        Ok(_) => Ok(false),
        Err(SshError::HostKey(refused)) => match refused.problem {
            HostKeyProblem::Revoked { ref path, .. } if path == list => Ok(true),
            other => panic!("{other:?}"),
        },
        Err(error) => Err(error),
    }
}

#[test]
fn revocation_lists_are_read_as_ssh_keygen_reads_them() {
    let folder = keys();
    let place = folder.path();
    let text = |name: &str| fs::read_to_string(place.join(name)).expect("a public key");
    let print = |name: &str, hash: &str| {
        let output = Command::new("ssh-keygen")
            .args(["-l", "-E", hash, "-f", name])
            .current_dir(place)
            .output()
            .expect("ssh-keygen runs");
        let text = String::from_utf8(output.stdout).expect("text");
        text.split(' ').nth(1).expect("a fingerprint").to_owned()
    };
    let lists: Vec<(&str, String, &[&str])> = vec![
        ("empty", String::new(), &[]),
        ("keys", format!("{}{}", text("a.pub"), text("r.pub")), &[]),
        ("explicit", format!("key: {}", text("a.pub")), &[]),
        ("sha1", format!("sha1: {}", text("a.pub")), &[]),
        ("sha256", format!("sha256: {}", text("r.pub")), &[]),
        ("hash", format!("hash: {}\n", print("b.pub", "sha256")), &[]),
        ("authority", text("ca.pub"), &[]),
        ("serial", "serial: 5\n".into(), &["-s", "ca.pub"]),
        ("range", "serial: 60-80\n".into(), &["-s", "ca.pub"]),
        (
            "bitmap",
            (1..200).step_by(3).map(|n| format!("serial: {}\n", n * 5)).collect(),
            &["-s", "ca.pub"],
        ),
        (
            "serials",
            "serial: 1\nserial: 1000\nserial: 18446744073709551615\n".into(),
            &["-s", "ca.pub"],
        ),
        ("identity", "id: five\n".into(), &["-s", "ca.pub"]),
        ("anybody's identity", "id: five\n".into(), &["-s", "NONE"]),
        ("anybody's serial", "serial: 5\n".into(), &["-s", "none"]),
        ("certificate", text("ca-70-cert.pub"), &[]),
        ("other", "serial: 5\nid: seventy\n".into(), &["-s", "other.pub"]),
    ];
    let shown: Vec<PathBuf> = [
        "a.pub",
        "b.pub",
        "r.pub",
        "ca-0-cert.pub",
        "ca-5-cert.pub",
        "ca-70-cert.pub",
        "ca-1000-cert.pub",
        "other-5-cert.pub",
    ]
    .iter()
    .map(|name| place.join(name))
    .collect();
    let (mut compared, mut revoked) = (0, 0);
    for (name, spec, flags) in lists {
        fs::write(place.join("spec"), &spec).expect("written");
        let list = place.join(format!("{name}.krl"));
        let made = ["-k", "-f", list.to_str().expect("text")];
        assert!(keygen(place, &[&made[..], flags, &["spec"]].concat()), "{name}");
        for shown in &shown {
            let asked = ["-Q", "-f", list.to_str().expect("text"), shown.to_str().expect("text")];
            let theirs = !keygen(place, &asked);
            let ours = ours(&list, shown).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(ours, theirs, "{name}: {}", shown.display());
            compared += 1;
            revoked += usize::from(theirs);
        }
    }
    assert!(revoked > 30, "{revoked}");
    println!("{compared} comparisons, {revoked} revoked");
}

#[test]
fn a_list_that_makes_no_sense_refuses_all() {
    let folder = keys();
    let place = folder.path();
    fs::copy(place.join("b.pub"), place.join("spec")).expect("copied");
    let list = place.join("list");
    assert!(keygen(place, &["-k", "-f", "list", "spec"]));
    let whole = fs::read(&list).expect("a list");
    let shown = place.join("a.pub");
    assert_eq!(ours(&list, &shown).ok(), Some(false));
    let header = 8 + 4 + 3 * 8 + 4 + 4;
    // Cut anywhere but between its sections.
    for end in (8..whole.len()).filter(|end| *end != header) {
        fs::write(&list, &whole[..end]).expect("written");
        let error = ours(&list, &shown).expect_err("cut");
        assert_eq!(error.kind(), Kind::KnownHosts, "{end}: {error}");
    }
    let unknown_section = [&whole[..], &[77, 0, 0, 0, 0]].concat();
    let critical = [&whole[..], &[255, 0, 0, 0, 6, 0, 0, 0, 1, b'x', 1]].concat();
    let other_version = [&whole[..8], &[0, 0, 0, 2], &whole[12..]].concat();
    for content in [unknown_section, critical, other_version] {
        fs::write(&list, content).expect("written");
        assert_eq!(ours(&list, &shown).expect_err("not known").kind(), Kind::KnownHosts);
    }
    let harmless = [&whole[..], &[255, 0, 0, 0, 6, 0, 0, 0, 1, b'x', 0]].concat();
    fs::write(&list, harmless).expect("written");
    assert_eq!(ours(&list, &shown).ok(), Some(false));
}
