//! What a server of files says of what it has. A directory is fetched from it.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use ssh_session::SshError;
use ssh_session::sftp::{Bounds, Transfer};
use test_servers::scripted::{Kex, Packet, Wire};

use super::Expected::{Either, Fails, Names};
use super::{Expected, Hostile, Made};
use crate::suite::Subject;

/// Names that are read of a listing or a tree at most.
const MOST_NAMES: usize = 2_000;

/// What a server has beside the directory that is fetched, as seen from there.
const OUTSIDE: &str = "../outside";

// draft-ietf-secsh-filexfer-02, 3.
const INIT: u8 = 1;
const OPEN: u8 = 3;
const CLOSE: u8 = 4;
const READ: u8 = 5;
const LSTAT: u8 = 7;
const FSTAT: u8 = 8;
const OPENDIR: u8 = 11;
const READDIR: u8 = 12;
const STAT: u8 = 17;
const READLINK: u8 = 19;
const STATUS: u8 = 101;

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_644;
const LINK: u32 = 0o120_777;

/// Fetches a directory. `strays` is what was written outside of where it was to be, if anything was.
pub(super) fn fetch<S: Subject>(
    subject: &S,
    session: &S::Session,
    deadline: Duration,
    strays: &mut Option<String>,
) -> Result<Made, SshError> {
    let folder = tempfile::tempdir().expect("a directory");
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).expect("made");
    let here = folder.path().join("here");
    let bounds = Bounds {
        deadline: Some(deadline),
        entries: MOST_NAMES,
        bytes: 1 << 20,
        ..Bounds::default()
    };
    let how = Transfer::new();
    let fetched = subject
        .files(session, &bounds, async |client| client.download("/r", &here, &how).await)
        .map(|report| {
            let left_out = report.skipped().count() + report.failed().count();
            Made { whole: report.is_complete(), left_out }
        });
    let inside = |path: &Path| path == here || path == outside;
    let found = [folder.path(), &*outside].map(|folder| fs::read_dir(folder).expect("listed"));
    let found = found.into_iter().flatten().map(|entry| entry.expect("an entry").path());
    let mut found = found.chain(["/etc/x".into()]).filter(|path| path.exists() && !inside(path));
    *strays = found.next().map(|path| path.display().to_string());
    fetched
}

/// A server that says nothing wrong of one directory, `/r`, but for what `lie` answers instead: a
/// packet's type and what follows its number.
fn serve(wire: &mut Wire, mut lie: impl FnMut(u8, &[u8]) -> Option<Packet>) -> io::Result<()> {
    wire.begin(&Kex::default())?;
    let channel = wire.command()?;
    let mut unread = Vec::new();
    loop {
        let data = wire.receive_kind(94)?;
        unread.extend_from_slice(data.get(9..).unwrap_or_default());
        while let Some(length) = unread.first_chunk().map(|length| u32::from_be_bytes(*length))
            && let Some(packet) = unread.get(4..4 + length as usize)
        {
            let (kind, rest) = packet.split_first().unwrap_or((&0, &[]));
            let answer = match *kind {
                INIT => Packet::new(2).number(3),
                _ => {
                    let (number, rest) = rest.split_at_checked(4).unwrap_or_default();
                    let told = lie(*kind, rest).unwrap_or_else(|| truth(*kind));
                    let (kind, rest) = told.0.split_first().unwrap_or((&0, &[]));
                    let mut answer = Packet::new(*kind);
                    answer.0.extend([number, rest].concat());
                    answer
                }
            };
            let length = 4 + unread.len().min(length as usize);
            for piece in Packet::default().string(answer.0).0.chunks(32_000) {
                wire.write(channel, piece)?;
            }
            unread.drain(..length.min(unread.len()));
        }
    }
}

fn truth(kind: u8) -> Packet {
    match kind {
        OPENDIR | OPEN => Packet::new(102).string("h"),
        STAT | LSTAT => attributes(Packet::new(105), DIRECTORY, 0),
        FSTAT => attributes(Packet::new(105), FILE, 1),
        CLOSE => status(0),
        // An end.
        READDIR | READ => status(1),
        _ => status(8),
    }
}

fn status(code: u32) -> Packet {
    Packet::new(STATUS).number(code).string("").string("")
}

fn attributes(packet: Packet, mode: u32, size: u64) -> Packet {
    let words = [5, (size >> 32) as u32, size as u32, mode];
    words.into_iter().fold(packet, Packet::number)
}

fn names<'n>(listed: impl IntoIterator<Item = (&'n [u8], u32)>) -> Packet {
    let listed: Vec<_> = listed.into_iter().collect();
    let answer = Packet::new(104).number(listed.len() as u32);
    listed.iter().fold(answer, |answer, (name, mode)| {
        attributes(answer.string(name).string("a line for people"), *mode, 1)
    })
}

fn hostile(
    name: &str,
    expected: Expected,
    script: impl Fn(&mut Wire) -> io::Result<()> + Send + Sync + 'static,
) -> Hostile {
    Hostile { has_files: true, ..Hostile::new(name, expected, script) }
}

