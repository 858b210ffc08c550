//! What the side that sends says.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use bytes::{Buf as _, Bytes, BytesMut};

use crate::printable;

/// The longest line that is taken, in bytes: a name has 255 on most systems.
pub const MAX_LINE: usize = 4096;

/// Reads what the side that sends says.
#[derive(Debug, Default)]
pub struct Source {
    unread: BytesMut,
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Line,
    /// So many bytes of a file are to come.
    Content(u64),
    /// Whether the file was read whole is to come.
    Behind,
}

/// Something that it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Nothing whole as yet: more is to be [given](Source::give).
    Incomplete,
    /// The times of what comes next: of its change and of its last reading, in seconds since 1970.
    Times(u64, u64),
    /// A directory is begun. The name leads nowhere else: it has no `/` and no NUL, and is not `.` or
    /// `..`.
    Directory {
        /// `0o777` of its permissions.
        mode: u32,
        /// Its name.
        name: OsString,
    },
    /// A directory is done.
    Leave,
    /// A file is begun, of which exactly so many bytes come.
    File {
        /// `0o777` of its permissions.
        mode: u32,
        /// In bytes.
        size: u64,
        /// Its name, as of a directory.
        name: OsString,
    },
    /// A piece of the file, never empty.
    Content(Bytes),
    /// All of the file has come; why it is not what it should be, where something went wrong.
    Complete(Option<String>),
    /// Something could not be sent, and the rest is.
    Warning(String),
    /// It sends nothing more.
    Fatal(String),
}

impl Source {
    /// Takes in what has come. To be called when nothing whole is left: what it keeps then is one line
    /// at most, and this.
    pub fn give(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// The next of what it said.
    ///
    /// # Errors
    ///
    /// What no `scp` says, in words; nothing that comes behind it makes sense.
    pub fn read(&mut self) -> Result<Said, String> {
        match self.state {
            State::Content(0) => self.state = State::Behind,
            State::Content(_) if self.unread.is_empty() => return Ok(Said::Incomplete),
            State::Content(left) => {
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(self.unread.len());
                self.state = State::Content(left - count as u64);
                return Ok(Said::Content(self.unread.split_to(count).freeze()));
            }
            State::Line | State::Behind => {}
        }
        if self.state == State::Behind && self.unread.first() == Some(&0) {
            self.unread.advance(1);
            self.state = State::Line;
            return Ok(Said::Complete(None));
        }
        let Some(end) = self.unread.iter().take(MAX_LINE).position(|byte| *byte == b'\n') else {
            return match self.unread.len() < MAX_LINE {
                true => Ok(Said::Incomplete),
                false => Err("it sends a line that is too long".into()),
            };
        };
        let line = self.unread.split_to(end + 1);
        let line = &line[..end];
        if self.state == State::Behind {
            self.state = State::Line;
            return match line {
                [1 | 2, text @ ..] => Ok(Said::Complete(Some(printable(text)))),
                _ => Err("a file does not end where it said".into()),
            };
        }
        let said = match line {
            [1, text @ ..] => Said::Warning(printable(text)),
            [2, text @ ..] => Said::Fatal(printable(text)),
            [b'E'] => Said::Leave,
            [b'T', rest @ ..] => times(rest).ok_or("it sends times that are none")?,
            [b'D', rest @ ..] => {
                let (mode, _, name) = entry(rest)?;
                Said::Directory { mode, name }
            }
            [b'C', rest @ ..] => {
                let (mode, size, name) = entry(rest)?;
                self.state = State::Content(size);
                Said::File { mode, size, name }
            }
            _ => return Err(format!("it says {:?}", printable(line))),
        };
        Ok(said)
    }

    /// Whether it may end here.
    pub fn is_between(&self) -> bool {
        self.state == State::Line && self.unread.is_empty()
    }
}

/// `MTIME 0 ATIME 0`.
fn times(line: &[u8]) -> Option<Said> {
    let mut fields = line.split(|byte| *byte == b' ').map(number);
    let (changed, _, read, _) =
        (fields.next()??, fields.next()??, fields.next()??, fields.next()??);
    fields.next().is_none().then_some(Said::Times(changed, read))
}

/// `MODE SIZE NAME`.
fn entry(line: &[u8]) -> Result<(u32, u64, OsString), String> {
    let mut fields = line.splitn(3, |byte| *byte == b' ');
    let mut next = || fields.next().unwrap_or_default();
    let (mode, size, name) = (next(), next(), next());
    let octal = mode.len() == 4 && mode.iter().all(|byte| (b'0'..=b'7').contains(byte));
    if !octal {
        return Err("it sends a mode that is none".into());
    }
    let mode = mode.iter().fold(0, |mode, byte| mode * 8 + u32::from(byte - b'0')) & 0o777;
    let size = number(size).filter(|size| i64::try_from(*size).is_ok());
    let size = size.ok_or("it sends a size that is none")?;
    if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0)
    {
        return Err(format!("it sends the name {:?}, which leads elsewhere", printable(name)));
    }
    Ok((mode, size, OsString::from_vec(name.to_vec())))
}

