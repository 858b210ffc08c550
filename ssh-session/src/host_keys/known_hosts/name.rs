//! Names of hosts, and how a line's patterns match them.

use base64ct::{Base64, Encoding as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

use crate::pattern::{self, Case};

pub(crate) const DEFAULT_PORT: u16 = 22;

/// The names a host has in the files, in small letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    /// With the port, if it isn't 22.
    pub(super) own: String,
    /// By which it may be known, too, if its own name is not.
    pub(super) without_port: Option<String>,
}

impl Names {
    pub(crate) fn of(host: &str, port: u16) -> Self {
        let host = host.to_ascii_lowercase();
        match port {
            DEFAULT_PORT => Self { own: host, without_port: None },
            port => Self { own: format!("[{host}]:{port}"), without_port: Some(host) },
        }
    }

    /// A name that stands for host and port.
    pub(crate) fn alias(alias: &str) -> Self {
        Self { own: alias.to_ascii_lowercase(), without_port: None }
    }

    /// The name that is recorded.
    pub(crate) fn own(&self) -> &str {
        &self.own
    }

    /// What host certificates must be for.
    pub(crate) fn principal(&self) -> &str {
        self.without_port.as_deref().unwrap_or(&self.own)
    }

    /// Whether the name would stand for itself in a file.
    pub(crate) fn can_be_written(&self) -> bool {
        let name = self.principal();
        let bad = |c: char| "@?*#[]|'\"\\!,".contains(c) || c.is_whitespace() || c.is_control();
        !name.is_empty() && !name.contains(bad)
    }
}

/// What stands in a line for names.
pub(super) enum Hosts<'a> {
    /// `|1|salt|hash`: one name, hashed.
    Hashed { salt: [u8; HASH], hash: [u8; HASH] },
    /// Patterns between commas.
    Patterns(&'a [u8]),
}

impl<'a> Hosts<'a> {
    pub(super) fn parse(text: &'a [u8]) -> Result<Self, &'static str> {
        let Some(hashed) = text.strip_prefix(b"|") else { return Ok(Self::Patterns(text)) };
        let decoded = std::str::from_utf8(hashed).ok().and_then(|hashed| {
            let (salt, hash) = hashed.strip_prefix("1|")?.split_once('|')?;
            Some(Self::Hashed { salt: decode(salt)?, hash: decode(hash)? })
        });
        decoded.ok_or("malformed hashed name")
    }

    pub(super) fn is_about(&self, name: &[u8]) -> bool {
        match self {
            Self::Hashed { salt, hash } => {
                let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(salt) else { return false };
                mac.update(name);
                mac.verify_slice(hash).is_ok()
            }
            Self::Patterns(patterns) => pattern::matches_list(patterns, name, Case::Folded),
        }
    }
}

/// A salt or a hash, which OpenSSH makes of one length.
fn decode(text: &str) -> Option<[u8; HASH]> {
    let mut bytes = [0; HASH];
    Base64::decode(text, &mut bytes).ok().filter(|decoded| decoded.len() == HASH)?;
    Some(bytes)
}

/// A name as `HashKnownHosts` has it recorded; `None` where the system has no randomness.
pub(super) fn hashed(name: &str) -> Option<String> {
    let mut salt = [0; HASH];
    let mut filled = 0;
    while let Some(rest) = salt.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty()).ok()?;
    }
    let mut mac = Hmac::<Sha1>::new_from_slice(&salt).ok()?;
    mac.update(name.as_bytes());
    let hash = mac.finalize().into_bytes();
    Some(format!("|1|{}|{}", Base64::encode_string(&salt), Base64::encode_string(&hash)))
}

/// The bytes of a hash, and of the salt that goes into it.
const HASH: usize = 20;
