//! Host keys that are named by their fingerprints.

use std::fmt;
use std::str::FromStr;

use super::key::{Fingerprint, HostKey, is_key_type};
use crate::SshError;

/// One key that is believed, and its type, if that is known: then the server is asked for a key of
/// that type first, which may not be the one that it prefers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pin {
    algorithm: Option<String>,
    fingerprint: Fingerprint,
}

impl Pin {
    /// The key's type, such as `ssh-ed25519`, if it is known.
    pub fn algorithm(&self) -> Option<&str> {
        self.algorithm.as_deref()
    }

    /// The key's fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub(super) fn is(&self, key: &HostKey) -> bool {
        let of_type = self.algorithm().is_none_or(|algorithm| algorithm == key.algorithm());
        of_type && self.fingerprint == key.fingerprint()
    }
}

impl From<Fingerprint> for Pin {
    fn from(fingerprint: Fingerprint) -> Self {
        Self { algorithm: None, fingerprint }
    }
}

impl From<&HostKey> for Pin {
    fn from(key: &HostKey) -> Self {
        Self { algorithm: Some(key.algorithm().to_owned()), fingerprint: key.fingerprint() }
    }
}

/// `SHA256:…`, or `ssh-ed25519 SHA256:…`, or a public key as its file has it.
impl FromStr for Pin {
    type Err = SshError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || {
            SshError::invalid(
                "fingerprint",
                "is not of the form SHA256:… (ssh-keygen -lf), nor that behind the key's type, nor \
                 a public key",
            )
        };
        let mut words = text.split_whitespace();
        let (Some(first), second) = (words.next(), words.next()) else { return Err(bad()) };
        let Some(second) = second else { return first.parse().map(Fingerprint::into) };
        if second.starts_with("SHA256:") {
            if !is_key_type(first) || words.next().is_some() {
                return Err(bad());
            }
            return Ok(Self { algorithm: Some(first.to_owned()), fingerprint: second.parse()? });
        }
        HostKey::from_text(first, second).map(|key| Self::from(&key)).ok_or_else(bad)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.algorithm {
            Some(algorithm) => write!(f, "{algorithm} {}", self.fingerprint),
            None => self.fingerprint.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pin;

    const PRINT: &str = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const KEY: &str = "ssh-ed25519 \
                       AAAAC3NzaC1lZDI1NTE5AAAAIB6ycwp0SU5hbA0vOm8TXfCFJ2NSoEr4JGJdtCKHKUdH";

    #[test]
    fn pins_are_read_in_each_form() {
        let typed = format!("ssh-rsa {PRINT}");
        for (text, algorithm) in [
            (PRINT, None),
            (&typed, Some("ssh-rsa")),
            (KEY, Some("ssh-ed25519")),
            (&format!("  {KEY} me@here "), Some("ssh-ed25519")),
        ] {
            let pin: Pin = text.parse().expect(text);
            assert_eq!(pin.algorithm(), algorithm, "{text}");
            assert_eq!(pin.to_string().parse::<Pin>().ok(), Some(pin));
        }
        let more = format!("{typed} more");
        let other = KEY.replace("ed25519 ", "rsa ");
        for text in ["", "x", "SHA256:x", "MD5:00", "what SHA256:x", &more, &other, "ssh-rsa AAAA"]
        {
            assert!(text.parse::<Pin>().is_err(), "{text}");
        }
        assert!(format!("rsa {PRINT}").parse::<Pin>().is_err(), "no type of key");
    }
}
