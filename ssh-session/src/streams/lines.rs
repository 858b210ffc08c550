//! Lines of what a command writes, as they come.

use std::collections::VecDeque;
use std::fmt;

use bytes::{Bytes, BytesMut};

use crate::{AsyncProcess, Chunk, Process, SshError};

/// A line of what a command wrote.
#[derive(Clone, PartialEq, Eq)]
pub struct Line {
    /// Its bytes, without the `\n` or `\r\n` at its end.
    pub bytes: Bytes,
    /// Whether it was written to standard error.
    pub is_stderr: bool,
    /// Whether this is where the line ends. It is not where the line is longer than may be kept,
    /// and goes on with the next piece of the same stream, and where the output ends without `\n`.
    pub is_end: bool,
}

/// The lines of both streams of a command, each handed on when its end has come. Those of one stream
/// are in order.
pub struct Lines<'p, P> {
    process: &'p P,
    split: Splitter,
}

/// The async twin of [`Lines`].
pub struct AsyncLines<'p, P> {
    process: &'p P,
    split: Splitter,
}

impl<'p, P> Lines<'p, P> {
    /// The default of the most that is kept of a line, in bytes.
    pub const MAX_LINE: usize = 64 * 1024;

    /// Reads a process, from here on.
    pub fn new(process: &'p P) -> Self {
        Self { process, split: Splitter::new(Self::MAX_LINE) }
    }

    /// How much of a line is kept at most, in bytes: 1 and up, default 64 KiB. A longer one comes in
    /// pieces.
    #[must_use]
    pub fn max_line(mut self, bytes: usize) -> Self {
        self.split.most = bytes.max(1);
        self
    }
}

impl<P: Process> Iterator for Lines<'_, P> {
    type Item = Result<Line, SshError>;

    /// `None` when the command has ended and all was read. What came before an error is handed on
    /// before it.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(line) = self.split.pop() {
                return Some(line);
            }
            let read = self.process.read();
            self.split.push(read)?;
        }
    }
}

impl<'p, P> AsyncLines<'p, P> {
    /// Reads a process, from here on.
    pub fn new(process: &'p P) -> Self {
        Self { process, split: Splitter::new(Lines::<P>::MAX_LINE) }
    }

    /// As [`Lines::max_line`].
    #[must_use]
    pub fn max_line(mut self, bytes: usize) -> Self {
        self.split.most = bytes.max(1);
        self
    }
}

impl<P: AsyncProcess> AsyncLines<'_, P> {
    /// The next line; `None` when the command has ended and all was read. Dropping the future loses
    /// nothing.
    ///
    /// # Errors
    ///
    /// As [`AsyncProcess::read`]. What came before an error is handed on before it.
    pub async fn next(&mut self) -> Result<Option<Line>, SshError> {
        loop {
            if let Some(line) = self.split.pop() {
                return line.map(Some);
            }
            let read = self.process.read().await;
            if self.split.push(read).is_none() {
                return Ok(None);
            }
        }
    }
}

/// Cuts what comes into lines.
pub(crate) struct Splitter {
    most: usize,
    /// The beginnings of lines, on standard output and standard error.
    begun: [BytesMut; 2],
    ready: VecDeque<Line>,
    failed: Option<SshError>,
    ended: bool,
}

impl Splitter {
    pub(crate) fn new(most: usize) -> Self {
        let (begun, ready) = (Default::default(), VecDeque::new());
        Self { most, begun, ready, failed: None, ended: false }
    }

    fn pop(&mut self) -> Option<Result<Line, SshError>> {
        self.ready.pop_front().map(Ok).or_else(|| self.failed.take().map(Err))
    }

    /// Takes in what was read; `None` where that is the end, and nothing is left.
    fn push(&mut self, read: Result<Option<Chunk>, SshError>) -> Option<()> {
        match read {
            Ok(Some(chunk)) => self.cut(chunk.bytes(), matches!(chunk, Chunk::Stderr(_))),
            // The rest of it is told once, whatever is read behind the end.
            _ if self.ended => return None,
            Ok(None) => self.finish(),
            Err(error) => {
                self.finish();
                self.failed = Some(error);
            }
        }
        let over = self.ended && self.ready.is_empty() && self.failed.is_none();
        (!over).then_some(())
    }

