//! Files, read once as long as they stay the same.

use std::collections::HashMap;
use std::io;
use std::num::NonZero;
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::hashed::Hashed;
use super::line::Line;
use crate::files;

/// The largest file: a million hosts and more.
const LARGEST: u64 = 64 << 20;
/// The largest file that is kept in memory.
const LARGEST_KEPT: u64 = 16 << 20;
/// How many files are kept.
const MOST_KEPT: usize = 8;
/// For how many names it is kept which lines are about them.
const MOST_NAMES: usize = 1_024;
/// The bytes of a line as most are: a name, the type and the key.
const USUAL_LINE: usize = 128;
/// How many threads compare hashed names, and how many names it takes for another one: half a
/// millisecond's work.
const MOST_THREADS: usize = 4;
const LEAST_SHARE: usize = 4_096;
/// A file that changed this shortly before it was read may change again without its times telling:
/// file systems count in ticks of up to two seconds.
const TICK: Duration = Duration::from_secs(2);
/// How often a busy lock is asked for. A process may be forked while another thread holds it, so
/// nobody waits for it for ever; without it the file is read anew.
const TRIES: usize = 1_000;

/// A file's lines that say something, as it was when it was read.
pub(super) struct Content {
    text: Vec<u8>,
    lines: Vec<Line>,
    /// Names that are hashed, and the places of their lines among them.
    hashed: Vec<(usize, Hashed)>,
    /// The places of the lines with patterns.
    patterns: Vec<usize>,
    stamp: Stamp,
    /// The lines about the names that were asked for before: a hash takes time, and a file may have
    /// a hundred thousand.
    asked: Mutex<HashMap<String, Arc<[usize]>>>,
}

/// What tells whether a file is still the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

static KEPT: Mutex<Vec<(PathBuf, Arc<Content>)>> = Mutex::new(Vec::new());

impl Content {
    /// Reads a file, or takes what was read of it before.
    pub(super) fn of(path: &Path) -> io::Result<Arc<Self>> {
        let file = files::open(path)?;
        let metadata = file.metadata()?;
        let stamp = Stamp {
            file: (metadata.dev(), metadata.ino()),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        };
        if let Some(content) = kept(path, &stamp) {
            return Ok(content);
        }
        let now = SystemTime::now();
        let content = Arc::new(Self::read(files::read(file, LARGEST)?, stamp, path));
        if metadata.is_file() && metadata.len() <= LARGEST_KEPT && content.stamp.is_old(now) {
            keep(path, &content);
        }
        Ok(content)
    }

    /// A text that is no file's.
    pub(super) fn parse(text: Vec<u8>, path: &Path) -> Self {
        Self::read(text, Stamp::default(), path)
    }

    fn read(text: Vec<u8>, stamp: Stamp, path: &Path) -> Self {
        let mut content = Self {
            lines: Vec::with_capacity(text.len() / USUAL_LINE),
            text,
            hashed: Vec::new(),
            patterns: Vec::new(),
            stamp,
            asked: Mutex::default(),
        };
        let (mut start, mut number) = (0, 0);
        while let Some(rest) = content.text.get(start..) {
            number += 1;
            let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            if let Err(problem) = content.take(start..start + length, number) {
                skipped(path, number, problem);
            }
            start += length + 1;
        }
        content
    }

    /// Takes a line in, if it says something.
    fn take(&mut self, place: Range<usize>, number: usize) -> Result<(), &'static str> {
        let Some(line) = Line::find(&self.text, place, number)? else { return Ok(()) };
        let at = self.lines.len();
        match line.hashed(&self.text)? {
            Some(hashed) => self.hashed.push((at, hashed)),
            None => self.patterns.push(at),
        }
        self.lines.push(line);
        Ok(())
    }

    /// The lines about a name in small letters.
    pub(super) fn about(&self, name: &str) -> impl Iterator<Item = &Line> {
        let found = self.places(name);
        (0..found.len()).filter_map(move |index| self.lines.get(*found.get(index)?))
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    fn places(&self, name: &str) -> Arc<[usize]> {
        if let Some(known) = patiently(&self.asked).and_then(|asked| asked.get(name).cloned()) {
            return known;
        }
        let bytes = name.as_bytes();
        let matches =
            |at: &&usize| self.lines.get(**at).is_some_and(|line| line.matches(&self.text, bytes));
        let mut found: Vec<_> = self.patterns.iter().filter(matches).copied().collect();
        found.extend(hashed_as(&self.hashed, bytes));
        // The first line of a file is the one that is named.
        found.sort_unstable();
        let found: Arc<[usize]> = found.into();
        if let Some(mut asked) = patiently(&self.asked) {
            if asked.len() >= MOST_NAMES {
                asked.clear();
            }
            asked.insert(name.to_owned(), Arc::clone(&found));
        }
        found
    }
}

