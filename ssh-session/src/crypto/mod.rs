//! What may be agreed on with a server: key exchanges, ciphers, MACs, and who may sign by what.
//!
//! One policy for all backends. Each offers what its library has of it, in this order, and what was
//! agreed on is looked at once more behind the key exchange.

mod list;
mod names;
mod offer;
mod rekey;

pub(crate) use list::owned;
pub use names::Algorithms;
use names::Extent;
pub(crate) use names::{OPENSSH_KEYS, OPENSSH_SIGNATURES};
pub use offer::{Lists, Offer, is_aead};
pub use rekey::RekeyLimit;

use crate::SshError;

/// Which algorithms are good enough, best first.
///
/// [`Default`] is at least as strict as OpenSSH's client: no CBC, no SHA-1; the hybrid exchange with
/// a post-quantum half first, AEAD ciphers before others, and of those the one first that this
/// processor does faster; MACs over what is encrypted before those over what is not.
///
/// ```
/// use ssh_session::{Algorithms, Crypto};
///
/// let old_switch = Crypto::default().with(Algorithms::Ciphers, "+aes128-cbc")?;
/// assert!(old_switch.names(Algorithms::Ciphers).last().is_some_and(|name| name == "aes128-cbc"));
/// # Ok::<(), ssh_session::SshError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crypto {
    kex: Vec<String>,
    host_keys: Vec<String>,
    ciphers: Vec<String>,
    macs: Vec<String>,
    ca_signatures: Vec<String>,
    user_keys: Vec<String>,
    min_rsa_bits: u32,
    rekey_limit: RekeyLimit,
}

impl Default for Crypto {
    fn default() -> Self {
        Self::of(Extent::Default, 1024)
    }
}

impl Crypto {
    /// What is new as of 2025: exchanges with a post-quantum half or over curve25519, AEAD ciphers,
    /// RSA keys from 3,072 bits.
    pub fn modern() -> Self {
        Self::of(Extent::Modern, 3072)
    }

    /// As the default, with what old devices need behind it: SHA-1, CBC, groups of 1,024 bits. For
    /// a host that has nothing else, not for all: whoever is in between can make any server choose
    /// the worst that both sides take.
    pub fn compatible() -> Self {
        Self::of(Extent::Compatible, 1024)
    }

    /// The policy of this name: `default`, `modern` or `compatible`.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] for any other.
    pub fn named(name: &str) -> Result<Self, SshError> {
        match name {
            "default" => Ok(Self::default()),
            "modern" => Ok(Self::modern()),
            "compatible" => Ok(Self::compatible()),
            _ => Err(SshError::invalid("crypto", "must be default, modern or compatible")),
        }
    }

    /// Changes one list as `ssh_config(5)` does: names with commas between them take its place;
    /// `+` before them adds them behind it, `^` before it, and `-` removes them, where `*` and `?`
    /// stand for any text and any character.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] for a name that no library here has, and where nothing is left.
    pub fn with(mut self, which: Algorithms, list: &str) -> Result<Self, SshError> {
        let changed = list::changed(which, self.names(which), list)?;
        *self.list(which) = changed;
        Ok(self)
    }

    /// Sets how long RSA keys must be, in bits: 1,024 to 16,384, `RequiredRSASize` of
    /// `ssh_config(5)`. Default 1,024, as OpenSSH's.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] beyond that range.
    pub fn with_min_rsa_bits(mut self, bits: u32) -> Result<Self, SshError> {
        if !(1024..=16_384).contains(&bits) {
            return Err(SshError::invalid("min_rsa_bits", "must be 1024 to 16384"));
        }
        self.min_rsa_bits = bits;
        Ok(self)
    }

    /// The same as [`with`](Self::with), for a list of `ssh_config(5)`: names that `ssh` knows and
    /// no library here has are passed over, as long as something is left.
    pub(crate) fn with_configured(self, which: Algorithms, list: &str) -> Result<Self, SshError> {
        let list = list::without_absent(which, list);
        match list.map_err(|problem| SshError::invalid(which.field(), problem))? {
            Some(list) => self.with(which, &list),
            None => Ok(self),
        }
    }

