//! What a shell wrote and nobody has taken yet.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::{Pattern, ReadUntil};
use crate::{Chunk, Kind, SshError};

/// What a shell wrote and nobody has taken yet. Without a terminal both of its streams are in it, in
/// the order in which they came.
pub struct Buffer {
    bytes: BytesMut,
    most: usize,
    ended: bool,
    failed: Option<SshError>,
}

/// A match, and what came before it.
#[derive(Clone, PartialEq, Eq)]
pub struct Match {
    bytes: Bytes,
    /// Where the match and its groups are.
    groups: Vec<Option<Range<usize>>>,
}

impl Buffer {
    /// For so many bytes, and one piece more.
    pub fn new(most: usize) -> Self {
        Self { bytes: BytesMut::new(), most, ended: false, failed: None }
    }

    /// What is in it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Notes that a shell could not be sent something: where time ran out, it may have been sent in
    /// part, and nothing that is sent or read behind it makes sense.
    pub fn sending_failed(&mut self, error: &SshError) {
        if error.kind() == Kind::Timeout {
            self.failed.get_or_insert(error.clone());
        }
    }

    /// Takes all that is in it: what a reader is told who reads anything. Empty where nothing came,
    /// `None` where nothing will.
    ///
    /// # Errors
    ///
    /// That of reading.
    pub fn taken(&mut self, read: Result<ReadUntil, SshError>) -> Result<Option<Bytes>, SshError> {
        let ended = matches!(read?, ReadUntil::Ended);
        let all = self.bytes.split().freeze();
        Ok((!all.is_empty() || !ended).then_some(all))
    }

    pub(super) fn push(&mut self, read: Result<Option<Chunk>, SshError>) {
        match read {
            Ok(Some(chunk)) => self.bytes.extend_from_slice(chunk.bytes()),
            Ok(None) => self.ended = true,
            Err(error) => self.failed = Some(error),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= self.most
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(super) fn failed(&self) -> Option<&SshError> {
        self.failed.as_ref()
    }

    /// Cuts off the first match with what is before it, if there is one; in the first `searched`
    /// bytes there was none.
    pub(super) fn find(&mut self, pattern: &Pattern, searched: &mut usize) -> Option<Match> {
        let from = pattern.resume(*searched);
        *searched = self.bytes.len();
        let captures = pattern.expression().captures_at(&self.bytes, from)?;
        let groups: Vec<_> =
            captures.iter().map(|group| group.map(|group| group.range())).collect();
        let end = groups.first()?.as_ref()?.end;
        Some(Match { bytes: self.bytes.split_to(end).freeze(), groups })
    }
}

impl Match {
    /// What came before the match.
    pub fn before(&self) -> &[u8] {
        &self.bytes[..self.range(0).map_or(0, |range| range.start)]
    }

    /// What came before the match as text, with `U+FFFD` for what is not UTF-8.
    pub fn before_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.before())
    }

    /// The match.
    pub fn matched(&self) -> &[u8] {
        self.group(0).unwrap_or_default()
    }

    /// A group of the expression, by its number from 1; `None` where it has no part in the match.
    pub fn group(&self, number: usize) -> Option<&[u8]> {
        self.range(number).and_then(|range| self.bytes.get(range))
    }

    /// All that came, to the end of the match.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    fn range(&self, number: usize) -> Option<Range<usize>> {
        self.groups.get(number).cloned().flatten()
    }
}

/// Sizes only, as of all that shells write.
impl fmt::Debug for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Match({} bytes, {} before it)", self.matched().len(), self.before().len())
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes, ended: {})", self.bytes.len(), self.ended)
    }
}
