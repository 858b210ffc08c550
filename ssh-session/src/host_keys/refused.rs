//! Host keys that were refused.

use std::fmt;
use std::path::PathBuf;

use super::{CertificateProblem, Fingerprint, Pin};
use crate::Target;

/// Which key was refused, and why.
#[derive(Debug, Clone)]
pub struct HostKeyRefused {
    /// Whom it was about.
    pub target: Target,
    /// Why.
    pub problem: HostKeyProblem,
    /// The type of the key that the server presented.
    pub algorithm: String,
    /// The fingerprint of the key that the server presented.
    pub presented: Fingerprint,
}

/// Why a host key was refused.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum HostKeyProblem {
    /// The host is known by another key.
    Changed {
        /// The fingerprint of the key it is known by.
        known: Fingerprint,
        /// That key's type.
        known_algorithm: String,
        /// The file that knows it.
        path: PathBuf,
        /// The line in that file, from 1.
        line: usize,
    },
    /// The key is marked `@revoked`, or in a list of revoked keys.
    Revoked {
        /// The file that says so.
        path: PathBuf,
        /// The line in that file, from 1; 0 for a file without lines.
        line: usize,
    },
    /// The host is known by the authority that signed its certificate, but the certificate does not
    /// hold, and the bare key in it is not known.
    Certificate {
        /// Why it does not hold.
        problem: CertificateProblem,
        /// The fingerprint of the authority's key.
        authority: Fingerprint,
        /// The file that names the authority.
        path: PathBuf,
        /// The line in that file, from 1.
        line: usize,
    },
    /// The host is not known and the policy takes known hosts only, or its name cannot stand in a
    /// known_hosts file.
    Unknown {
        /// The file to add it to, if there is one.
        path: Option<PathBuf>,
    },
    /// The host is not known, but an authority for it is: its key is believed with a certificate of
    /// that authority only, and never on first use.
    NotCertified {
        /// The file that names the authority.
        path: PathBuf,
        /// The line in that file, from 1.
        line: usize,
    },
    /// The key is an RSA key with too few bits (`RequiredRSASize`).
    TooShort {
        /// How many it has.
        bits: u32,
        /// How many it must have.
        required: u32,
    },
    /// The key is none of the pinned ones.
    NotPinned {
        /// The pinned keys.
        pinned: Vec<Pin>,
    },
    /// The key is not the one that the first session of the same pool trusted on first use, which
    /// could not be recorded.
    NotTheFirst {
        /// The fingerprint of the first session's key.
        first: Fingerprint,
    },
}

impl fmt::Display for HostKeyRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, problem, algorithm, presented } = self;
        match problem {
            HostKeyProblem::Changed { known, known_algorithm, path, line } => write!(
                f,
                "{target}: HOST KEY CHANGED: the server presented {algorithm} {presented}, but \
                 {}:{line} knows {known_algorithm} {known}; somebody may be listening in. If the \
                 host really has a new key, remove that line",
                path.display()
            ),
            HostKeyProblem::Revoked { path, line: 0 } => write!(
                f,
                "{target}: host key {algorithm} {presented} is revoked by {}",
                path.display()
            ),
            HostKeyProblem::Revoked { path, line } => write!(
                f,
                "{target}: host key {algorithm} {presented} is revoked by {}:{line}",
                path.display()
            ),
            HostKeyProblem::Certificate { problem, authority, path, line } => write!(
                f,
                "{target}: the certificate of host key {algorithm} {presented}, signed by \
                 {authority} ({}:{line}), {problem}; ask whoever signs them for another",
                path.display()
            ),
            HostKeyProblem::Unknown { path } => {
                write!(
                    f,
                    "{target}: unknown host key {algorithm} {presented}; if it is right, add"
                )?;
                match path {
                    Some(path) => write!(f, " it to {}", path.display()),
                    None => f.write_str(" it to a known_hosts file"),
                }
            }
            HostKeyProblem::NotCertified { path, line } => write!(
                f,
                "{target}: unknown host key {algorithm} {presented}, without a certificate of the \
                 authority that {}:{line} names for this host; if it is right, add it to a \
                 known_hosts file",
                path.display()
            ),
            HostKeyProblem::TooShort { bits, required } => write!(
                f,
                "{target}: host key {algorithm} {presented} has {bits} bits, fewer than {required} \
                 (RequiredRSASize)"
            ),
            HostKeyProblem::NotPinned { pinned } => {
                let pins: Vec<String> = pinned.iter().map(Pin::to_string).collect();
                write!(
                    f,
                    "{target}: the server presented host key {algorithm} {presented}, not the \
                     pinned {}",
                    pins.join(" or ")
                )?;
                if pinned.iter().any(|pin| pin.algorithm().is_none()) {
                    f.write_str("; if it has that one, too, write the key's type before the pin")?;
                }
                Ok(())
            }
            HostKeyProblem::NotTheFirst { first } => write!(
                f,
                "{target}: HOST KEY CHANGED: the server presented {algorithm} {presented}, but \
                 this pool's first session trusted {first}, which could not be recorded; if the \
                 host really has a new key, add it to a known_hosts file"
            ),
        }
    }
}
