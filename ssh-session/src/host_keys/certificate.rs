//! Host certificates.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use ssh_key::certificate::CertType;
use ssh_key::public::KeyData;
use ssh_key::{Certificate, HashAlg, PublicKey};

use super::SignatureAlgorithms;
use super::key::exceeds_depth;
use crate::pattern::{self, Case};
use crate::{HostKey, printable};

/// What a server presents to prove who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PresentedKey {
    /// A bare key.
    Plain(HostKey),
    /// A key with a certificate.
    Certificate(Box<HostCertificate>),
}

impl PresentedKey {
    /// Reads a key or a certificate in SSH's wire format, as the key exchange has it.
    ///
    /// `None` if it is not well-formed, or not of a type that OpenSSH believes.
    pub fn from_wire(blob: &[u8]) -> Option<Self> {
        HostKey::from_wire(blob)
            .map(Self::Plain)
            .or_else(|| HostCertificate::from_wire(blob).map(|it| Self::Certificate(Box::new(it))))
    }

    /// It in wire format, as it was presented.
    pub(super) fn wire(&self) -> Option<Vec<u8>> {
        match self {
            Self::Plain(key) => Some(key.as_wire().to_vec()),
            Self::Certificate(certificate) => certificate.certificate.to_bytes().ok(),
        }
    }

    /// The key itself, which signed the key exchange: the one in the certificate, if it is one.
    /// This is the one to compare from session to session.
    pub fn key(&self) -> &HostKey {
        match self {
            Self::Plain(key) => key,
            Self::Certificate(certificate) => certificate.key(),
        }
    }
}

/// An OpenSSH certificate of a host. That it could be read says nothing about whether it holds.
#[derive(Clone, PartialEq, Eq)]
pub struct HostCertificate {
    certificate: Certificate,
    key: HostKey,
    authority: HostKey,
}

/// Why a host certificate does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateProblem {
    /// Its signature is not that of its authority, or of a kind that cannot be checked.
    Forged,
    /// It is a user's.
    NotForHosts,
    /// It becomes valid later.
    NotYetValid,
    /// It was valid once.
    Expired,
    /// It names no host. Older OpenSSH takes it for all hosts, newer for none.
    NoPrincipals,
    /// It is for other hosts.
    WrongPrincipal {
        /// The hosts that it is for, escaped and cut.
        principals: String,
    },
    /// It was signed by an algorithm that is not allowed (`CASignatureAlgorithms`), such as one with
    /// SHA-1.
    SignatureAlgorithm {
        /// The algorithm's name, escaped and cut.
        name: String,
    },
    /// Its authority is an RSA key with too few bits (`RequiredRSASize`).
    ShortAuthority {
        /// How many it has.
        bits: u32,
    },
    /// It has a condition that we don't know.
    CriticalOption {
        /// Its name, escaped and cut.
        name: String,
    },
}

impl HostCertificate {
    /// Reads a certificate in SSH's wire format.
    fn from_wire(blob: &[u8]) -> Option<Self> {
        if exceeds_depth(blob) {
            return None;
        }
        let certificate = Certificate::from_bytes(blob).ok()?;
        let key = host_key(certificate.public_key())?;
        let authority = host_key(certificate.signature_key())?;
        // What is signed is encoded anew to be checked, and must be what was sent.
        let canonical = certificate.to_bytes().is_ok_and(|bytes| bytes == blob);
        canonical.then_some(Self { certificate, key, authority })
    }

    /// The certified key.
    pub fn key(&self) -> &HostKey {
        &self.key
    }

    /// The key that signed it.
    pub fn authority(&self) -> &HostKey {
        &self.authority
    }

    /// Its number, as its authority counts.
    pub(super) fn serial(&self) -> u64 {
        self.certificate.serial()
    }

    /// What its authority calls it.
    pub(super) fn key_id(&self) -> &str {
        self.certificate.key_id()
    }

