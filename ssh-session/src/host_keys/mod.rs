//! Which host keys to believe.
//!
//! A dial makes one [`HostKeyCheck`], which reads all files at once; it says which keys to ask the
//! server for, and judges what the server presents before any credential is sent. The [`Verdict`]
//! is told when login succeeded: only then a new key is recorded.

mod algorithms;
mod certificate;
mod check;
mod command;
mod first_use;
mod key;
pub mod known_hosts;
mod pins;
mod refused;
mod revoked;
mod update;

use std::path::PathBuf;

use crate::{SshError, Target};
use known_hosts::KnownHosts;

pub use algorithms::{HostKeyAlgorithms, SignatureAlgorithms};
pub use certificate::{CertificateProblem, HostCertificate, PresentedKey};
pub use check::{HostKeyCheck, Verdict};
pub use command::KnownHostsCommand;
pub use first_use::{FirstKey, FirstKeys, NewKey, UNRECORDED};
pub(crate) use key::rsa_size;
pub use key::{Fingerprint, HostKey, exceeds_depth};
pub use pins::Pin;
pub use refused::{HostKeyProblem, HostKeyRefused};

/// What to do about host keys. A key that changed or is revoked is refused by all but the last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum HostKeyPolicy {
    /// Believe unknown hosts and record their key once login succeeded, as OpenSSH does with
    /// `StrictHostKeyChecking=accept-new`; but none that a `@cert-authority` line is about. The
    /// default.
    #[default]
    AcceptNew,
    /// Believe known hosts only.
    Strict,
    /// Believe these keys only; known_hosts files are not read. A pin that says its key's type is
    /// what the server is asked for.
    Pinned(Vec<Pin>),
    /// Believe anybody, and so anybody in between. For tests on a network of your own.
    DangerAcceptAny,
}

impl HostKeyPolicy {
    /// Believe these keys only.
    pub fn pinned(pins: impl IntoIterator<Item = impl Into<Pin>>) -> Self {
        Self::Pinned(pins.into_iter().map(Into::into).collect())
    }
}

/// A policy and the files it works on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct HostKeys {
    /// What to do.
    pub policy: HostKeyPolicy,
    /// Where keys are looked up and recorded.
    pub files: KnownHosts,
    /// The name to look up and record keys by, and the one that host certificates must be for,
    /// instead of the target's host and port: `HostKeyAlias` of `ssh_config(5)`.
    pub alias: Option<String>,
    /// Which keys to ask for: `HostKeyAlgorithms`.
    pub algorithms: HostKeyAlgorithms,
    /// How an authority may sign: `CASignatureAlgorithms`.
    pub ca_algorithms: SignatureAlgorithms,
    /// Files of keys that are refused whatever else is said: `RevokedHostKeys`. A file that is
    /// missing or cannot be read refuses all.
    pub revoked: Vec<PathBuf>,
    /// A command that says what else is known: `KnownHostsCommand`. One that fails refuses all.
    pub command: Option<KnownHostsCommand>,
    /// Whether other keys that a known server proves to have are recorded: `UpdateHostKeys`. Default
    /// `None`, which is as with OpenSSH: where the user's files are the default ones. libssh2 does
    /// not tell what a server says of its keys, so sessions over it record none.
    pub update: Option<bool>,
    /// Whether names are recorded as hashes: `HashKnownHosts`. Default false.
    pub hash_names: bool,
    /// Whether a session fails whose new key cannot be recorded. Default false: it goes on, as with
    /// OpenSSH, with a warning ([`UNRECORDED`]), and its pool is bound to the key.
    pub must_record: bool,
}

impl HostKeys {
    /// This policy on the user's own files.
    pub fn new(policy: HostKeyPolicy) -> Self {
        Self { policy, ..Self::default() }
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

    /// Checks that any key can be believed at all.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] for pins of which there is none.
    pub fn validate(&self) -> Result<(), SshError> {
        match &self.policy {
            HostKeyPolicy::Pinned(pins) if pins.is_empty() => {
                Err(SshError::invalid("host_keys", "pins no key"))
            }
            _ => Ok(()),
        }
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
