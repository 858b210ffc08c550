//! What to do next, for somebody who reads a shell: a state machine without I/O and without a clock.

use std::time::{Duration, Instant};

use super::{Buffer, Match, Pattern};
use crate::{Chunk, Kind, SshError};

/// Longer than anybody waits: what a clock can surely count.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// As much earlier may a timer ring than it should.
const EARLY: Duration = Duration::from_millis(10);

/// What became of reading until a pattern. Unless it was found, all that was read is kept for the
/// next call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum ReadUntil {
    /// It was found.
    Match(Match),
    /// The shell has ended without it.
    Ended,
    /// Time is up.
    TimedOut,
    /// [`max_buffer`](super::ShellOptions::max_buffer) bytes have come without it; nothing more is
    /// read until they are taken.
    Full,
}

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Tell the reader.
    Done(ReadUntil),
    /// Read what comes within this time, and [`push`](Reading::push) it.
    Read(Duration),
}

/// A call that reads a shell.
#[derive(Debug)]
pub struct Reading<'p> {
    /// `None` where anything will do.
    pattern: Option<&'p Pattern>,
    /// So many bytes were looked through.
    searched: usize,
    deadline: Instant,
    /// The last read found nothing.
    dry: bool,
}

impl<'p> Reading<'p> {
    /// Reads until this is found, for so long at most.
    pub fn until(pattern: &'p Pattern, timeout: Duration, now: Instant) -> Self {
        Self { pattern: Some(pattern), ..Self::anything(timeout, now) }
    }

    /// Reads what is there, or comes first within this time.
    pub fn anything(timeout: Duration, now: Instant) -> Self {
        let deadline = now + timeout.min(LONGEST);
        Self { pattern: None, searched: 0, deadline, dry: false }
    }

    /// What to do next.
    ///
    /// # Errors
    ///
    /// That of reading, once it can't be put off.
    pub fn step(&mut self, buffer: &mut Buffer, now: Instant) -> Result<Step, SshError> {
        if let Some(found) = self.pattern.and_then(|sought| buffer.find(sought, &mut self.searched))
        {
            return Ok(Step::Done(ReadUntil::Match(found)));
        }
        // Whoever takes anything is told what there is before what comes behind it.
        let has_some = self.pattern.is_none() && !buffer.is_empty();
        if has_some && (self.dry || buffer.is_full() || buffer.failed().is_some()) {
            return Ok(Step::Done(ReadUntil::TimedOut));
        }
        if let Some(error) = buffer.failed() {
            return Err(error.clone());
        }
        if buffer.has_ended() {
            return Ok(Step::Done(ReadUntil::Ended));
        }
        if buffer.is_full() {
            return Ok(Step::Done(ReadUntil::Full));
        }
        let left = self.deadline.saturating_duration_since(now);
        if left.is_zero() && self.dry {
            return Ok(Step::Done(ReadUntil::TimedOut));
        }
        Ok(Step::Read(if has_some { Duration::ZERO } else { left }))
    }

