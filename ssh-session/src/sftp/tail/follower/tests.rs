//! A follower against a file system that changes under it, whenever it likes.

use bytes::Bytes;
use proptest::prelude::*;

use super::super::{TailFrom, Tailed};
use super::{Ask, Follower, Look, is_another, unfinished};
use crate::sftp::Metadata;

/// What somebody does to the file.
#[derive(Clone, Debug)]
enum Change {
    Append(Vec<u8>),
    /// Renamed, with these written to it last, and made anew with those in it.
    Rotate(Vec<u8>, Vec<u8>),
    /// Renamed, and not made anew before the next change.
    Remove,
    /// Cut, this much of it left, in parts of 256 of what was read.
    Truncate(u8),
}

struct File {
    content: Vec<u8>,
    changed: u32,
}

/// A server, and what of its files should be seen.
struct Server {
    files: Vec<File>,
    named: Option<usize>,
    open: Option<usize>,
    /// What was in a file before it was truncated or replaced, and whether all of it is to be seen.
    past: Vec<(Vec<u8>, bool)>,
    pieces: Vec<usize>,
    changes: Vec<Change>,
    /// Before which of the questions there is a change.
    whens: Vec<u8>,
    /// A truncation that was not noticed yet: what is written over it may hide it for good.
    hidden: bool,
}

impl Server {
    fn metadata(&self, file: usize) -> Metadata {
        let File { content, changed } = &self.files[file];
        Metadata {
            size: Some(content.len() as u64),
            mode: Some(0o100_644),
            times: Some((0, *changed)),
            owner: Some((1, 1)),
        }
    }

    /// Whether a change can be seen by whoever looks now and then: no second one before the first
    /// was noticed.
    fn change(&mut self, position: u64) {
        let settled = self.open == self.named && !self.hidden;
        let Some(change) = self.changes.pop() else { return };
        match (change, self.named) {
            (Change::Append(bytes), Some(named)) if !self.hidden => {
                self.files[named].content.extend(bytes);
            }
            (Change::Append(bytes) | Change::Rotate(_, bytes), None) => self.create(bytes),
            (Change::Rotate(last, new), Some(named)) if settled => {
                self.files[named].content.extend(last);
                self.past.push((self.files[named].content.clone(), true));
                self.create(new);
            }
            (Change::Remove, Some(named)) if settled => {
                self.past.push((self.files[named].content.clone(), true));
                self.named = None;
            }
            (Change::Truncate(part), Some(named)) if settled && position > 0 => {
                let length = position as usize * usize::from(part) / 256;
                self.past.push((self.files[named].content.clone(), false));
                self.files[named].content.truncate(length);
                self.hidden = true;
            }
            (change, _) => self.changes.push(change),
        }
    }

    fn create(&mut self, content: Vec<u8>) {
        self.named = Some(self.files.len());
        // Later than the one before, as the clock goes.
        self.files.push(File { content, changed: self.files.len() as u32 });
    }

    fn maybe_change(&mut self, position: u64) {
        let when = self.whens.pop().unwrap_or(1);
        for _ in 0..when {
            self.change(position);
        }
    }

