//! Servers that lie: nothing is written outside, memory and time are bounded, and each lie is named.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use ssh_session::sftp::{Bounds, Client, Outcome, Report, Transfer};
use ssh_session::{Kind, SshError};

use crate::server::{Listed, Node, Server, cut, file, names, run, status, string};

/// A server whose directory `/r` has this in it, to begin with.
fn lists(listed: Vec<Listed>) -> Server {
    let mut server = Server::default();
    server.plant("/r", Node::Directory);
    let mut listed = Some(listed);
    server.lie = Some(Box::new(move |kind, _| {
        (kind == 12).then(|| listed.take().map_or_else(|| status(1), |listed| names(&listed)))
    }));
    server
}

fn named(name: impl AsRef<[u8]>, mode: u32) -> Listed {
    (name.as_ref().to_vec(), b"-rw-r--r-- 1 you you 1 x".to_vec(), mode, 1)
}

fn download(server: &mut Server, here: &Path, bounds: Bounds) -> Result<Report, SshError> {
    let how = Transfer::new();
    run(server, None, None, bounds, async |client: Client| client.download("/r", here, &how).await)
}

#[test]
fn names_that_lead_out_are_refused_and_reported() {
    let out: [&[u8]; 8] = [b"../x", b"/etc/x", b"a/../../x", b"nul\0x", b"", b"x/", b"/", b"a/b"];
    let mut all: Vec<_> = out.iter().map(|name| named(name, 0o100_644)).collect();
    all.extend([named("../d", 0o040_755), named("../l", 0o120_777), named("good", 0o100_644)]);
    all.extend([named(".", 0o040_755), named("..", 0o040_755)]);
    let mut server = lists(all);
    server.plant("/r/good", file("good"));
    let folder = tempfile::tempdir().expect("a directory");
    let report = download(&mut server, &folder.path().join("r"), Bounds::default());
    let report = report.expect("a report");
    assert_eq!((report.files(), report.skipped().count()), (1, 10), "{report:?}");
    for entry in report.skipped() {
        let Outcome::Skipped(why) = &entry.outcome else { panic!("{entry:?}") };
        assert!(why.starts_with("the server lists"), "{why}");
    }
    assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    assert_eq!(fs::read_dir(folder.path().join("r")).expect("listed").count(), 1);
    let mut server = lists(vec![named("../x", 0o100_644)]);
    let listed = run(&mut server, None, None, Bounds::default(), async |c| c.list("/r").await);
    assert_eq!(listed.expect_err("no name").kind(), Kind::File);
}

#[test]
fn nothing_goes_through_a_link() {
    let folder = tempfile::tempdir().expect("a directory");
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).expect("made");
    fs::write(outside.join("file"), "mine").expect("written");
    let here = folder.path().join("r");
    for target in [outside.to_str().expect("text"), "../outside"] {
        // A link, then a directory of that name and a file of that name.
        for mode in [0o040_755, 0o100_644] {
            let mut server = lists(vec![named("l", 0o120_777), named("l", mode)]);
            server.plant("/r/l", Node::Link(target.into()));
            server.plant("/r/l/file", file("theirs"));
            let report = download(&mut server, &here, Bounds::default()).expect("a report");
            assert!(report.skipped().any(|entry| entry.path == Path::new("l")), "{report:?}");
        }
        // One that was there before.
        let _ = fs::remove_dir_all(&here);
        fs::create_dir(&here).expect("made");
        std::os::unix::fs::symlink(target, here.join("l")).expect("linked");
        let mut server = Server::default();
        server.plant("/r", Node::Directory);
        server.plant("/r/l", Node::Directory);
        server.plant("/r/l/file", file("theirs"));
        let report = download(&mut server, &here, Bounds::default()).expect("a report");
        assert_eq!(report.failed().count(), 1, "{report:?}");
        let _ = fs::remove_dir_all(&here);
    }
    assert_eq!(fs::read_dir(&outside).expect("listed").count(), 1);
    assert_eq!(fs::read(outside.join("file")).expect("there"), b"mine");
}

