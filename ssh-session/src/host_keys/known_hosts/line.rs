//! One line of a file.

use super::name::Hosts;
use crate::HostKey;

/// What a line's key is marked as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    CertAuthority,
    Revoked,
}

pub(super) struct Line<'a> {
    pub(super) marker: Option<Marker>,
    pub(super) key: HostKey,
    hosts: Hosts<'a>,
}

impl<'a> Line<'a> {
    /// `None` for an empty line or a comment; what is wrong, if the line makes no sense.
    pub(super) fn parse(text: &'a [u8]) -> Result<Option<Self>, &'static str> {
        let blank: &[char] = &[' ', '\t', '\r'];
        let text = text.trim_ascii_start();
        if text.is_empty() || text[0] == b'#' {
            return Ok(None);
        }
        // Comments may hold anything; the fields before them are ASCII.
        let valid = match std::str::from_utf8(text) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&text[..error.valid_up_to()]).unwrap_or_default(),
        };
        let mut fields = valid.split(blank).filter(|field| !field.is_empty());
        let mut first = fields.next().ok_or("not text")?;
        let marker = match first {
            "@cert-authority" => Some(Marker::CertAuthority),
            "@revoked" => Some(Marker::Revoked),
            other if other.starts_with('@') => return Err("unknown marker"),
            _ => None,
        };
        if marker.is_some() {
            first = fields.next().ok_or("no host names after the marker")?;
        }
        let (Some(algorithm), Some(base64)) = (fields.next(), fields.next()) else {
            return Err("no key");
        };
        let key = HostKey::from_text(algorithm, base64).ok_or("malformed or unknown key")?;
        Ok(Some(Self { marker, key, hosts: Hosts::parse(first)? }))
    }

    pub(super) fn is_about(&self, name: &str) -> bool {
        self.hosts.is_about(name)
    }
}
