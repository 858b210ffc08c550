//! Names of algorithms: which host keys are asked for, and who may sign their certificates.

use std::fmt;

use crate::crypto::{OPENSSH_KEYS, OPENSSH_SIGNATURES, owned};
use crate::pattern::{self, Case};
use crate::{Algorithms, Crypto, SshError};

/// What the names of certificates' algorithms end in.
const CERTIFICATE: &str = "-cert-v01@openssh.com";

/// What else may be asked for by name.
const MORE_HOST_KEYS: [&str; 4] =
    ["ssh-rsa", "ssh-rsa-cert-v01@openssh.com", "ssh-dss", "ssh-dss-cert-v01@openssh.com"];

/// What else may be allowed by name.
const MORE_SIGNATURES: [&str; 1] = ["ssh-rsa"];

/// Host key algorithms, best first: `HostKeyAlgorithms` of `ssh_config(5)`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HostKeyAlgorithms {
    names: Vec<String>,
    /// Whether types of keys that the host is known by go before others.
    known_first: bool,
}

/// Algorithms by which an authority may sign a host's certificate: `CASignatureAlgorithms` of
/// `ssh_config(5)`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SignatureAlgorithms(Vec<String>);

/// OpenSSH's. Types of keys that the host is known by go first: a server that is asked for another
/// type presents a key that looks changed.
impl Default for HostKeyAlgorithms {
    fn default() -> Self {
        Self { names: owned(&OPENSSH_KEYS), known_first: true }
    }
}

/// OpenSSH's.
impl Default for SignatureAlgorithms {
    fn default() -> Self {
        Self(owned(OPENSSH_SIGNATURES))
    }
}

impl HostKeyAlgorithms {
    /// A list as `ssh_config(5)` has it: names between commas, with wildcards, which replace the
    /// default; behind a `+` they go after the default's, behind a `^` before, and behind a `-`
    /// they are taken out of it.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] for a name of no algorithm, and for a list of none.
    pub fn parse(list: &str) -> Result<Self, SshError> {
        let names = assemble(list, &OPENSSH_KEYS, &MORE_HOST_KEYS)
            .map_err(|problem| SshError::invalid("host_key_algorithms", problem))?;
        // As `ssh`: who says an order means it.
        let known_first = list.starts_with(['+', '-']);
        Ok(Self { names, known_first })
    }

    /// The names, best first.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What a policy has, unless somebody said otherwise for this host.
    pub(super) fn or_of(self, crypto: &Crypto) -> Self {
        if self != Self::default() {
            return self;
        }
        Self { names: crypto.names(Algorithms::HostKeys).to_vec(), ..self }
    }

    /// What to ask a server for, whose host is known by keys of these types. Certificates are asked
    /// for only where they can be checked.
    pub(super) fn for_host(&self, known: &[&str], certificates: bool) -> Vec<String> {
        let key_type = |method: &str| match method {
            "rsa-sha2-512" | "rsa-sha2-256" => "ssh-rsa".to_owned(),
            other => other.to_owned(),
        };
        let is_known = |method: &String| known.contains(&key_type(method).as_str());
        let (certified, mut plain): (Vec<_>, Vec<_>) =
            self.names.iter().cloned().partition(|name| name.ends_with(CERTIFICATE));
        if self.known_first {
            plain.sort_by_key(|method| !is_known(method));
        }
        match (certificates, self.known_first) {
            (true, true) => certified.into_iter().chain(plain).collect(),
            (true, false) => self.names.clone(),
            (false, _) => plain,
        }
    }
}

impl SignatureAlgorithms {
    /// A list as [`HostKeyAlgorithms::parse`] reads it.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] for a name of no algorithm, and for a list of none.
    pub fn parse(list: &str) -> Result<Self, SshError> {
        let names = assemble(list, OPENSSH_SIGNATURES, &MORE_SIGNATURES)
            .map_err(|problem| SshError::invalid("ca_signature_algorithms", problem))?;
        Ok(Self(names))
    }

    /// The names, in their order.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// What a policy has, unless somebody said otherwise for this host.
    pub(super) fn or_of(self, crypto: &Crypto) -> Self {
        if self != Self::default() {
            return self;
        }
        Self(crypto.names(Algorithms::CaSignatures).to_vec())
    }