#[test]
fn set_id_bits_do_not_come_along() {
    let mut server = Server::default();
    server.plant("/r", Node::Directory);
    server.plant("/r/x", Node::File { mode: 0o107_755, content: b"#!".to_vec() });
    let folder = tempfile::tempdir().expect("a directory");
    let here = folder.path().join("r");
    assert!(download(&mut server, &here, Bounds::default()).expect("a report").is_complete());
    let mode = fs::metadata(here.join("x")).expect("there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
}

#[test]
fn endless_listings_and_trees_end() {
    let bounds = Bounds { entries: 5_000, ..Bounds::default() };
    let folder = tempfile::tempdir().expect("a directory");
    for (name, mode) in [("same", 0o140_755), ("d", 0o040_755)] {
        let mut server = Server::default();
        server.plant("/r", Node::Directory);
        let (mut count, mut seen) = (0_u64, HashSet::new());
        server.lie = Some(Box::new(move |kind, body| {
            count += 1;
            match kind {
                // Every path is a directory.
                11 if mode == 0o040_755 => {
                    let mut handle = vec![102];
                    string(&mut handle, &count.to_be_bytes());
                    Some(handle)
                }
                // A listing has either no end or one directory in it.
                12 if mode == 0o040_755 && !seen.insert(body.to_vec()) => Some(status(1)),
                12 => Some(names(&[named(name, mode)])),
                4 => Some(status(0)),
                _ => None,
            }
        }));
        match download(&mut server, &folder.path().join("r"), bounds) {
            Ok(report) => {
                let named = report.skipped().count() + report.failed().count();
                assert!(named > 0, "{report:?}");
            }
            Err(SshError::File(error)) => {
                assert!(error.to_string().contains("Bounds::entries"), "{error}");
            }
            Err(error) => panic!("{error}"),
        }
        assert!(server.asked < 100_000, "{}", server.asked);
    }
}

#[test]
fn sizes_that_lie_change_nothing() {
    for size in [0, 1, 2_999, 3_001, 5_000_000, u64::MAX] {
        let mut listed = named("x", 0o100_644);
        listed.3 = size;
        let mut server = lists(vec![listed]);
        let content: Vec<u8> = (0..300_000_u32).map(|n| ((n * 7) >> 3) as u8).collect();
        server.plant("/r/x", file(content.clone()));
        let folder = tempfile::tempdir().expect("a directory");
        let here = folder.path().join("r");
        assert!(download(&mut server, &here, Bounds::default()).expect("it").is_complete());
        assert!(fs::read(here.join("x")).expect("there") == content, "of {size}");
        // No more is asked for than there is room for on the way.
        assert!(server.asked < 1_000, "{} requests", server.asked);
    }
}

#[test]
fn long_lines_are_dropped_and_longer_ones_are_no_sftp() {
    for (length, ends) in [(200_000, false), (262_144, true), (1 << 30, true)] {
        let mut server = Server::default();
        server.plant("/r", Node::Directory);
        server.plant("/r/x", file("x"));
        let mut told = false;
        server.lie = Some(Box::new(move |kind, _| {
            if kind != 12 || std::mem::replace(&mut told, true) {
                return (kind == 12).then(|| status(1));
            }
            let long = if length > 1 << 20 { Vec::new() } else { vec![b'x'; length] };
            let mut answer = names(&[(b"x".to_vec(), long, 0o100_644, 1)]);
            if length > 1 << 20 {
                // Announced, and never sent.
                answer[10..14].copy_from_slice(&(length as u32).to_be_bytes());
            }
            Some(answer)
        }));
        let listed = run(&mut server, None, None, Bounds::default(), async |c| c.list("/r").await);
        assert_eq!(listed.is_err(), ends, "{length}: {listed:?}");
        if let Err(error) = listed {
            assert!(error.to_string().contains("does not speak SFTP"), "{error}");
        }
    }
}

#[test]
fn answers_that_make_no_sense_end_the_channel() {
    type Lie = fn(u8, &[u8]) -> Option<Vec<u8>>;
    let lies: [(&str, Lie); 7] = [
        ("more than was asked", |kind, body| {
            (kind == 5).then(|| {
                let length = u32::from_be_bytes(*cut(body).1[8..].first_chunk().expect("it"));
                let mut answer = vec![103];
                string(&mut answer, &vec![b'x'; length as usize + 1]);
                answer
            })
        }),
        ("nothing for something", |kind, _| (kind == 5).then(|| vec![103, 0, 0, 0, 0])),
        ("a handle for data", |kind, _| (kind == 5).then(|| vec![102, 0, 0, 0, 1, b'h'])),
        ("data for a handle", |kind, _| (kind == 3).then(|| vec![103, 0, 0, 0, 1, b'h'])),
        ("names for a status", |kind, _| (kind == 4).then(|| names(&[]))),
        ("no known type", |kind, _| (kind == 5).then(|| vec![99])),
        ("a long handle", |kind, _| {
            (kind == 3).then(|| {
                let mut answer = vec![102];
                string(&mut answer, &[b'h'; 257]);
                answer
            })
        }),
    ];
    for (what, lie) in lies {
        let mut server = Server::default();
        server.plant("/f", file(vec![7; 100]));
        server.lie = Some(Box::new(lie));
        let read = run(&mut server, None, None, Bounds::default(), async |client: Client| {
            let read = client.read("/f").await;
            // What closes a file is not waited for, but here.
            client.write("/f", "x").await?;
            read
        });
        let error = read.expect_err(what);
        assert_eq!(error.kind(), Kind::ConnectionLost, "{what}: {error}");
    }
}