    fn answer(&mut self, follower: &mut Follower, orders: &mut impl Iterator<Item = u8>) {
        self.maybe_change(follower.position);
        match follower.ask() {
            Ask::Wait => follower.waited(),
            Ask::Open => match self.named {
                Some(named) => {
                    self.open = Some(named);
                    follower.opened(self.metadata(named).size);
                }
                None => assert!(follower.is_missing(), "an interruption only"),
            },
            Ask::Read { offset, length, .. } => {
                let content = &self.files[self.open.expect("open")].content;
                let start = (offset as usize).min(content.len());
                let most = self.pieces.pop().unwrap_or(1000).min(length as usize);
                let piece = &content[start..content.len().min(start + most)];
                follower.read((!piece.is_empty()).then(|| Bytes::copy_from_slice(piece)));
            }
            Ask::Look { one_by_one } => {
                let open = self.open.expect("open");
                let mut answers = [None; 3];
                let order: [usize; 3] = match orders.next() {
                    Some(0) if !one_by_one => [2, 1, 0],
                    Some(1) if !one_by_one => [1, 0, 2],
                    Some(2) if !one_by_one => [0, 2, 1],
                    _ => [0, 1, 2],
                };
                for which in order {
                    let file = if which == 1 { self.named } else { Some(open) };
                    answers[which] = file.map(|file| self.metadata(file));
                    self.maybe_change(follower.position);
                }
                let [Some(before), named, Some(after)] = answers else { panic!("answered") };
                follower.looked(&Look { before, named, after });
            }
        }
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let parts = ["a", "\n", "é", "漢", "🦀", "\u{0}"].map(str::as_bytes);
    let whole = prop::collection::vec(prop::sample::select(parts.to_vec()), 1..8);
    // Cut somewhere, as writers do that know no characters.
    (whole, 0..3_usize).prop_map(|(parts, cut)| {
        let mut bytes = parts.concat();
        bytes.truncate((bytes.len() - cut.min(bytes.len())).max(1));
        bytes
    })
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => bytes().prop_map(Change::Append),
        2 => (bytes(), bytes()).prop_map(|(last, new)| Change::Rotate(last, new)),
        1 => Just(Change::Remove),
        1 => any::<u8>().prop_map(Change::Truncate),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever happens to the file, between whichever questions, all that was in each of its
    /// files is seen once, in order, and after a truncation all that is there then.
    #[test]
    fn all_of_every_file_is_seen_once(
        first in bytes(),
        changes in prop::collection::vec(change(), 0..12),
        whens in prop::collection::vec(prop_oneof![4 => Just(0_u8), 1 => 1..3_u8], 0..60),
        pieces in prop::collection::vec(1..9_usize, 0..40),
        orders in prop::collection::vec(0..4_u8, 0..20),
        text in any::<bool>(),
    ) {
        let mut server = Server {
            files: Vec::new(), named: None, open: None, past: Vec::new(),
            pieces, changes, whens, hidden: false,
        };
        server.create(first);
        let mut follower = Follower::new(TailFrom::Start, text);
        let mut seen = vec![Vec::new()];
        let mut orders = orders.into_iter();
        let mut quiet = 0;
        for round in 0.. {
            prop_assert!(round < 10_000, "it comes to an end");
            // Before each question there is a change at most, once the given moments are over.
            if quiet > 3 && server.changes.is_empty() && server.whens.is_empty() {
                break;
            }
            quiet = if follower.ask() == Ask::Wait { quiet + 1 } else { quiet };
            let left = server.changes.len();
            if quiet > 40 {
                // What can't be done is not done.
                server.changes.clear();
                server.whens.clear();
            }
            server.answer(&mut follower, &mut orders);
            if server.changes.len() < left {
                quiet = 0;
            }
            while let Some(tailed) = follower.pop() {
                quiet = 0;
                match tailed {
                    Tailed::Data { offset, bytes } => {
                        prop_assert!(!bytes.is_empty());
                        let seen = seen.last_mut().expect("one");
                        prop_assert_eq!(offset, seen.len() as u64);
                        seen.extend(bytes);
                    }
                    Tailed::Truncated => {
                        server.hidden = false;
                        seen.push(Vec::new());
                    }
                    Tailed::Replaced => seen.push(Vec::new()),
                }
            }
        }
        follower.give_up_held();
        while let Some(Tailed::Data { bytes, .. }) = follower.pop() {
            seen.last_mut().expect("one").extend(bytes);
        }
        if let Some(named) = server.named {
            server.past.push((server.files[named].content.clone(), true));
        }
        prop_assert_eq!(seen.len(), server.past.len());
        for (seen, (content, whole)) in seen.iter().zip(&server.past) {
            match whole {
                true => prop_assert_eq!(seen, content),
                false => prop_assert!(content.starts_with(seen)),
            }
        }
    }

    /// However it is cut, no character is handed on in parts, and nothing is lost.
    #[test]
    fn characters_are_held_back_until_they_are_whole(
        text in "[a\n漢é🦀\u{7ff}\u{800}]{0,60}",
        sizes in prop::collection::vec(1..7_usize, 1..6),
    ) {
        let mut follower = Follower::new(TailFrom::Start, true);
        follower.opened(Some(0));
        let (mut rest, mut seen) = (text.as_bytes(), String::new());
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at((*size).min(rest.len()));
            follower.read(Some(Bytes::copy_from_slice(piece)));
            rest = behind;
            prop_assert!(follower.held.len() < 4);
            while let Some(Tailed::Data { offset, bytes }) = follower.pop() {
                prop_assert_eq!(offset, seen.len() as u64);
                seen.push_str(std::str::from_utf8(&bytes).expect("whole characters"));
            }
            prop_assert_eq!(follower.position(), seen.len() as u64);
        }
        prop_assert_eq!(seen, text);
    }

