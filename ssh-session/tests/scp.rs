//! Servers whose `scp` says what none does: nothing is written outside, and nothing that is not whole.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt as _;
use ssh_session::scp::{Job, Pipe, download};
use ssh_session::sftp::{Inline, Report, Transfer};
use ssh_session::{Chunk, Kind, SshError, Target};

/// What a server says, piece by piece, and what it is told.
struct Script {
    said: Mutex<VecDeque<Bytes>>,
    told: Mutex<Vec<u8>>,
}

impl Script {
    fn new(bytes: &[u8], size: usize) -> Self {
        let said = bytes.chunks(size).map(Bytes::copy_from_slice).collect();
        Self { said: Mutex::new(said), told: Mutex::default() }
    }
}

impl Pipe for Script {
    async fn read(&self) -> Result<Option<Chunk>, SshError> {
        Ok(self.said.lock().unwrap_or_else(PoisonError::into_inner).pop_front().map(Chunk::Stdout))
    }

    async fn write(&self, bytes: &[u8]) -> Result<(), SshError> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(())
    }

    async fn end(&self) -> Result<(), SshError> {
        Ok(())
    }
}

/// What comes of `/r/name`, put to `out/local` in a directory in which nothing else may change.
fn play(bytes: &[u8], prepare: impl Fn(&Path), check: impl Fn(Result<Report, SshError>, &Path)) {
    for size in [1, 7, 100_000] {
        let folder = tempfile::tempdir().expect("a directory");
        let out = folder.path().join("out");
        fs::create_dir(&out).expect("made");
        fs::write(folder.path().join("precious"), "kept").expect("written");
        prepare(&out);
        let target = Target::new("h", 22, "u").expect("valid");
        let (local, transfer) = (out.join("local"), Transfer::new());
        let job = Job {
            target: &target,
            remote: Path::new("/r/name"),
            local: &local,
            transfer: &transfer,
        };
        let script = Script::new(bytes, size);
        let done = download(&script, &Inline, job).now_or_never().expect("nothing to wait for");
        check(done, &out);
        let kept = fs::read_to_string(folder.path().join("precious")).expect("there");
        assert_eq!(kept, "kept");
        let names: Vec<_> = fs::read_dir(folder.path()).expect("listed").collect();
        assert_eq!(names.len(), 2, "{names:?}");
    }
}

/// What is in a directory.
fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).expect("listed");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("it").file_name();
    let mut names: Vec<_> =
        entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn refused(bytes: &[u8]) {
    play(
        bytes,
        |_| {},
        |done, out| {
            let error = done.map(drop).expect_err("refused");
            assert_eq!(error.kind(), Kind::File, "{error}");
            let left = out.join("local");
            assert!(!left.is_file(), "a file that was not whole");
            if left.is_dir() {
                for name in names(&left) {
                    assert!(name == "d" || name == "whole", "{name} is left");
                }
            }
        },
    );
}

#[test]
fn names_that_were_not_asked_for_or_lead_elsewhere_end_the_transfer() {
    for said in [
        "C0644 4 ../precious\nevil\0",
        "C0644 4 /tmp/x\nevil\0",
        "C0644 4 other\nevil\0",
        "D0755 0 other\nE\n",
        "D0755 0 name\nC0644 4 ../x\nevil\0E\n",
        "D0755 0 name\nC0644 4 ..\nevil\0E\n",
        "D0755 0 name\nD0755 0 ..\nC0644 4 precious\nevil\0E\nE\n",
        "D0755 0 name\nE\nE\n",
        "D0755 0 name\nE\nC0644 4 name\nevil\0",
        "D0755 0 name\nC0644 4 a\0b\nevil\0E\n",
    ] {
        refused(said.as_bytes());
    }
    play(
        b"C0644 2 name\nok\0C0644 4 name\nevil\0",
        |_| {},
        |done, out| {
            done.map(drop).expect_err("a second one");
            assert_eq!(fs::read(out.join("local")).expect("the first"), b"ok");
        },
    );
}

#[test]
fn what_is_cut_or_lies_about_its_size_is_no_file() {
    for said in [
        &b"C0644 10 name\nhalf"[..],
        b"C0644 4 name\nhalf",
        b"C0644 4 name\nmore than it said\0",
        b"C0644 9223372036854775807 name\nhalf\0",
        b"C0644 99999999999999999999 name\nhalf\0",
        b"D0755 0 name\nC0644 5 whole\nwhole\0C0644 9 cut\nhalf",
        b"D0755 0 name\nC0644 5 whole\nwhole\0",
        b"D0755 0 name\nD0755 0 d\nE\n",
        b"",
        b"hello, this is a login banner\n",
    ] {
        refused(said);
    }
    refused(&[b'C'; 20_000]);
    refused(
        &b"D0755 0 name\n".iter().copied().chain(b"D0755 0 d\n".repeat(400)).collect::<Vec<_>>(),
    );
    // A server that could not read its file to the end says so.
    play(
        b"D0755 0 name\nC0644 4 f\n\0\0\0\0\x01scp: f: Input/output error\nE\n",
        |_| {},
        |done, out| {
            let report = done.expect("the others are there");
            assert_eq!((report.failed().count(), report.files()), (1, 0));
            assert!(names(&out.join("local")).is_empty());
        },
    );
}

#[test]
fn links_in_the_way_are_not_followed_and_set_id_bits_not_kept() {
    let prepare = |out: &Path| {
        fs::create_dir(out.join("local")).expect("made");
        symlink("../..", out.join("local/d")).expect("linked");
        symlink("../../precious", out.join("local/f")).expect("linked");
    };
    // It hears that the directory is not to be had, and goes on behind it.
    let said = b"D0755 0 name\nD0755 0 d\nC6777 4 f\nmine\0E\n";
    play(said, prepare, |done, out| {
        let report = done.expect("a report");
        assert_eq!((report.files(), report.failed().count()), (1, 1));
        let file = fs::symlink_metadata(out.join("local/f")).expect("there");
        assert!(file.is_file(), "the link was replaced");
        assert_eq!(file.permissions().mode() & 0o7777, 0o777);
        assert!(out.join("local/d").is_symlink());
    });
    // It goes on all the same.
    let said = b"D0755 0 name\nD0755 0 d\nC0644 4 precious\nevil\0E\nE\n";
    play(said, prepare, |done, _| {
        let error = done.map(drop).expect_err("left once too often");
        assert_eq!(error.kind(), Kind::File);
    });
}

#[test]
fn what_cannot_be_sent_is_told_and_the_rest_is_there() {
    let said = b"D0755 0 name\n\x01scp: /r/name/x: Permission denied\nC0644 2 f\nok\0E\n";
    play(
        said,
        |_| {},
        |done, out| {
            let report = done.expect("a report");
            assert_eq!((report.files(), report.failed().count()), (1, 1));
            assert_eq!(fs::read(out.join("local/f")).expect("there"), b"ok");
        },
    );
    play(
        b"\x01scp: /r/name: No such file or directory\n",
        |_| {},
        |done, _| {
            let Err(SshError::File(error)) = done.map(drop) else { panic!("an error") };
            assert_eq!(error.kind, std::io::ErrorKind::NotFound);
        },
    );
}
