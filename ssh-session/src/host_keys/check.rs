//! The questions of one dial about a server's key, answered from one reading of all files.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::first_use::{FirstKey, New, NewKey};
use super::known_hosts::{Authority, Known, Lookup, Names};
use super::revoked::Revoked;
use super::{CertificateProblem, HostCertificate, HostKey, HostKeyPolicy, HostKeyProblem};
use super::{HostKeys, KnownHostsCommand, PresentedKey, refusal};
use crate::{KeyRules, Options, SshError, Target};

/// What is known of a host at one moment: which keys to ask it for, and which to believe.
///
/// All files are read when it is made, and once; so what is asked for and what is believed are from
/// one state of them.
#[derive(Debug)]
pub struct HostKeyCheck {
    target: Target,
    pub(super) host_keys: HostKeys,
    rules: KeyRules,
    pub(super) names: Names,
    pub(super) known: Known,
    /// What a command said before there was a key.
    pub(super) told: Known,
    /// Until when a command may take.
    until: Option<Instant>,
    pub(super) revoked: Revoked,
    first: FirstKey,
}

/// A key that may be believed.
#[derive(Debug)]
#[must_use = "a new key is recorded, and binds its pool, only by `accept`, once login succeeded"]
pub enum Verdict {
    /// It is known, certified, pinned, or nobody cares.
    Trusted,
    /// It is the first key of this host.
    New(NewKey),
}

impl Verdict {
    /// Takes note that login succeeded, where that may wait; see [`NewKey::accept`].
    ///
    /// # Errors
    ///
    /// As [`NewKey::accept`]. The session must not be used then.
    pub fn accept(&self) -> Result<(), SshError> {
        match self {
            Self::Trusted => Ok(()),
            Self::New(key) => key.accept(),
        }
    }
}

impl HostKeyCheck {
    /// Reads what the files say about a target. To be called where that may wait.
    ///
    /// # Errors
    ///
    /// [`SshError::KnownHosts`] if a file is there but cannot be read: what it would say about the
    /// host is not known then. The same for a missing file of revoked keys.
    pub fn read(options: &Options, first: &FirstKey) -> Result<Self, SshError> {
        let (target, host_keys) = (&options.target, &options.host_keys);
        let names = match &host_keys.alias {
            Some(alias) => Names::alias(alias),
            None => Names::of(target.host(), target.port()),
        };
        let until = Instant::now().checked_add(options.connect_timeout);
        let (known, told) = match host_keys.policy {
            HostKeyPolicy::AcceptNew | HostKeyPolicy::Strict => {
                (host_keys.files.read(&names)?, told(host_keys, &names, None, until)?)
            }
            HostKeyPolicy::Pinned(_) | HostKeyPolicy::DangerAcceptAny => Default::default(),
        };
        let mut rules = options.key_rules;
        rules.required_rsa_size = rules.required_rsa_size.max(options.crypto.min_rsa_bits());
        let revoked = Revoked::read(&host_keys.revoked)?;
        let mut host_keys = host_keys.clone();
        host_keys.algorithms = host_keys.algorithms.or_of(&options.crypto);
        host_keys.ca_algorithms = host_keys.ca_algorithms.or_of(&options.crypto);
        let (target, first) = (target.clone(), first.clone());
        Ok(Self { told, until, target, rules, names, known, revoked, host_keys, first })
    }

    /// Host key algorithms to ask for in the key exchange, by their names, best first. Backends
    /// take those that their library knows.
    pub fn algorithms(&self) -> Vec<String> {
        let algorithms = &self.host_keys.algorithms;
        match &self.host_keys.policy {
            HostKeyPolicy::Pinned(pins) => {
                let types: Vec<&str> = pins.iter().filter_map(super::Pin::algorithm).collect();
                algorithms.for_host(&types, false)
            }
            // Nobody's certificate could be checked but those of an authority that is named.
            _ => {
                let known = self.known.clone().and(self.told.clone());
                algorithms.for_host(&known.key_types(), known.authority().is_some())
            }
        }
    }

    /// Whether [`verify`](Self::verify) may wait: for a command that is asked about the key.
    pub fn may_wait(&self) -> bool {
        let command = self.host_keys.command.as_ref().filter(|_| self.reads_files());
        command.is_some_and(KnownHostsCommand::asks_about_keys)
    }

    /// Decides about what a server presents, bare key or certificate. To be called before any
    /// credential is sent.
    ///
    /// # Errors
    ///
    /// [`SshError::HostKey`] if the key is refused, [`SshError::KnownHosts`] if a command that was
    /// asked about it failed.
    pub fn verify(&self, presented: &PresentedKey) -> Result<Verdict, SshError> {
        let key = presented.key();
        self.fits(key)?;
        let certificate = match presented {
            PresentedKey::Certificate(certificate) => Some(&**certificate),
            PresentedKey::Plain(_) => None,
        };
        if let Some((path, line)) = self.revoked.find(key, certificate) {
            return self.refused(key, HostKeyProblem::Revoked { path, line });
        }
        let told = match self.may_wait() {
            true => told(&self.host_keys, &self.names, Some(presented), self.until)?,
            false => self.told.clone(),
        };
        let known = &self.known.clone().and(told);
        let certificate = certificate.filter(|_| self.reads_files());
        let Some(certificate) = certificate else { return self.verify_key(known, key) };
        match self.verify_certificate(known, certificate)? {
            None => {
                self.first.release();
                Ok(Verdict::Trusted)
            }
            // As good as no certificate. Why it did not hold is told if nothing else is known.
            Some(problem) => match (self.verify_key(known, key), problem) {
                (Err(SshError::HostKey(mut refused)), Some(problem)) => {
                    if let HostKeyProblem::Unknown { .. } | HostKeyProblem::NotCertified { .. } =
                        &refused.problem
                    {
                        refused.problem = problem;
                    }
                    Err(SshError::HostKey(refused))
                }
                (other, _) => other,
            },
        }
    }

