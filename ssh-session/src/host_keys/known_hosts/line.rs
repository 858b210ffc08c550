//! One line of a file: whom it is about first, its key only where that is asked for.

use std::ops::Range;

use super::hashed::Hashed;
use crate::HostKey;
use crate::pattern::{self, Case};

/// What a line's key is marked as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    CertAuthority,
    Revoked,
}

/// A line that says something, as places in its text. Bytes, since whatever a pattern holds that is
/// no text must not hide what is revoked.
#[derive(Debug)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: usize,
    pub(super) marker: Option<Marker>,
    hosts: Range<usize>,
    end: usize,
}

impl Line {
    /// The line at this place of a text; `None` for an empty one or a comment; what is wrong, if it
    /// makes no sense.
    pub(super) fn find(
        text: &[u8],
        place: Range<usize>,
        number: usize,
    ) -> Result<Option<Self>, &'static str> {
        let line = text.get(place.clone()).unwrap_or_default();
        let mut fields = fields(line);
        let Some(mut first) = fields.next() else { return Ok(None) };
        if line.get(first.start) == Some(&b'#') {
            return Ok(None);
        }
        let marker = match &line[first.clone()] {
            b"@cert-authority" => Some(Marker::CertAuthority),
            b"@revoked" => Some(Marker::Revoked),
            [b'@', ..] => return Err("unknown marker"),
            _ => None,
        };
        if marker.is_some() {
            first = fields.next().ok_or("no host names after the marker")?;
        }
        let hosts = place.start + first.start..place.start + first.end;
        Ok(Some(Self { number, marker, hosts, end: place.end }))
    }

    /// The line's name where it stands there hashed; `None` for patterns.
    pub(super) fn hashed(&self, text: &[u8]) -> Result<Option<Hashed>, &'static str> {
        match self.hosts(text) {
            hosts @ [b'|', ..] => Hashed::parse(hosts).map(Some),
            _ => Ok(None),
        }
    }

    /// Whether the line's patterns match a name in small letters.
    pub(super) fn matches(&self, text: &[u8], name: &[u8]) -> bool {
        pattern::matches_list(self.hosts(text), name, Case::Folded)
    }

    /// Whether its names stand for one host, so that what is known of it may be added to.
    pub(super) fn is_of_one_host(&self, text: &[u8]) -> bool {
        let hosts = self.hosts(text);
        let commas = hosts.iter().filter(|byte| **byte == b',').count();
        commas <= 1 && !hosts.iter().any(|byte| matches!(byte, b'*' | b'?' | b'!'))
    }

    fn hosts<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        text.get(self.hosts.clone()).unwrap_or_default()
    }

    /// The line's key.
    pub(super) fn key(&self, text: &[u8]) -> Result<HostKey, &'static str> {
        let rest = text.get(self.hosts.end..self.end).unwrap_or_default();
        let mut fields = fields(rest).map(|field| std::str::from_utf8(&rest[field]));
        let (Some(algorithm), Some(base64)) = (fields.next(), fields.next()) else {
            return Err("no key");
        };
        let text = algorithm.and_then(|algorithm| Ok((algorithm, base64?)));
        let key = text.ok().and_then(|(algorithm, base64)| HostKey::from_text(algorithm, base64));
        key.ok_or("malformed or unknown key")
    }
}

/// The places of what is between blanks.
fn fields(line: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = line.get(at..)?;
        let start = at + rest.iter().position(|byte| !is_blank(byte))?;
        let length = line[start..].iter().position(is_blank);
        at = length.map_or(line.len(), |length| start + length);
        Some(start..at)
    })
}
