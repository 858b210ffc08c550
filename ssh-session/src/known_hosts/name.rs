//! Names of hosts and how a line's patterns match them.

use base64ct::{Base64, Encoding as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

use crate::pattern::{self, Case};

pub(crate) const DEFAULT_PORT: u16 = 22;

/// The name a host has in the files: in small letters, with the port if it isn't 22.
pub(super) fn of(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == DEFAULT_PORT { host } else { format!("[{host}]:{port}") }
}

/// The names of one line.
pub(super) enum Names<'a> {
    /// `|1|salt|hash`: one name, hashed.
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
    /// Patterns between commas.
    Patterns(&'a str),
}

impl<'a> Names<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, &'static str> {
        let Some(hashed) = text.strip_prefix('|') else { return Ok(Self::Patterns(text)) };
        let decoded = hashed.strip_prefix("1|").and_then(|rest| rest.split_once('|')).and_then(
            |(salt, hash)| Some((Base64::decode_vec(salt).ok()?, Base64::decode_vec(hash).ok()?)),
        );
        match decoded {
            Some((salt, hash)) if hash.len() == 20 => Ok(Self::Hashed { salt, hash }),
            _ => Err("malformed hashed name"),
        }
    }

    pub(super) fn is_about(&self, name: &str) -> bool {
        match self {
            Self::Hashed { salt, hash } => {
                let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(salt) else { return false };
                mac.update(name.as_bytes());
                mac.verify_slice(hash).is_ok()
            }
            Self::Patterns(patterns) => pattern::matches_list(patterns, name, Case::Folded),
        }
    }
}
