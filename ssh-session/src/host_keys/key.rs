//! Host keys and their fingerprints.

use std::fmt;
use std::str::FromStr;

use base64ct::{Base64, Encoding as _};
use ssh_key::public::RsaPublicKey;
use ssh_key::{Certificate, HashAlg, PublicKey};

use crate::SshError;

/// The types of keys that OpenSSH believes in known_hosts files.
const ALGORITHMS: [&str; 8] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-dss",
];

/// Whether there are keys of a type that OpenSSH believes.
pub(super) fn is_key_type(name: &str) -> bool {
    ALGORITHMS.contains(&name)
}

/// A SHA-256 fingerprint of a public key, written `SHA256:…` as OpenSSH writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(ssh_key::Fingerprint);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Fingerprint {
    type Err = SshError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.trim_end_matches('=')
            .parse()
            .ok()
            .filter(|parsed: &ssh_key::Fingerprint| parsed.is_sha256())
            .map(Self)
            .ok_or_else(|| {
                SshError::invalid("fingerprint", "is not of the form SHA256:… (ssh-keygen -lf)")
            })
    }
}

/// A public key as a server presents it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HostKey {
    algorithm: String,
    blob: Vec<u8>,
    fingerprint: Fingerprint,
}

impl HostKey {
    /// Reads a key in SSH's wire format.
    ///
    /// `None` if it is not a well-formed key of a type that OpenSSH believes; certificates are
    /// not.
    pub fn from_wire(blob: &[u8]) -> Option<Self> {
        if exceeds_depth(blob) {
            return None;
        }
        // The parser takes certificates for keys of the type that they certify.
        let name = name(blob)?;
        let key = PublicKey::from_bytes(blob).ok()?;
        let algorithm = key.algorithm().as_str().to_owned();
        // A second encoding of the same key would get a second fingerprint.
        let canonical = key.to_bytes().is_ok_and(|bytes| bytes == blob);
        let believed = name == algorithm.as_bytes() && ALGORITHMS.contains(&algorithm.as_str());
        (believed && canonical).then(|| Self {
            algorithm,
            blob: blob.to_vec(),
            fingerprint: Fingerprint(key.fingerprint(HashAlg::Sha256)),
        })
    }

    /// Reads a key as known_hosts files have it: the type's name and the key in base64.
    pub(crate) fn from_text(algorithm: &str, base64: &str) -> Option<Self> {
        let blob = Base64::decode_vec(base64).ok()?;
        Self::from_wire(&blob).filter(|key| key.algorithm == algorithm)
    }

    /// The key's type, such as `ssh-ed25519`.
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// The key in SSH's wire format.
    pub fn as_wire(&self) -> &[u8] {
        &self.blob
    }

    /// The key's SHA-256 fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The name of the type of a key or a certificate in wire format.
    pub(super) fn type_name(blob: &[u8]) -> Option<String> {
        name(blob).and_then(|name| String::from_utf8(name.to_vec()).ok())
    }

    /// The bits of an RSA key; `None` for keys of other types.
    pub(crate) fn rsa_size(&self) -> Option<u32> {
        rsa_size(&self.blob)
    }

    /// The type's name and the key in base64, as known_hosts files have it.
    pub(crate) fn to_text(&self) -> String {
        format!("{} {}", self.algorithm, Base64::encode_string(&self.blob))
    }
}

/// The bits of an RSA key in wire format, or of the one that a certificate is for; `None` for keys of
/// other types, and for what is none.
pub(crate) fn rsa_size(blob: &[u8]) -> Option<u32> {
    if exceeds_depth(blob) {
        return None;
    }
    // The parser of keys takes certificates, too, and reads something else in them.
    let key = match name(blob)?.ends_with(b"-cert-v01@openssh.com") {
        true => Certificate::from_bytes(blob).ok()?.public_key().clone(),
        false => PublicKey::from_bytes(blob).ok()?.key_data().clone(),
    };
    key.rsa().map(RsaPublicKey::key_size)
}

/// The name of its type, which anything in wire format begins with.
fn name(blob: &[u8]) -> Option<&[u8]> {
    let (length, rest) = blob.split_first_chunk()?;
    rest.get(..u32::from_be_bytes(*length) as usize)
}

/// Whether a certificate's authority has a certificate itself, and so on: to be asked of whatever a
/// peer or an agent sends, before it is parsed. The parser follows that to the end of the stack;
/// OpenSSH believes no such authority.
pub fn exceeds_depth(blob: &[u8]) -> bool {
    const MARK: &[u8] = b"-cert-v01@";
    // More than one may stand in a name.
    blob.windows(MARK.len()).filter(|part| *part == MARK).count() > 8
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostKey({} {})", self.algorithm, self.fingerprint)
    }
}