/// Answers listings, the first with those names, and all else truly.
fn lists(kind: u8, told: &mut bool, listed: &[(&'static [u8], u32)]) -> Option<Packet> {
    (kind == READDIR && !std::mem::replace(told, true)).then(|| names(listed.iter().copied()))
}

pub(super) fn table() -> Vec<Hostile> {
    vec![
        hostile("files whose names lead out of the directory", Names(8), |wire| {
            let mut told = false;
            serve(wire, move |kind, _| {
                let out: [&[u8]; 6] = [b"../x", b"/etc/x", b"a/../../x", b"nul\0x", b"", b"x/"];
                let mut listed: Vec<_> = out.iter().map(|name| (*name, FILE)).collect();
                listed.extend([(&b"../d"[..], DIRECTORY), (b"../l", LINK)]);
                listed.extend([(&b"."[..], DIRECTORY), (b"..", DIRECTORY), (b"good", FILE)]);
                lists(kind, &mut told, &listed)
            })
        }),
        hostile("a link that points out, and a directory in its place", Fails, |wire| {
            let mut told = 0;
            serve(wire, move |kind, _| match kind {
                READLINK => Some(names([(OUTSIDE.as_bytes(), LINK)])),
                READDIR => {
                    told += 1;
                    match told {
                        1 => Some(names([(&b"l"[..], LINK), (b"l", DIRECTORY), (b"l", FILE)])),
                        // Of what it says the link is.
                        2 => Some(names([(&b"stray"[..], FILE)])),
                        _ => None,
                    }
                }
                _ => None,
            })
        }),
        hostile("a listing without an end", Fails, |wire| {
            let listed: Vec<_> = (0..500).map(|number: u32| number.to_string()).collect();
            serve(wire, move |kind, _| {
                (kind == READDIR).then(|| names(listed.iter().map(|name| (name.as_bytes(), FILE))))
            })
        }),
        hostile("directories in directories without an end", Fails, |wire| {
            let (mut opened, mut listed) = (0_u32, HashSet::new());
            serve(wire, move |kind, rest| match kind {
                OPENDIR => {
                    opened += 1;
                    Some(Packet::new(102).string(opened.to_be_bytes()))
                }
                READDIR => listed.insert(rest.to_vec()).then(|| names([(&b"d"[..], DIRECTORY)])),
                _ => None,
            })
        }),
        hostile("a file without an end that claims one byte", Fails, |wire| {
            let mut told = false;
            serve(wire, move |kind, rest| match kind {
                READ => {
                    // Slowly, as all of it goes to the disk.
                    std::thread::sleep(Duration::from_millis(5));
                    let length = rest.last_chunk().map_or(1, |length| u32::from_be_bytes(*length));
                    Some(Packet::new(103).string(&[b'x'; 32_768][..32_768.min(length as usize)]))
                }
                _ => lists(kind, &mut told, &[(b"f", FILE)]),
            })
        }),
        hostile("a file that claims 2^60 bytes and has none", Either, |wire| {
            let mut told = false;
            serve(wire, move |kind, _| match kind {
                FSTAT => Some(attributes(Packet::new(105), FILE, 1 << 60)),
                _ => lists(kind, &mut told, &[(b"f", FILE)]),
            })
        }),
        hostile("a file's data of more than was asked for", Fails, |wire| {
            let mut told = false;
            serve(wire, move |kind, _| match kind {
                READ => Some(Packet::new(103).string([b'x'; 250_000])),
                _ => lists(kind, &mut told, &[(b"f", FILE)]),
            })
        }),
        hostile("a name and a line for people of 200,000 bytes", Fails, |wire| {
            let mut told = false;
            serve(wire, move |kind, _| {
                let long = [b'x'; 200_000];
                (kind == READDIR && !std::mem::replace(&mut told, true)).then(|| {
                    let answer = Packet::new(104).number(1).string(&long[..40_000]).string(long);
                    attributes(answer, FILE, 1)
                })
            })
        }),
        hostile("a line for people of a gigabyte", Fails, |wire| {
            serve(wire, |kind, _| {
                (kind == READDIR).then(|| Packet::new(104).number(1).string("f").number(1 << 30))
            })
        }),
        hostile("a packet that claims a gigabyte", Fails, |wire| {
            wire.begin(&Kex::default())?;
            let channel = wire.command()?;
            wire.write(channel, &(1_u32 << 30).to_be_bytes())?;
            super::flood(wire, &Packet::new(94).number(channel).string([2; 16_384]))
        }),
        hostile("answers to what nobody asked, without end", Fails, |wire| {
            wire.begin(&Kex::default())?;
            let channel = wire.command()?;
            let version = Packet::default().string(Packet::new(2).number(3).0).0;
            wire.write(channel, &version)?;
            let answer = Packet::new(STATUS).number(77).number(0).string("").string("");
            let answer = Packet::default().string(answer.0).0;
            super::flood(wire, &Packet::new(94).number(channel).string(answer))
        }),
    ]
}