    /// Whether it holds now for a host of this name, signed by one of these algorithms and by a key
    /// of so many bits, if that is RSA.
    pub(super) fn check(
        &self,
        principal: &str,
        (algorithms, required_rsa_size): (&SignatureAlgorithms, u32),
    ) -> Result<(), CertificateProblem> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        // Whether SHA-1 can be checked at all is up to which features of a crate below are on.
        let signature = self.certificate.signature().algorithm();
        if !algorithms.allow(signature.as_str()) {
            let name = printable(signature.as_str().as_bytes());
            return Err(CertificateProblem::SignatureAlgorithm { name });
        }
        if let Some(bits) = self.authority.rsa_size().filter(|bits| *bits < required_rsa_size) {
            return Err(CertificateProblem::ShortAuthority { bits });
        }
        self.check_at(principal, now)
    }

    fn check_at(&self, principal: &str, now: u64) -> Result<(), CertificateProblem> {
        let certificate = &self.certificate;
        if certificate.cert_type() != CertType::Host {
            return Err(CertificateProblem::NotForHosts);
        }
        if now < certificate.valid_after() {
            return Err(CertificateProblem::NotYetValid);
        }
        if now >= certificate.valid_before() {
            return Err(CertificateProblem::Expired);
        }
        let authority = certificate.signature_key().fingerprint(HashAlg::Sha256);
        if certificate.validate_at(now, [&authority]).is_err() {
            return Err(CertificateProblem::Forged);
        }
        let principals = certificate.valid_principals();
        if principals.is_empty() {
            return Err(CertificateProblem::NoPrincipals);
        }
        if !principals.iter().any(|pattern| pattern::matches(pattern, principal, Case::Kept)) {
            let principals = printable(principals.join(", ").as_bytes());
            return Err(CertificateProblem::WrongPrincipal { principals });
        }
        // None is defined for hosts.
        match certificate.critical_options().iter().next() {
            Some((name, _)) => {
                Err(CertificateProblem::CriticalOption { name: printable(name.as_bytes()) })
            }
            None => Ok(()),
        }
    }
}

fn host_key(key: &KeyData) -> Option<HostKey> {
    HostKey::from_wire(&PublicKey::from(key.clone()).to_bytes().ok()?)
}

impl fmt::Debug for HostCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostCertificate({:?} by {:?})", self.key, self.authority)
    }
}

impl fmt::Display for CertificateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forged => f.write_str("has a signature that is not its authority's"),
            Self::NotForHosts => f.write_str("is a user's, not a host's"),
            Self::NotYetValid => f.write_str("is not yet valid"),
            Self::Expired => f.write_str("has expired"),
            Self::NoPrincipals => f.write_str("names no host"),
            Self::WrongPrincipal { principals } => write!(f, "is for other hosts ({principals})"),
            Self::SignatureAlgorithm { name } => {
                write!(f, "is signed by {name}, which is not allowed (CASignatureAlgorithms)")
            }
            Self::ShortAuthority { bits } => {
                write!(f, "is signed by an RSA key of {bits} bits, which are too few")
            }
            Self::CriticalOption { name } => {
                write!(f, "has the critical option {name:?}, which is not known")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PresentedKey;

    fn string(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
    }

    /// A certificate whose authority has a certificate whose authority has one, and so on.
    fn nested(levels: usize) -> Vec<u8> {
        let key = string(&[1; 32]);
        let plain = [string(b"ssh-ed25519"), key.clone()].concat();
        let signature = string(&[string(b"ssh-ed25519"), string(&[2; 64])].concat());
        (0..levels).fold(plain, |authority, _| {
            let name = string(b"ssh-ed25519-cert-v01@openssh.com");
            let kind = 2_u32.to_be_bytes();
            let dates = [[0; 8], [255; 8]].concat();
            let empty = string(b"");
            let mut blob = [name, empty.clone(), key.clone(), vec![0; 8], kind.to_vec()].concat();
            // Name and principals; dates; options, extensions and what is reserved.
            blob.extend([empty.repeat(2), dates, empty.repeat(3)].concat());
            blob.extend([string(&authority), signature.clone()].concat());
            blob
        })
    }

    #[test]
    fn authorities_with_certificates_without_end_are_refused_and_not_followed() {
        assert!(PresentedKey::from_wire(&nested(1)).is_some());
        for levels in [2, 100, 1_000] {
            assert!(PresentedKey::from_wire(&nested(levels)).is_none(), "{levels}");
        }
    }
}
