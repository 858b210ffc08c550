//! Which host keys to believe.

mod certificate;
mod key;
pub mod known_hosts;
mod refused;

use std::path::PathBuf;

use crate::{SshError, Target};
use known_hosts::{Authority, KnownHosts, Lookup, Names};

pub use certificate::{CertificateProblem, HostCertificate, PresentedKey};
pub(crate) use key::rsa_size;
pub use key::{Fingerprint, HostKey, is_deep};

pub use refused::{HostKeyProblem, HostKeyRefused};

/// What to do about host keys. A key that changed or is revoked is refused by all but the last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum HostKeyPolicy {
    /// Believe unknown hosts and record their key once login succeeded, as OpenSSH does with
    /// `StrictHostKeyChecking=accept-new`. The default.
    #[default]
    AcceptNew,
    /// Believe known hosts only.
    Strict,
    /// Believe this key only; known_hosts files are not read.
    Pinned(Fingerprint),
    /// Believe anybody, and so anybody in between. For tests on a network of your own.
    DangerAcceptAny,
}

/// A policy and the files it works on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostKeys {
    /// What to do.
    pub policy: HostKeyPolicy,
    /// Where keys are looked up and recorded.
    pub files: KnownHosts,
    /// The name to look up and record keys by, and the one that host certificates must be for,
    /// instead of the target's host and port: `HostKeyAlias` of `ssh_config(5)`.
    pub alias: Option<String>,
}

/// A key that may be believed.
#[derive(Debug)]
#[must_use = "a new key is recorded only by `record`, once login succeeded"]
pub enum Verdict {
    /// It is known, pinned, or nobody cares.
    Trusted,
    /// It is the first key of this host, to be recorded once login succeeded.
    New(PendingKey),
}

/// A new host's key, not recorded yet.
#[derive(Debug)]
pub struct PendingKey(Box<Pending>);

#[derive(Debug)]
struct Pending {
    files: KnownHosts,
    names: Names,
    key: HostKey,
}

/// What to ask a server for in the key exchange.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preferences {
    /// The types of keys the host is known by, in the files' order.
    pub known: Vec<String>,
    /// Whether a `@cert-authority` line is about the host. Certificates are asked for only then:
    /// nobody else's could be checked.
    pub certificates: bool,
}

impl Preferences {
    /// Host key algorithms by their names in the key exchange, best first: certificates, the types
    /// of known keys, since a server that is asked for another type presents a key that looks
    /// changed, and the rest. Backends take those that their library knows.
    pub fn algorithms(&self) -> Vec<&'static str> {
        let key_type = |method: &'static str| match method {
            "rsa-sha2-512" | "rsa-sha2-256" => "ssh-rsa",
            other => other,
        };
        let is_known = |method| self.known.iter().any(|known| known == key_type(method));
        let mut plain = PLAIN.to_vec();
        plain.sort_by_key(|method| !is_known(method));
        let certificates = CERTIFICATES.iter().filter(|_| self.certificates);
        certificates.copied().chain(plain).collect()
    }
}

const PLAIN: [&str; 7] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
    "ssh-rsa",
];

const CERTIFICATES: [&str; 6] = [
    "ssh-ed25519-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "rsa-sha2-512-cert-v01@openssh.com",
    "rsa-sha2-256-cert-v01@openssh.com",
];

impl HostKeys {
    /// This policy on the user's own files.
    pub fn new(policy: HostKeyPolicy) -> Self {
        Self { policy, files: KnownHosts::default(), alias: None }
    }

    /// Looks up known hosts in these files only, and records new ones in the first.
    #[must_use]
    pub fn files(mut self, files: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        self.files = KnownHosts::files(files);
        self
    }

    /// Looks keys up and records them by this name, whatever the target's host and port.
    #[must_use]
    pub fn alias(mut self, alias: impl Into<String>) -> Self {
        self.alias = Some(alias.into());
        self
    }

    /// Decides about what a server presents, bare key or certificate. To be called before any
    /// credential is sent.
    ///
    /// # Errors
    ///
    /// [`SshError::HostKey`] if the key is refused, [`SshError::KnownHosts`] if a file is there
    /// but cannot be read: what it would say about the host is not known then.
    pub fn verify(&self, target: &Target, presented: &PresentedKey) -> Result<Verdict, SshError> {
        let certificate = match presented {
            PresentedKey::Certificate(certificate) if self.reads_files() => certificate,
            other => return self.verify_key(target, other.key()),
        };
        match self.verify_certificate(target, certificate)? {
            None => Ok(Verdict::Trusted),
            // As good as no certificate. Why it did not hold is told if nothing else is known.
            Some(problem) => match self.verify_key(target, certificate.key()) {
                Err(SshError::HostKey(mut refused)) => {
                    if let (HostKeyProblem::Unknown { .. }, Some(problem)) =
                        (&refused.problem, problem)
                    {
                        refused.problem = problem;
                    }
                    Err(SshError::HostKey(refused))
                }
                other => other,
            },
        }
    }

