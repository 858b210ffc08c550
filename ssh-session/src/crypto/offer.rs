//! What we offer one server, what it offers, and what both come to.

use super::{Algorithms, Crypto, names};
use crate::opening::Opening;
use crate::printable;

/// What the names of certificates' algorithms end in.
const CERTIFICATE: &str = "-cert-v01@openssh.com";

/// What is offered to a server: the part of a policy that the library has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Offer {
    /// Key exchanges.
    pub kex: Vec<String>,
    /// Host key algorithms, those of certificates among them.
    pub host_keys: Vec<String>,
    /// Ciphers, the same in both directions.
    pub ciphers: Vec<String>,
    /// MACs, the same in both directions.
    pub macs: Vec<String>,
    /// What the library has not, though it is known here.
    pub lacking: Vec<String>,
}

/// What a server offers, as far as it matters here (RFC 4253, 7.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lists {
    /// Key exchanges.
    pub kex: Vec<String>,
    /// Host key algorithms.
    pub host_keys: Vec<String>,
    /// Ciphers, from us to it and from it to us.
    pub ciphers: [Vec<String>; 2],
    /// MACs, from us to it and from it to us.
    pub macs: [Vec<String>; 2],
}

impl Offer {
    /// What both have, or in words why there is nothing, and what could be set.
    ///
    /// # Errors
    ///
    /// The first thing that there is none of in common.
    pub fn compare(&self, server: &Lists) -> Result<(), String> {
        self.common(Algorithms::KeyExchange, &self.kex, &server.kex)?;
        self.common(Algorithms::HostKeys, &self.host_keys, &server.host_keys)?;
        for (ciphers, macs) in server.ciphers.iter().zip(&server.macs) {
            let cipher = self.common(Algorithms::Ciphers, &self.ciphers, ciphers)?;
            if !is_aead(cipher) {
                self.common(Algorithms::Macs, &self.macs, macs)?;
            }
        }
        Ok(())
    }

    /// The cipher by which the server encrypts, and the MAC with it, if it needs one.
    pub fn from_server(&self, server: &Lists) -> Option<(&str, Option<&str>)> {
        let cipher = first_of(&self.ciphers, &server.ciphers[1])?;
        if is_aead(cipher) {
            return Some((cipher, None));
        }
        Some((cipher, Some(first_of(&self.macs, &server.macs[1])?)))
    }

    fn common<'a>(
        &self,
        which: Algorithms,
        ours: &'a [String],
        theirs: &[String],
    ) -> Result<&'a str, String> {
        first_of(ours, theirs).ok_or_else(|| {
            let known = theirs.iter().filter(|name| names::is_known(which, name));
            let (lacking, usable): (Vec<&String>, Vec<&String>) =
                known.partition(|name| self.lacking.contains(name));
            let what_to_do = match (usable.first(), lacking.first()) {
                (Some(name), _) => format!(
                    "if you must, set {} to \"+{name}\", or take the policy `compatible`",
                    which.field()
                ),
                (None, Some(name)) => {
                    format!("the library in use has no {name}, but the other one has")
                }
                (None, None) => "none of these is known here".to_owned(),
            };
            format!(
                "no {} in common: we offer {}; the server takes {}; {what_to_do}",
                which.one(),
                ours.join(","),
                printable(theirs.join(",").as_bytes()),
            )
        })
    }

    /// Whether a server has signed the key exchange by the algorithm that was agreed on for that,
    /// as far as its opening shows.
    ///
    /// # Errors
    ///
    /// In words, where it has not.
    pub fn check_signature(&self, opening: &Opening) -> Result<(), String> {
        let (Some(lists), Some(signed)) = (opening.lists(), opening.signature()) else {
            return Ok(());
        };
        let agreed = first_of(&self.host_keys, &lists.host_keys).unwrap_or("nothing");
        let agreed = agreed.strip_suffix(CERTIFICATE).unwrap_or(agreed);
        if signed == agreed {
            return Ok(());
        }
        let signed = printable(signed.as_bytes());
        Err(format!("the server signed by {signed}, though {agreed} was agreed on"))
    }
}

impl Crypto {
    /// Looks once more at what a library says it agreed on.
    ///
    /// # Errors
    ///
    /// In words, where that is not in this policy.
    pub fn check_agreed(&self, which: Algorithms, name: &str) -> Result<(), String> {
        if self.has(which, name) {
            return Ok(());
        }
        let name = printable(name.as_bytes());
        Err(format!("{name} was agreed on as {}, which was not offered", which.one()))
    }
}

/// Whether a cipher authenticates by itself, and so has no MAC beside it.
pub fn is_aead(cipher: &str) -> bool {
    cipher.ends_with("-gcm@openssh.com") || cipher == "chacha20-poly1305@openssh.com"
}

/// The client's first that the server has, too (RFC 4253, 7.1).
fn first_of<'a>(ours: &'a [String], theirs: &[String]) -> Option<&'a str> {
    ours.iter().find(|name| theirs.contains(name)).map(String::as_str)
}