/// A decimal number without sign or blanks.
fn number(field: &[u8]) -> Option<u64> {
    let digits = !field.is_empty() && field.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(field).ok().filter(|_| digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{MAX_LINE, Said, Source};

    /// All that is said in these bytes, pieces of content put together, and how it ends.
    fn read(bytes: &[u8], size: usize) -> (Vec<Said>, Result<bool, String>) {
        let (mut source, mut said) = (Source::default(), Vec::new());
        let mut pieces = bytes.chunks(size.max(1));
        loop {
            match source.read() {
                Ok(Said::Incomplete) => match pieces.next() {
                    Some(piece) => source.give(piece),
                    None => return (said, Ok(source.is_between())),
                },
                Ok(Said::Content(bytes)) => {
                    assert!(!bytes.is_empty());
                    match said.last_mut() {
                        Some(Said::Content(before)) => {
                            *before = [&before[..], &bytes].concat().into();
                        }
                        _ => said.push(Said::Content(bytes)),
                    }
                }
                Ok(other) => said.push(other),
                Err(error) => return (said, Err(error)),
            }
        }
    }

    #[test]
    fn a_tree_is_read_however_it_arrives() {
        let bytes =
            b"T1700000000 0 1600000000 0\nD0755 0 a dir\nC4755 5 f\nhello\0C0600 0 empty\n\0\
            \x01scp: x: Permission denied\nE\n";
        for size in [1, 3, 1000] {
            let (said, end) = read(bytes, size);
            assert_eq!(end, Ok(true));
            let file = |mode, size, name: &str| Said::File { mode, size, name: name.into() };
            assert_eq!(
                said,
                [
                    Said::Times(1_700_000_000, 1_600_000_000),
                    Said::Directory { mode: 0o755, name: "a dir".into() },
                    file(0o755, 5, "f"),
                    Said::Content("hello".into()),
                    Said::Complete(None),
                    file(0o600, 0, "empty"),
                    Said::Complete(None),
                    Said::Warning("scp: x: Permission denied".into()),
                    Said::Leave,
                ]
            );
        }
    }

    #[test]
    fn names_that_lead_elsewhere_and_numbers_that_are_none_are_refused() {
        for line in [
            "C0644 1 ../x\n",
            "C0644 1 /etc/x\n",
            "C0644 1 ..\n",
            "C0644 1 .\n",
            "C0644 1 \n",
            "C0644 1 a\0b\n",
            "D0755 0 ..\n",
            "D0755 0 a/b\n",
            "C644 1 x\n",
            "C0648 1 x\n",
            "C0644 -1 x\n",
            "C0644 1e9 x\n",
            "C0644 99999999999999999999 x\n",
            "C0644 9223372036854775808 x\n",
            "C0644  x\n",
            "T1 0 2\n",
            "T1 0 2 0 0\n",
            "Tx 0 2 0\n",
            "hello\n",
            "\n",
            "C0644 1 x\nab\n",
            "C0644 0 x\n\x03\n",
        ] {
            assert!(read(line.as_bytes(), 7).1.is_err(), "{line:?}");
        }
        assert!(read(&[b'C'; MAX_LINE], 100).1.is_err(), "a line without end");
        assert_eq!(read(b"C0644 5 f\nhell", 2).1, Ok(false), "cut in the middle");
        assert_eq!(read(b"C0644 5 f\nhello", 2).1, Ok(false), "cut before its end was told");
    }

    proptest! {
        #[test]
        fn anything_is_read_the_same_in_pieces_and_no_file_is_longer_than_it_said(
            bytes in prop::collection::vec(prop::sample::select(b"CDTE01 79\n\0\x01\x02a./".to_vec()), 0..300),
            size in 1_usize..40,
        ) {
            let whole = read(&bytes, bytes.len());
            prop_assert_eq!(&read(&bytes, size), &whole);
            let mut room = 0;
            for said in &whole.0 {
                match said {
                    Said::File { size, .. } => room = *size,
                    Said::Content(content) => prop_assert!(content.len() as u64 <= room),
                    _ => {}
                }
            }
        }
    }
}