    /// Takes in bytes of what has one stream only.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.cut(bytes, false);
    }

    /// The next line of what is [fed](Self::feed).
    pub(crate) fn pop_line(&mut self) -> Option<Line> {
        self.ready.pop_front()
    }

    /// Whether there is a line.
    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    fn cut(&mut self, bytes: &[u8], is_stderr: bool) {
        let begun = &mut self.begun[usize::from(is_stderr)];
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            begun.extend_from_slice(piece);
            let is_end = begun.last() == Some(&b'\n');
            if is_end {
                begun.truncate(begun.len() - 1);
                if begun.last() == Some(&b'\r') {
                    begun.truncate(begun.len() - 1);
                }
            }
            while begun.len() > self.most {
                let bytes = begun.split_to(self.most).freeze();
                self.ready.push_back(Line { bytes, is_stderr, is_end: false });
            }
            if is_end {
                let bytes = begun.split().freeze();
                self.ready.push_back(Line { bytes, is_stderr, is_end });
            }
        }
    }

    fn finish(&mut self) {
        self.ended = true;
        self.flush();
    }

    /// What is left is a line without an end.
    pub(crate) fn flush(&mut self) {
        for (is_stderr, begun) in [false, true].into_iter().zip(&mut self.begun) {
            if !begun.is_empty() {
                let bytes = begun.split().freeze();
                self.ready.push_back(Line { bytes, is_stderr, is_end: false });
            }
        }
    }
}

impl Line {
    /// The line as text, with `U+FFFD` for what is not UTF-8.
    pub fn to_text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

/// Sizes only, as of all that commands write.
impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, is_stderr, is_end } = self;
        write!(f, "Line({} bytes, is_stderr: {is_stderr}, is_end: {is_end})", bytes.len())
    }
}

impl<P> fmt::Debug for Lines<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("max_line", &self.split.most).finish_non_exhaustive()
    }
}

impl<P> fmt::Debug for AsyncLines<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncLines").field("max_line", &self.split.most).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::Splitter;
    use crate::Chunk;

    /// The lines of a text that comes in pieces of these sizes, as (text, whether it ends there).
    fn lines(text: &[u8], sizes: &[usize], most: usize) -> Vec<(Vec<u8>, bool)> {
        let mut split = Splitter::new(most);
        let (mut rest, mut found) = (text, Vec::new());
        let mut sizes = sizes.iter().cycle();
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at((*sizes.next().expect("endless")).min(rest.len()));
            assert!(split.push(Ok(Some(Chunk::Stdout(Bytes::copy_from_slice(piece))))).is_some());
            rest = behind;
            assert!(split.begun[0].len() <= most);
            found.extend(std::iter::from_fn(|| split.pop()));
        }
        let _ = split.push(Ok(None));
        found.extend(std::iter::from_fn(|| split.pop()));
        assert!(split.push(Ok(None)).is_none());
        found
            .into_iter()
            .map(|line| line.expect("no error"))
            .map(|line| (line.bytes.to_vec(), line.is_end))
            .collect()
    }

    #[test]
    fn ends_of_lines_are_taken_off_and_what_has_none_is_told() {
        let ended = |text: &str| (text.as_bytes().to_vec(), true);
        assert_eq!(lines(b"a\n\nb\r\n", &[1], 10), [ended("a"), ended(""), ended("b")]);
        assert_eq!(lines(b"a\nrest", &[3], 10), [ended("a"), (b"rest".to_vec(), false)]);
        assert_eq!(
            lines(b"abcdefg\nh\n", &[100], 3),
            [(b"abc".to_vec(), false), (b"def".to_vec(), false), ended("g"), ended("h")]
        );
        assert_eq!(lines(b"", &[1], 3), []);
    }

    proptest! {
        /// However it arrives and whatever the limit, no byte but those of line ends is lost.
        #[test]
        fn nothing_is_lost(
            text in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'a'), any::<u8>()], 0..300),
            sizes in prop::collection::vec(1..50_usize, 1..5),
            most in 1..40_usize,
        ) {
            let text: Vec<u8> = text.into_iter().filter(|byte| *byte != b'\r').collect();
            let mut whole = Vec::new();
            for (line, is_end) in lines(&text, &sizes, most) {
                prop_assert!(line.len() <= most);
                whole.extend(line);
                whole.extend(is_end.then_some(b'\n'));
            }
            prop_assert_eq!(whole, text);
        }
    }
}