/// The places of the lines whose hashed name is this one. Many are shared out among threads: each
/// costs two steps of SHA-1, one after the other, and somebody waits for a dial.
fn hashed_as(lines: &[(usize, Hashed)], name: &[u8]) -> Vec<usize> {
    let those = |lines: &[(usize, Hashed)]| -> Vec<usize> {
        lines.iter().filter(|(_, hashed)| hashed.is(name)).map(|(at, _)| *at).collect()
    };
    let most = thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS);
    let share = lines.len().div_ceil(most).max(LEAST_SHARE);
    let Some((own, others)) = lines.split_at_checked(share) else { return those(lines) };
    thread::scope(|scope| {
        let begin = |part| thread::Builder::new().spawn_scoped(scope, move || those(part));
        let begun: Vec<_> = others.chunks(share).map(|part| (part, begin(part))).collect();
        let mut found = those(own);
        for (part, thread) in begun {
            // Where there is no thread to be had, it is done here.
            let by_thread = thread.ok().and_then(|thread| thread.join().ok());
            found.extend(by_thread.unwrap_or_else(|| those(part)));
        }
        found
    })
}

impl Stamp {
    /// Whether nothing that happened to the file by then can look as if it had not.
    fn is_old(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let last = self.modified.0.max(self.changed.0);
        let last = Duration::from_secs(u64::try_from(last).unwrap_or_default());
        last.checked_add(TICK).is_some_and(|quiet| quiet < now)
    }
}

fn kept(path: &Path, stamp: &Stamp) -> Option<Arc<Content>> {
    let kept = patiently(&KEPT)?;
    let (_, content) = kept.iter().find(|(known, _)| known == path)?;
    (content.stamp == *stamp).then(|| Arc::clone(content))
}

fn keep(path: &Path, content: &Arc<Content>) {
    let Some(mut kept) = patiently(&KEPT) else { return };
    let old: Vec<_> = kept.extract_if(.., |(known, _)| known == path).collect();
    if kept.len() >= MOST_KEPT {
        kept.remove(0);
    }
    kept.push((path.to_owned(), Arc::clone(content)));
    drop(kept);
    // A large one takes a while to be freed.
    drop(old);
}

fn patiently<T>(lock: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    for _ in 0..TRIES {
        match lock.try_lock() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => thread::yield_now(),
        }
    }
    None
}

/// A line that makes no sense. To be told once a reading.
pub(super) fn skipped(path: &Path, line: usize, problem: &'static str) {
    tracing::warn!(path = %path.display(), line, problem, "known_hosts line skipped");
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;
    use std::thread;

    use super::super::hashed::hashed;
    use super::{Content, TICK};

    fn count(path: &Path, name: &str) -> usize {
        Content::of(path).expect("readable").about(name).count()
    }

    #[test]
    fn a_file_is_read_once_as_long_as_it_stays_the_same_and_anew_as_soon_as_it_does_not() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("known_hosts");
        // Of one size each, and written within one tick of the clock.
        for (text, hits) in [("h x y\n", 1), ("i x y\n", 0), ("h x z\n", 1), ("# x y\n", 0)] {
            fs::write(&path, text).expect("written");
            assert_eq!(count(&path, "h"), hits, "{text}");
        }
        fs::write(&path, "h x y\n").expect("written");
        thread::sleep(TICK + TICK / 2);
        let first = Content::of(&path).expect("readable");
        assert!(Arc::ptr_eq(&first, &Content::of(&path).expect("readable")), "read once");
        for _ in 0..2 {
            assert_eq!((count(&path, "h"), count(&path, "i")), (1, 0));
        }
        fs::write(&path, "i x y\n").expect("written");
        assert_eq!((count(&path, "h"), count(&path, "i")), (0, 1), "read anew");
        // Another file of the same name, as editors leave it.
        let other = folder.path().join("other");
        fs::write(&other, "h x y\n").expect("written");
        thread::sleep(TICK + TICK / 2);
        assert_eq!(count(&path, "h"), 0);
        fs::rename(&other, &path).expect("renamed");
        assert_eq!(count(&path, "h"), 1, "read anew");
    }

    #[test]
    fn lines_keep_their_numbers_and_nonsense_is_passed_over() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("known_hosts");
        fs::write(&path, b"\n# h\n@what h x\n\t h\xff,h x y\r\n|1|x|y x\n@revoked\nh x y")
            .expect("written");
        let content = Content::of(&path).expect("readable");
        let numbers: Vec<_> = content.about("h").map(|line| line.number).collect();
        assert_eq!(numbers, [4, 7]);
    }
    #[test]
    fn among_many_hashed_names_each_line_is_found_in_the_order_of_the_file() {
        let other = hashed("other").expect("randomness");
        let own = || hashed("h").expect("randomness");
        let lines = 3 * super::LEAST_SHARE;
        // At the ends of what each thread has, and a pattern between them.
        let places = [0, 1, lines / 4 - 1, lines / 4, lines / 2, lines - 2, lines - 1];
        let line = |at: usize| match places.contains(&at) {
            true if at == lines / 2 => "h,i x y\n".to_owned(),
            true => format!("{} x y\n", own()),
            false => format!("{other} x y\n"),
        };
        let text: String = (0..lines).map(line).collect();
        let content = Content::parse(text.into_bytes(), Path::new("known_hosts"));
        let numbers: Vec<_> = content.about("h").map(|line| line.number - 1).collect();
        assert_eq!(numbers, places);
        assert_eq!(content.about("nobody").count(), 0);
    }
}