    /// Sets how often keys are agreed on anew: `RekeyLimit` of `ssh_config(5)`.
    #[must_use]
    pub fn with_rekey_limit(mut self, limit: RekeyLimit) -> Self {
        self.rekey_limit = limit;
        self
    }

    /// How often keys are agreed on anew.
    pub fn rekey_limit(&self) -> RekeyLimit {
        self.rekey_limit
    }

    /// Whether a key of ours may be sent to log in: of its public half or its certificate, in wire
    /// format, the type as it is written there.
    pub(crate) fn may_log_in_with(&self, key_type: &str) -> bool {
        let has = |name: &str| self.has(Algorithms::UserKeys, name);
        match key_type {
            "ssh-rsa" => has("rsa-sha2-512") || has("rsa-sha2-256"),
            "ssh-rsa-cert-v01@openssh.com" => {
                has("rsa-sha2-512-cert-v01@openssh.com") || has("rsa-sha2-256-cert-v01@openssh.com")
            }
            other => has(other),
        }
    }

    /// One list, best first.
    pub fn names(&self, which: Algorithms) -> &[String] {
        match which {
            Algorithms::KeyExchange => &self.kex,
            Algorithms::HostKeys => &self.host_keys,
            Algorithms::Ciphers => &self.ciphers,
            Algorithms::Macs => &self.macs,
            Algorithms::CaSignatures => &self.ca_signatures,
            Algorithms::UserKeys => &self.user_keys,
        }
    }

    /// How long RSA keys must be, in bits.
    pub fn min_rsa_bits(&self) -> u32 {
        self.min_rsa_bits
    }

    /// Whether this policy has a name in one of its lists.
    pub fn has(&self, which: Algorithms, name: &str) -> bool {
        self.names(which).iter().any(|known| known == name)
    }

    /// What is to be offered by a library that has these.
    pub fn offered(&self, which: Algorithms, library: impl Fn(&str) -> bool) -> Vec<String> {
        self.names(which).iter().filter(|name| library(name)).cloned().collect()
    }

    /// What is known here and a library has not.
    pub fn lacking(which: Algorithms, library: impl Fn(&str) -> bool) -> Vec<String> {
        let all = Self::compatible();
        all.names(which).iter().filter(|name| !library(name)).cloned().collect()
    }

    fn of(extent: Extent, min_rsa_bits: u32) -> Self {
        let names = Algorithms::ALL.map(|which| owned(&names::names(which, extent)));
        let [kex, host_keys, ciphers, macs, ca_signatures, user_keys] = names;
        let ciphers = list::fastest_first(ciphers);
        let rekey_limit = RekeyLimit::default();
        Self { kex, host_keys, ciphers, macs, ca_signatures, user_keys, min_rsa_bits, rekey_limit }
    }