    /// Bytes that are no text come as well, and at most three are held back.
    #[test]
    fn what_is_no_text_is_not_held_back(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let held = unfinished(&bytes);
        prop_assert!(held < 4);
        let tail = &bytes[bytes.len() - held..];
        let begins = std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none());
        prop_assert!(held == 0 || begins);
        prop_assert!(std::str::from_utf8(&bytes).is_err() || held == 0);
    }
}

/// What a follower reads of a file of so many bytes that it may ask for in whole.
fn begins_at(from: TailFrom, content: &[u8]) -> u64 {
    let mut follower = Follower::new(from, true);
    assert_eq!(follower.ask(), Ask::Open);
    follower.opened(Some(content.len() as u64));
    while !follower.has_begun() {
        let Ask::Read { offset, length, .. } = follower.ask() else { panic!("it reads") };
        let piece = &content[offset as usize..(offset + length) as usize];
        for piece in piece.chunks(10_000) {
            follower.read(Some(Bytes::copy_from_slice(piece)));
        }
    }
    follower.position()
}

#[test]
fn it_begins_where_it_is_told() {
    let content = b"one\ntwo\nthree";
    assert_eq!(begins_at(TailFrom::End, content), 13);
    assert_eq!(begins_at(TailFrom::Start, content), 0);
    assert_eq!(begins_at(TailFrom::Offset(5), content), 5);
    assert_eq!(begins_at(TailFrom::Offset(99), content), 13);
    for (lines, start) in [(0, 13), (1, 8), (2, 4), (3, 0), (4, 0)] {
        assert_eq!(begins_at(TailFrom::Lines(lines), content), start, "{lines} lines");
    }
    assert_eq!(begins_at(TailFrom::Lines(3), b""), 0);
    // Lines that go over blocks.
    let long: Vec<u8> = (0..200_000).map(|n| if n % 50_000 == 0 { b'\n' } else { b'x' }).collect();
    assert_eq!(begins_at(TailFrom::Lines(1), &long), 150_001);
    assert_eq!(begins_at(TailFrom::Lines(3), &long), 50_001);
    assert_eq!(begins_at(TailFrom::Lines(9), &long), 0);
}

#[test]
fn a_file_that_lies_about_its_size_is_read_once() {
    let mut follower = Follower::new(TailFrom::Start, true);
    follower.opened(Some(0));
    follower.read(Some("content".into()));
    follower.read(None);
    let metadata = Metadata { size: Some(0), ..Metadata::default() };
    for _ in 0..3 {
        assert_eq!(follower.ask(), Ask::Look { one_by_one: false });
        follower.looked(&Look { before: metadata, named: Some(metadata), after: metadata });
        assert_eq!(follower.ask(), Ask::Read { offset: 6, length: 1, claimed: 7 });
        follower.read(Some("t".into()));
        assert_eq!(follower.ask(), Ask::Wait);
        follower.waited();
        follower.read(None);
    }
    assert!(matches!(follower.pop(), Some(Tailed::Data { offset: 0, .. })));
    assert_eq!(follower.pop(), None);
    // One that claims to be long, and is not, is read from its start.
    let mut follower = Follower::new(TailFrom::Lines(2), true);
    follower.opened(Some(1 << 62));
    assert!(matches!(follower.ask(), Ask::Read { .. }));
    follower.read(None);
    assert_eq!((follower.has_begun(), follower.position()), (true, 0));
}

#[test]
fn a_file_is_another_by_what_did_not_change_meanwhile() {
    let of = |size, changed, mode, owner| Metadata {
        size: Some(size),
        times: Some((9, changed)),
        mode: Some(mode),
        owner: Some((owner, 1)),
    };
    let open = of(10, 100, 0o100_644, 1);
    let grown = of(20, 101, 0o100_644, 1);
    for same in [open, grown, of(15, 100, 0o100_644, 1), Metadata::default()] {
        assert!(!is_another(&open, &same, &grown), "{same:?}");
    }
    for other in [
        of(9, 100, 0o100_644, 1),
        of(21, 101, 0o100_644, 1),
        of(15, 99, 0o100_644, 1),
        of(15, 102, 0o100_644, 1),
        of(15, 100, 0o100_600, 1),
        of(15, 100, 0o100_644, 2),
    ] {
        assert!(is_another(&open, &other, &grown), "{other:?}");
    }
    // Truncated meanwhile, in another mode meanwhile: nobody knows.
    assert!(!is_another(&grown, &of(5, 101, 0o100_644, 1), &of(10, 101, 0o100_644, 1)));
    assert!(!is_another(&open, &of(10, 100, 0o100_600, 1), &of(10, 100, 0o100_666, 1)));
}