    pub(super) fn allow(&self, name: &str) -> bool {
        self.0.iter().any(|allowed| allowed == name)
    }
}

/// A list from one like `+a,b*`, as `ssh` assembles it. What is wrong, as in "`field` `problem`".
fn assemble(list: &str, default: &[&str], more: &[&str]) -> Result<Vec<String>, String> {
    let (sign, patterns) = match list.chars().next() {
        Some(sign @ ('+' | '-' | '^')) => (Some(sign), &list[1..]),
        _ => (None, list),
    };
    let all = || default.iter().chain(more).copied();
    let mut named: Vec<&str> = Vec::new();
    for pattern in patterns.split(',').filter(|pattern| !pattern.is_empty()) {
        let mut found = all().filter(|name| pattern::matches(pattern, name, Case::Kept)).peekable();
        // What is taken away need not be there.
        if found.peek().is_none() && sign != Some('-') {
            let pattern = crate::printable(pattern.as_bytes());
            return Err(format!("names {pattern:?}, which is no algorithm known here"));
        }
        named.extend(found);
    }
    if named.is_empty() && sign != Some('-') {
        return Err("names no algorithm".into());
    }
    let default = default.iter().copied();
    let names: Vec<&str> = match sign {
        None => named,
        Some('+') => default.chain(named).collect(),
        Some('^') => named.into_iter().chain(default).collect(),
        Some(_) => default.filter(|name| !named.contains(name)).collect(),
    };
    let mut once: Vec<String> = Vec::new();
    for name in names {
        if !once.iter().any(|known| known == name) {
            once.push(name.to_owned());
        }
    }
    if once.is_empty() { Err("leaves no algorithm".into()) } else { Ok(once) }
}

impl fmt::Debug for HostKeyAlgorithms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostKeyAlgorithms({})", self.names.join(","))
    }
}

impl fmt::Debug for SignatureAlgorithms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignatureAlgorithms({})", self.0.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::{HostKeyAlgorithms, SignatureAlgorithms};

    fn asked(list: &str, known: &[&str], certificates: bool) -> Vec<String> {
        HostKeyAlgorithms::parse(list).expect(list).for_host(known, certificates)
    }

    #[test]
    fn known_types_go_first_unless_an_order_is_said() {
        let default = HostKeyAlgorithms::default();
        let rsa = default.for_host(&["ssh-rsa"], false);
        assert_eq!(rsa[..3], ["rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519"]);
        assert!(rsa.iter().all(|name| name != "ssh-rsa" && !name.contains("-cert-")));
        assert_eq!(default.for_host(&["ecdsa-sha2-nistp384"], false)[0], "ecdsa-sha2-nistp384");
        assert_eq!(default.for_host(&[], true)[0], "ssh-ed25519-cert-v01@openssh.com");
        assert_eq!(asked("+ssh-rsa", &["ssh-rsa"], false)[2], "ssh-rsa");
        let said = ["ssh-ed25519", "rsa-sha2-256"];
        assert_eq!(asked("ssh-ed25519,rsa-sha2-256", &["ssh-rsa"], true), said);
        assert_eq!(asked("^rsa-sha2-512", &["ssh-ed25519"], true)[0], "rsa-sha2-512");
        let left = asked("-ssh-*,ecdsa-*,sk-*", &[], false);
        assert_eq!(left, ["rsa-sha2-512", "rsa-sha2-256"]);
    }

    #[test]
    fn names_of_nothing_are_refused() {
        for list in ["", "+", "ssh-ed25519,what", "+what", "-*", "ssh-\u{1b}[1m"] {
            let error = HostKeyAlgorithms::parse(list).expect_err(list).to_string();
            assert!(!error.contains('\u{1b}'), "{error}");
        }
        assert!(SignatureAlgorithms::parse("ssh-dss").is_err());
        assert!(SignatureAlgorithms::parse("+ssh-rsa").expect("known").allow("ssh-rsa"));
        assert!(!SignatureAlgorithms::default().allow("ssh-rsa"));
    }
}