    /// Takes in what was read; a read whose time was up found nothing.
    pub fn push(
        &mut self,
        buffer: &mut Buffer,
        read: Result<Option<Chunk>, SshError>,
        now: Instant,
    ) {
        let is_late = matches!(&read, Err(error) if error.kind() == Kind::Timeout);
        // A process that ran out of its own time says so at once, and for good.
        let in_time = self.pattern.is_none() && !buffer.is_empty();
        self.dry = is_late && (in_time || now + EARLY >= self.deadline);
        if !self.dry {
            buffer.push(read);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::super::{Buffer, Pattern};
    use super::{ReadUntil, Reading, Step};
    use crate::{Chunk, Phase, SshError, Target};

    const SECOND: Duration = Duration::from_secs(1);

    fn late() -> SshError {
        SshError::Timeout {
            target: Target::new("h", 22, "u").expect("a target"),
            phase: Phase::Run,
            elapsed: SECOND,
            partial: None,
            maybe_started: true,
        }
    }

    /// A shell that writes these pieces, one a second, and then ends or not.
    struct Script {
        pieces: Vec<Vec<u8>>,
        ends: bool,
        now: Instant,
    }

    impl Script {
        fn new(text: &[u8], sizes: &[usize], ends: bool) -> Self {
            let (mut rest, mut pieces) = (text, Vec::new());
            let mut sizes = sizes.iter().cycle();
            while !rest.is_empty() {
                let size = (*sizes.next().expect("endless")).min(rest.len());
                let (piece, behind) = rest.split_at(size);
                pieces.push(piece.to_vec());
                rest = behind;
            }
            pieces.reverse();
            Self { pieces, ends, now: Instant::now() }
        }

        fn run(&mut self, mut reading: Reading<'_>, buffer: &mut Buffer) -> ReadUntil {
            loop {
                match reading.step(buffer, self.now).expect("no error") {
                    Step::Done(done) => return done,
                    Step::Read(patience) => {
                        let read = match self.pieces.last() {
                            Some(_) if patience >= SECOND => {
                                self.now += SECOND;
                                let piece = self.pieces.pop().expect("a piece");
                                Ok(Some(Chunk::Stdout(Bytes::from(piece))))
                            }
                            None if self.ends => Ok(None),
                            _ => {
                                self.now += patience;
                                Err(late())
                            }
                        };
                        reading.push(buffer, read, self.now);
                    }
                }
            }
        }

        fn until(&mut self, pattern: &Pattern, seconds: u32, buffer: &mut Buffer) -> ReadUntil {
            self.run(Reading::until(pattern, SECOND * seconds, self.now), buffer)
        }
    }

    fn literal(bytes: &[u8]) -> Pattern {
        Pattern::literal(bytes).expect("a pattern")
    }

    #[test]
    fn a_pattern_is_found_and_what_follows_it_kept() {
        let mut buffer = Buffer::new(1000);
        let mut script = Script::new(b"login: pass\nword: # rest", &[3], false);
        let ReadUntil::Match(found) = script.until(&literal(b"in: "), 100, &mut buffer) else {
            panic!("not found")
        };
        assert_eq!((found.before(), found.matched()), (&b"log"[..], &b"in: "[..]));
        let prompt = Pattern::regex(r"(?s)w(or)d: ([$#]) ").expect("a pattern");
        let ReadUntil::Match(found) = script.until(&prompt, 100, &mut buffer) else {
            panic!("not found")
        };
        assert_eq!((found.before(), found.group(1)), (&b"pass\n"[..], Some(&b"or"[..])));
        assert_eq!((found.group(2), found.group(3)), (Some(&b"#"[..]), None));
        assert_eq!(script.until(&prompt, 100, &mut buffer), ReadUntil::TimedOut);
        assert_eq!(buffer.bytes(), b"rest");
    }

    #[test]
    fn time_that_is_up_a_shell_that_ends_and_one_that_writes_too_much_are_told_apart() {
        let mut buffer = Buffer::new(1000);
        let mut script = Script::new(b"abcdef", &[1], true);
        let start = script.now;
        assert_eq!(script.until(&literal(b"x"), 3, &mut buffer), ReadUntil::TimedOut);
        assert_eq!((script.now - start, buffer.bytes()), (SECOND * 3, &b"abc"[..]));
        assert_eq!(script.until(&literal(b"x"), 0, &mut buffer), ReadUntil::TimedOut);
        assert_eq!(script.until(&literal(b"x"), 100, &mut buffer), ReadUntil::Ended);
        assert_eq!(buffer.bytes(), b"abcdef");
        assert_eq!(buffer.taken(Ok(ReadUntil::Ended)).expect("read"), Some("abcdef".into()));
        assert_eq!(buffer.taken(Ok(ReadUntil::Ended)).expect("read"), None);
        let mut buffer = Buffer::new(4);
        let mut script = Script::new(b"abcdef", &[1], true);
        assert_eq!(script.until(&literal(b"f"), 100, &mut buffer), ReadUntil::Full);
        assert_eq!(script.until(&literal(b"f"), 100, &mut buffer), ReadUntil::Full);
        assert_eq!(buffer.taken(Ok(ReadUntil::Full)).expect("read"), Some("abcd".into()));
        assert!(matches!(script.until(&literal(b"f"), 100, &mut buffer), ReadUntil::Match(_)));
    }

    #[test]
    fn who_reads_anything_gets_what_is_there_and_waits_only_for_the_first() {
        let mut buffer = Buffer::new(1000);
        let mut script = Script::new(b"abc", &[2], true);
        let start = script.now;
        let mut read = |seconds: u32, script: &mut Script| {
            let reading = Reading::anything(SECOND * seconds, script.now);
            let read = script.run(reading, &mut buffer);
            buffer.taken(Ok(read)).expect("read")
        };
        assert_eq!(read(0, &mut script), Some(Bytes::new()));
        assert_eq!(read(10, &mut script), Some("ab".into()));
        assert_eq!(script.now - start, SECOND);
        assert_eq!(read(10, &mut script), Some("c".into()));
        assert_eq!(read(10, &mut script), None);
        assert_eq!(script.now - start, SECOND * 2);
    }

    #[test]
    fn a_process_that_ran_out_of_its_own_time_is_an_error_and_no_endless_loop() {
        let (mut buffer, now) = (Buffer::new(10), Instant::now());
        let x = literal(b"x");
        let mut reading = Reading::until(&x, SECOND, now);
        reading.push(&mut buffer, Err(late()), now);
        assert!(reading.step(&mut buffer, now).is_err());
    }

    proptest! {
        /// However it arrives, the same text is found, and nothing is lost or doubled.
        #[test]
        fn splits_make_no_difference(
            text in prop::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(b'#')], 0..200),
            sought in prop_oneof![Just("ab"), Just("#"), Just("a#b"), Just("[ab]#"), Just("bb|#a")],
            sizes in prop::collection::vec(1..20_usize, 1..6),
        ) {
            let pattern = Pattern::regex(sought).expect("a pattern");
            let mut whole: Vec<_> = pattern.expression().find_iter(&text).map(|m| m.end()).collect();
            whole.reverse();
            let mut buffer = Buffer::new(text.len() + 1);
            let mut script = Script::new(&text, &sizes, true);
            let mut all = Vec::new();
            loop {
                match script.until(&pattern, 1_000, &mut buffer) {
                    ReadUntil::Match(found) => {
                        prop_assert!(pattern.expression().is_match(found.matched()));
                        all.extend(found.into_bytes());
                        prop_assert_eq!(Some(all.len()), whole.pop());
                    }
                    other => {
                        prop_assert_eq!(other, ReadUntil::Ended);
                        break;
                    }
                }
            }
            prop_assert!(whole.is_empty());
            all.extend_from_slice(buffer.bytes());
            prop_assert_eq!(all, text);
        }

        /// Whatever the pattern, the bound and the time, what is read is taken once and in order, and
        /// no more is kept than the bound and one piece.
        #[test]
        fn nothing_is_lost(
            text in prop::collection::vec(any::<u8>(), 0..300),
            sought in prop_oneof![Just("(?-u)[a-f]+"), Just(r"(?-u)[\x80-\xff]$"), Just("zzz")],
            sizes in prop::collection::vec(1..20_usize, 1..6),
            (most, seconds) in (1..60_usize, 1..9_u32),
        ) {
            let pattern = Pattern::regex(sought).expect("a pattern");
            let mut buffer = Buffer::new(most);
            let mut script = Script::new(&text, &sizes, true);
            let mut all: Vec<u8> = Vec::new();
            loop {
                let read = script.until(&pattern, seconds, &mut buffer);
                prop_assert!(buffer.bytes().len() < most + 20);
                match read {
                    ReadUntil::Match(found) => all.extend(found.into_bytes()),
                    ReadUntil::Full => all.extend(buffer.taken(Ok(read)).expect("read").expect("some")),
                    ReadUntil::Ended => break,
                    ReadUntil::TimedOut => script.now += SECOND,
                }
            }
            all.extend_from_slice(buffer.bytes());
            prop_assert_eq!(all, text);
        }
    }
}
