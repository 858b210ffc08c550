//! Answers in any order and in any pieces change nothing; where they stop there is an error.

use std::collections::BTreeMap;
use std::fs;
use std::future::Future as _;
use std::path::{Path, PathBuf};

use ssh_session::Kind;
use ssh_session::sftp::{Bounds, Client, Report, Transfer};

use crate::server::{Dice, Node, Server, file, run};

fn planted(dice: &mut Dice) -> Server {
    let mut server = Server::default();
    let mut folders = vec![String::from("/r")];
    server.plant("/r", Node::Directory);
    for number in 0..1 + dice.below(30) {
        let path = format!("{}/{number}", folders[dice.below(folders.len())]);
        let node = match dice.below(6) {
            0 => Node::Directory,
            1 => Node::Link(b"0".to_vec()),
            2 => file(vec![number as u8; dice.below(300_000)]),
            _ => file(vec![number as u8; dice.below(2_000)]),
        };
        if node == Node::Directory {
            folders.push(path.clone());
        }
        server.plant(path, node);
    }
    server
}

fn found(root: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).expect("listed").flatten() {
            let kind = entry.file_type().expect("a kind");
            if kind.is_dir() {
                waiting.push(entry.path());
            }
            let content = kind.is_file().then(|| fs::read(entry.path()).expect("read"));
            found.insert(entry.path().strip_prefix(root).expect("below").to_owned(), content);
        }
    }
    found
}

#[test]
fn a_tree_comes_down_and_goes_up_whatever_the_order() {
    for seed in 0..150 {
        let mut dice = Dice::new(seed);
        let mut server = planted(&mut dice);
        let folder = tempfile::tempdir().expect("a directory");
        let (here, how) = (folder.path().join("r"), Transfer::new());
        let down = async |client: Client| client.download("/r", &here, &how).await;
        let report = run(&mut server, Some(&mut dice), None, Bounds::default(), down);
        let report = report.unwrap_or_else(|error| panic!("{seed}: {error}"));
        assert!(report.is_complete(), "{seed}: {report:?}");
        let there = server.nodes.iter().filter_map(|(path, node)| {
            let path = std::str::from_utf8(path).expect("text").strip_prefix("/r/")?;
            let content = match node {
                Node::File { content, .. } => Some(content.clone()),
                _ => None,
            };
            Some((PathBuf::from(path), content))
        });
        assert!(found(&here) == there.collect(), "{seed}: another tree");

        let up = async |client: Client| client.upload(&here, "/s", &how).await;
        let report = run(&mut server, Some(&mut dice), None, Bounds::default(), up);
        assert!(report.as_ref().is_ok_and(Report::is_complete), "{seed}: {report:?}");
        let below = |root: &str| -> BTreeMap<Vec<u8>, Node> {
            let strip = |path: &Vec<u8>| path.strip_prefix(root.as_bytes()).map(<[u8]>::to_vec);
            server.nodes.iter().filter_map(|(p, n)| Some((strip(p)?, n.clone()))).collect()
        };
        assert!(below("/r") == below("/s"), "{seed}: another tree there");
    }
}

#[test]
fn what_ends_anywhere_is_an_error_and_no_short_file() {
    for death in (0..40_000).step_by(331) {
        let mut dice = Dice::new(death as u64);
        let mut server = Server::default();
        server.plant("/r", Node::Directory);
        for number in 0..5 {
            server.plant(format!("/r/{number}"), file(vec![number; 9_000]));
        }
        let folder = tempfile::tempdir().expect("a directory");
        let (here, how) = (folder.path().join("r"), Transfer::new());
        let down = async |client: Client| client.download("/r", &here, &how).await;
        match run(&mut server, Some(&mut dice), Some(death), Bounds::default(), down) {
            Ok(report) => assert!(report.is_complete(), "{death}: {report:?}"),
            Err(error) => assert_eq!(error.kind(), Kind::ConnectionLost, "{death}: {error}"),
        }
        if here.exists() {
            for (path, content) in found(&here) {
                assert_eq!(content.map(|content| content.len()), Some(9_000), "{death}: {path:?}");
            }
        }
    }
}

#[test]
fn what_is_given_up_is_closed() {
    let mut server = Server::default();
    server.plant("/r", Node::Directory);
    for number in 0..20 {
        server.plant(format!("/r/{number}"), file(vec![number; 9_000]));
    }
    for polls in 0..60 {
        let given_up = async |client: Client| {
            {
                let mut walking = Some(Box::pin(client.walk("/r")));
                let mut reading = Some(Box::pin(client.read("/r/3")));
                let mut left = polls;
                std::future::poll_fn(|context| {
                    if walking.as_mut().is_some_and(|walk| walk.as_mut().poll(context).is_ready()) {
                        walking = None;
                    }
                    if reading.as_mut().is_some_and(|read| read.as_mut().poll(context).is_ready()) {
                        reading = None;
                    }
                    if left == 0 || (walking.is_none() && reading.is_none()) {
                        return std::task::Poll::Ready(());
                    }
                    left -= 1;
                    std::task::Poll::Pending
                })
                .await;
            }
            // Behind whatever is to be closed.
            for _ in 0..5 {
                client.stat("/r").await?;
            }
            Ok(())
        };
        let result = run(&mut server, None, None, Bounds::default(), given_up);
        result.expect("answers");
        assert_eq!(server.left_open(), 0, "after {polls}");
    }
}