    fn verify_key(&self, target: &Target, key: &HostKey) -> Result<Verdict, SshError> {
        let refused = |problem| Err(refusal(target, key, problem));
        match self.policy {
            HostKeyPolicy::DangerAcceptAny => return Ok(Verdict::Trusted),
            HostKeyPolicy::Pinned(pinned) if pinned == key.fingerprint() => {
                return Ok(Verdict::Trusted);
            }
            HostKeyPolicy::Pinned(pinned) => return refused(HostKeyProblem::NotPinned { pinned }),
            HostKeyPolicy::AcceptNew | HostKeyPolicy::Strict => {}
        }
        let names = self.names(target);
        match self.files.lookup_names(&names, key)? {
            Lookup::Known => Ok(Verdict::Trusted),
            Lookup::Changed { key: known, path, line } => refused(HostKeyProblem::Changed {
                known: known.fingerprint(),
                known_algorithm: known.algorithm().to_owned(),
                path,
                line,
            }),
            Lookup::Revoked { path, line } => refused(HostKeyProblem::Revoked { path, line }),
            // A name that cannot be recorded would be new every time.
            Lookup::Unknown if self.policy == HostKeyPolicy::Strict || !names.can_be_written() => {
                refused(HostKeyProblem::Unknown { path: self.files.written().cloned() })
            }
            Lookup::Unknown => {
                let pending = Pending { files: self.files.clone(), names, key: key.clone() };
                Ok(Verdict::New(PendingKey(Box::new(pending))))
            }
        }
    }

    /// What to ask a server for in the key exchange.
    ///
    /// # Errors
    ///
    /// [`SshError::KnownHosts`] if a file is there but cannot be read.
    pub fn preferences(&self, target: &Target) -> Result<Preferences, SshError> {
        match self.reads_files() {
            true => self.files.preferences_names(&self.names(target)),
            false => Ok(Preferences::default()),
        }
    }

    /// `None` if the certificate holds; otherwise why it does not, if there is more to say than
    /// that nobody knows its authority.
    fn verify_certificate(
        &self,
        target: &Target,
        certificate: &HostCertificate,
    ) -> Result<Option<Option<HostKeyProblem>>, SshError> {
        let names = self.names(target);
        let refused = |problem| Err(refusal(target, certificate.key(), problem));
        let (path, line) = match self.files.authority(&names, certificate)? {
            Authority::Named { path, line } => (path, line),
            Authority::Revoked { path, line } => {
                return refused(HostKeyProblem::Revoked { path, line });
            }
            Authority::Unknown => return Ok(Some(None)),
        };
        let Err(problem) = certificate.check(names.principal()) else { return Ok(None) };
        tracing::debug!(%target, %problem, "host certificate does not hold");
        let forged = problem == CertificateProblem::Forged;
        let authority = certificate.authority().fingerprint();
        let problem = HostKeyProblem::Certificate { problem, authority, path, line };
        // Nobody sends a broken signature by mistake.
        if forged { refused(problem) } else { Ok(Some(Some(problem))) }
    }

    fn names(&self, target: &Target) -> Names {
        match &self.alias {
            Some(alias) => Names::alias(alias),
            None => Names::of(target.host(), target.port()),
        }
    }

    fn reads_files(&self) -> bool {
        matches!(self.policy, HostKeyPolicy::AcceptNew | HostKeyPolicy::Strict)
    }
}

fn refusal(target: &Target, key: &HostKey, problem: HostKeyProblem) -> SshError {
    SshError::HostKey(Box::new(HostKeyRefused {
        target: target.clone(),
        problem,
        algorithm: key.algorithm().to_owned(),
        presented: key.fingerprint(),
    }))
}

impl PendingKey {
    /// Records the key, unless somebody else did meanwhile.
    ///
    /// # Errors
    ///
    /// [`SshError::KnownHosts`] if the file cannot be written. OpenSSH goes on then, with a
    /// warning.
    pub fn record(&self) -> Result<(), SshError> {
        self.0.files.add_names(&self.0.names, &self.0.key)
    }
}
