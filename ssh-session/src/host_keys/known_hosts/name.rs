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
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
    /// Patterns between commas.
    Patterns(&'a str),
}

impl<'a> Hosts<'a> {
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