    fn verify_key(&self, known: &Known, key: &HostKey) -> Result<Verdict, SshError> {
        let refused = |problem| self.refused(key, problem);
        match &self.host_keys.policy {
            HostKeyPolicy::DangerAcceptAny => return Ok(Verdict::Trusted),
            HostKeyPolicy::Pinned(pins) if pins.iter().any(|pin| pin.is(key)) => {
                return Ok(Verdict::Trusted);
            }
            HostKeyPolicy::Pinned(pins) => {
                return refused(HostKeyProblem::NotPinned { pinned: pins.clone() });
            }
            HostKeyPolicy::AcceptNew | HostKeyPolicy::Strict => {}
        }
        match known.lookup(key) {
            Lookup::Known => {
                self.first.release();
                return Ok(Verdict::Trusted);
            }
            Lookup::Changed { key: known, path, line } => {
                return refused(HostKeyProblem::Changed {
                    known: known.fingerprint(),
                    known_algorithm: known.algorithm().to_owned(),
                    path,
                    line,
                });
            }
            Lookup::Revoked { path, line } => {
                return refused(HostKeyProblem::Revoked { path, line });
            }
            Lookup::Unknown => {}
        }
        // A host that has an authority is not trusted without it: whoever is in between has a key.
        if let Some((path, line)) = known.authority() {
            return refused(HostKeyProblem::NotCertified { path: path.to_owned(), line });
        }
        // A name that cannot be recorded would be new every time.
        let files = &self.host_keys.files;
        if self.host_keys.policy == HostKeyPolicy::Strict || !self.names.can_be_written() {
            return refused(HostKeyProblem::Unknown { path: files.written().cloned() });
        }
        match self.first.known() {
            Some(first) if first != key.fingerprint() => {
                return refused(HostKeyProblem::NotTheFirst { first });
            }
            _ => {}
        }
        Ok(Verdict::New(NewKey(Box::new(New {
            target: self.target.clone(),
            files: files.clone(),
            names: self.names.clone(),
            key: key.clone(),
            first: self.first.clone(),
            hash_names: self.host_keys.hash_names,
            must_record: self.host_keys.must_record,
        }))))
    }

    /// `None` if the certificate holds; otherwise why it does not, if there is more to say than
    /// that nobody knows its authority.
    fn verify_certificate(
        &self,
        known: &Known,
        certificate: &HostCertificate,
    ) -> Result<Option<Option<HostKeyProblem>>, SshError> {
        let (path, line) = match known.authority_of(certificate) {
            Authority::Named { path, line } => (path, line),
            Authority::Revoked { path, line } => {
                let problem = HostKeyProblem::Revoked { path, line };
                return self.refused(certificate.key(), problem);
            }
            Authority::Unknown => return Ok(Some(None)),
        };
        let rules = (&self.host_keys.ca_algorithms, self.rules.required_rsa_size);
        let Err(problem) = certificate.check(self.names.principal(), rules) else {
            return Ok(None);
        };
        tracing::debug!(target = %self.target, %problem, "host certificate does not hold");
        let forged = problem == CertificateProblem::Forged;
        let authority = certificate.authority().fingerprint();
        let problem = HostKeyProblem::Certificate { problem, authority, path, line };
        // Nobody sends a broken signature by mistake.
        if forged {
            return self.refused(certificate.key(), problem);
        }
        Ok(Some(Some(problem)))
    }

    /// That an RSA key has bits enough.
    pub(super) fn fits(&self, key: &HostKey) -> Result<(), SshError> {
        let required = self.rules.required_rsa_size;
        match key.rsa_size() {
            Some(bits) if bits < required => {
                self.refused(key, HostKeyProblem::TooShort { bits, required })
            }
            _ => Ok(()),
        }
    }

    fn refused<T>(&self, key: &HostKey, problem: HostKeyProblem) -> Result<T, SshError> {
        Err(refusal(&self.target, key, problem))
    }

    fn reads_files(&self) -> bool {
        matches!(self.host_keys.policy, HostKeyPolicy::AcceptNew | HostKeyPolicy::Strict)
    }
}

/// What a command says of a host, if there is one.
fn told(
    host_keys: &HostKeys,
    names: &Names,
    presented: Option<&PresentedKey>,
    until: Option<Instant>,
) -> Result<Known, SshError> {
    let Some(command) = &host_keys.command else { return Ok(Known::default()) };
    let path = Path::new("KnownHostsCommand");
    // As `ssh`, which names the port only once there is a key.
    let host = if presented.is_some() { names.own() } else { names.principal() };
    match command.run(host, presented, until) {
        Ok(output) => Ok(Known::of(output, names, path)),
        Err(source) => {
            Err(SshError::KnownHosts { path: path.to_owned(), source: Arc::new(source) })
        }
    }
}