    fn list(&mut self, which: Algorithms) -> &mut Vec<String> {
        match which {
            Algorithms::KeyExchange => &mut self.kex,
            Algorithms::HostKeys => &mut self.host_keys,
            Algorithms::Ciphers => &mut self.ciphers,
            Algorithms::Macs => &mut self.macs,
            Algorithms::CaSignatures => &mut self.ca_signatures,
            Algorithms::UserKeys => &mut self.user_keys,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Algorithms, Crypto};

    const ALL: [Algorithms; 6] = Algorithms::ALL;

    #[test]
    fn only_the_compatible_policy_has_sha1_cbc_and_small_groups() {
        let weak =
            |name: &String| name.contains("sha1") || name.contains("cbc") || name == "ssh-rsa";
        for which in ALL {
            for policy in [Crypto::default(), Crypto::modern()] {
                assert!(!policy.names(which).iter().any(weak), "{which:?}");
                assert!(!policy.names(which).is_empty());
            }
        }
        for which in [Algorithms::KeyExchange, Algorithms::Ciphers, Algorithms::Macs] {
            let compatible = Crypto::compatible();
            let names = compatible.names(which);
            assert!(names.iter().any(weak), "{which:?}");
            let first_weak = names.iter().position(weak).expect("one");
            assert!(names[first_weak..].iter().all(weak), "the weak come last: {names:?}");
        }
    }

    #[test]
    fn the_modern_policy_is_a_part_of_the_default_and_that_of_the_compatible() {
        for which in ALL {
            let (modern, usual) = (Crypto::modern(), Crypto::default());
            assert!(modern.names(which).iter().all(|name| usual.has(which, name)));
            let compatible = Crypto::compatible();
            assert!(usual.names(which).iter().all(|name| compatible.has(which, name)));
        }
    }

    #[test]
    fn post_quantum_aead_and_encrypt_then_mac_come_first() {
        let policy = Crypto::default();
        assert!(policy.names(Algorithms::KeyExchange)[0].starts_with("mlkem768"));
        let ciphers = policy.names(Algorithms::Ciphers);
        let is_aead = |name: &String| name.contains("gcm") || name.contains("poly1305");
        assert!(ciphers.is_sorted_by_key(|name| !is_aead(name)), "{ciphers:?}");
        assert!(policy.names(Algorithms::Macs).is_sorted_by_key(|name| !name.contains("etm")));
    }

    #[test]
    fn lists_are_changed_as_ssh_config_does() {
        let policy = Crypto::default();
        let changed = |list: &str| {
            policy.clone().with(Algorithms::Ciphers, list).map(|policy| policy.ciphers)
        };
        assert_eq!(changed("aes128-ctr, aes256-ctr").expect("two"), ["aes128-ctr", "aes256-ctr"]);
        assert_eq!(changed("+aes128-cbc").expect("more").last().expect("one"), "aes128-cbc");
        assert_eq!(changed("^aes192-ctr").expect("same").first().expect("one"), "aes192-ctr");
        assert_eq!(changed("^aes192-ctr").expect("same").len(), policy.ciphers.len());
        assert_eq!(changed("+aes128-ctr").expect("same"), policy.ciphers, "it was there");
        assert!(changed("-*-ctr").expect("less").iter().all(|name| !name.ends_with("ctr")));
        assert_eq!(changed("-nothing*").expect("same"), policy.ciphers);
        for wrong in ["", "+", "-*", "aes128", "aes128-ctr,", "hmac-sha1", "none", "aes*"] {
            let error = changed(wrong).expect_err(wrong);
            assert!(error.to_string().contains("ciphers"), "{error}");
        }
    }

    #[test]
    fn lists_of_keys_may_name_several_at_once() {
        let keys = |list: &str| {
            let policy = Crypto::default().with(Algorithms::UserKeys, list).expect(list);
            policy.names(Algorithms::UserKeys).to_vec()
        };
        assert_eq!(
            keys("rsa-sha2-???,ssh-ed25519"),
            ["rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519"]
        );
        assert_eq!(
            keys("^rsa-sha2-256")[..2],
            ["rsa-sha2-256", "ssh-ed25519-cert-v01@openssh.com"]
        );
        assert!(Crypto::default().with(Algorithms::UserKeys, "what*").is_err());
    }

    #[test]
    fn a_configuration_may_name_what_no_library_here_has_beside_what_one_has() {
        let macs = |list: &str| {
            let policy = Crypto::default().with_configured(Algorithms::Macs, list);
            policy.map(|policy| policy.macs)
        };
        assert_eq!(macs("umac-64-etm@openssh.com,hmac-sha2-256").expect("one"), ["hmac-sha2-256"]);
        assert_eq!(macs("+umac-128@openssh.com").expect("as it was"), Crypto::default().macs);
        assert!(macs("umac-64@openssh.com").is_err(), "nothing is left");
        assert!(macs("hmac-sha3").is_err() && macs("hmac-sha2-256,").is_err());
        assert!(Crypto::default().with(Algorithms::Macs, "umac-64@openssh.com").is_err());
    }

    #[test]
    fn keys_are_sent_by_their_types_and_rsa_keys_by_either_hash() {
        let policy = |list| Crypto::default().with(Algorithms::UserKeys, list).expect(list);
        assert!(Crypto::default().may_log_in_with("ssh-rsa"));
        assert!(!Crypto::default().may_log_in_with("ssh-dss"));
        assert!(policy("rsa-sha2-256").may_log_in_with("ssh-rsa"));
        assert!(!policy("rsa-sha2-256").may_log_in_with("ssh-rsa-cert-v01@openssh.com"));
        assert!(!policy("-rsa-*").may_log_in_with("ssh-rsa"));
        assert!(!policy("ssh-ed25519").may_log_in_with("ssh-ed25519-cert-v01@openssh.com"));
    }
}
