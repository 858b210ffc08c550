//! Names that a file holds as hashes only (`HashKnownHosts`): HMAC-SHA1 with a salt of its own each.

use base64ct::{Base64, Encoding as _};
use hmac::block_api::HmacCore;
use hmac::digest::Output;
use hmac::digest::block_api::{Buffer, FixedOutputCore as _, UpdateCore as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

/// The bytes of a hash, and of the salt that goes into it: OpenSSH makes them of one length.
const LENGTH: usize = 20;

/// A hashed name, ready to be compared: the salt is hashed once, when the file is read, which is
/// half of what a comparison costs.
pub(super) struct Hashed {
    salted: HmacCore<Sha1>,
    hash: [u8; LENGTH],
}

impl Hashed {
    /// `|1|salt|hash`.
    pub(super) fn parse(text: &[u8]) -> Result<Self, &'static str> {
        let parsed = || {
            let text = std::str::from_utf8(text).ok()?;
            let (salt, hash) = text.strip_prefix("|1|")?.split_once('|')?;
            let salted = HmacCore::new_from_slice(&decode(salt)?).ok()?;
            Some(Self { salted, hash: decode(hash)? })
        };
        parsed().ok_or("malformed hashed name")
    }

    pub(super) fn is(&self, name: &[u8]) -> bool {
        let mut core = self.salted.clone();
        let mut rest = Buffer::<HmacCore<Sha1>>::default();
        rest.digest_blocks(name, |blocks| core.update_blocks(blocks));
        let mut hash = Output::<HmacCore<Sha1>>::default();
        core.finalize_fixed_core(&mut rest, &mut hash);
        // Whoever could time this has the file: it is compared as any name is.
        hash[..] == self.hash
    }
}

fn decode(text: &str) -> Option<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    Base64::decode(text, &mut bytes).ok().filter(|decoded| decoded.len() == LENGTH)?;
    Some(bytes)
}

/// A name as `HashKnownHosts` has it recorded; `None` where the system has no randomness.
pub(super) fn hashed(name: &str) -> Option<String> {
    let mut salt = [0; LENGTH];
    let mut filled = 0;
    while let Some(rest) = salt.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty()).ok()?;
    }
    let mut mac = Hmac::<Sha1>::new_from_slice(&salt).ok()?;
    mac.update(name.as_bytes());
    let hash = mac.finalize().into_bytes();
    Some(format!("|1|{}|{}", Base64::encode_string(&salt), Base64::encode_string(&hash)))
}

#[cfg(test)]
mod tests {
    use super::{Hashed, hashed};

    #[test]
    fn names_of_any_length_are_known_again_and_no_others() {
        // Around the lengths at which a hash takes one block more.
        for length in [1, 20, 54, 55, 56, 63, 64, 65, 119, 120, 128, 253] {
            let name = "h".repeat(length);
            let line = hashed(&name).expect("randomness");
            let known = Hashed::parse(line.as_bytes()).expect("well formed");
            assert!(known.is(name.as_bytes()), "{length}");
            assert!(!known.is(format!("{name}h").as_bytes()) && !known.is(&name.as_bytes()[1..]));
        }
    }

    #[test]
    fn what_is_no_hashed_name_is_refused() {
        let good = hashed("h").expect("randomness");
        let short = good.replacen("=|", "|", 1);
        for bad in ["|", "|1|", "|1|x|y", "|2|x|y", short.as_str(), &good[..good.len() - 4], "h"] {
            assert!(Hashed::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
