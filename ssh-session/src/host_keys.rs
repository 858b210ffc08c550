//! Which host keys to believe.

use std::path::PathBuf;

use crate::known_hosts::Lookup;
use crate::{Fingerprint, HostKey, HostKeyProblem, HostKeyRefused, KnownHosts, SshError, Target};

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
pub struct PendingKey {
    files: KnownHosts,
    target: Target,
    key: HostKey,
}

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

    /// Decides about the key a server presents. To be called before any credential is sent.
    ///
    /// # Errors
    ///
    /// [`SshError::HostKey`] if the key is refused, [`SshError::KnownHosts`] if a file is there
    /// but cannot be read: what it would say about the host is not known then.
    pub fn verify(&self, target: &Target, key: &HostKey) -> Result<Verdict, SshError> {
        let refused = |problem| {
            Err(SshError::HostKey(Box::new(HostKeyRefused {
                target: target.clone(),
                problem,
                algorithm: key.algorithm().to_owned(),
                presented: key.fingerprint(),
            })))
        };
        match self.policy {
            HostKeyPolicy::DangerAcceptAny => return Ok(Verdict::Trusted),
            HostKeyPolicy::Pinned(pinned) if pinned == key.fingerprint() => {
                return Ok(Verdict::Trusted);
            }
            HostKeyPolicy::Pinned(pinned) => return refused(HostKeyProblem::NotPinned { pinned }),
            HostKeyPolicy::AcceptNew | HostKeyPolicy::Strict => {}
        }
        match self.files.lookup(target.host(), target.port(), key)? {
            Lookup::Known => Ok(Verdict::Trusted),
            Lookup::Changed { key: known, path, line } => refused(HostKeyProblem::Changed {
                known: known.fingerprint(),
                known_algorithm: known.algorithm().to_owned(),
                path,
                line,
            }),
            Lookup::Revoked { path, line } => refused(HostKeyProblem::Revoked { path, line }),
            Lookup::Unknown if self.policy == HostKeyPolicy::Strict => {
                refused(HostKeyProblem::Unknown { path: self.files.written().cloned() })
            }
            Lookup::Unknown => Ok(Verdict::New(PendingKey {
                files: self.files.clone(),
                target: target.clone(),
                key: key.clone(),
            })),
        }
    }

    /// The types of keys this host is known by, to be asked for first: a server that is asked for
    /// another type presents a key that looks changed. Empty where it does not matter.
    ///
    /// # Errors
    ///
    /// [`SshError::KnownHosts`] if a file is there but cannot be read.
    pub fn known_algorithms(&self, target: &Target) -> Result<Vec<String>, SshError> {
        match self.policy {
            HostKeyPolicy::AcceptNew | HostKeyPolicy::Strict => {
                self.files.algorithms(target.host(), target.port())
            }
            HostKeyPolicy::Pinned(_) | HostKeyPolicy::DangerAcceptAny => Ok(Vec::new()),
        }
    }
}

impl PendingKey {
    /// Records the key, unless somebody else did meanwhile.
    ///
    /// # Errors
    ///
    /// [`SshError::KnownHosts`] if the file cannot be written. OpenSSH goes on then, with a
    /// warning.
    pub fn record(&self) -> Result<(), SshError> {
        self.files.add(self.target.host(), self.target.port(), &self.key)
    }
}
