//! Other keys of a host that is known: `UpdateHostKeys` of `ssh_config(5)`.
//!
//! Behind the login a server may say which keys it has (`hostkeys-00@openssh.com`, OpenSSH's
//! PROTOCOL, 2.5). Those that are not known yet are recorded, once it has signed for each of them
//! (`hostkeys-prove-00@openssh.com`); so a key can be changed without a break, by having both for
//! a while. As with OpenSSH, only where the host is known from the user's own files by its name, on
//! a line of its own, and not by an authority.
//!
//! One thing is different: a known key that the server does not name is kept. Behind one address
//! there may be another server, whose key it is; `RevokedHostKeys` is for keys that got away.

use super::{HostKey, HostKeyCheck, HostKeyPolicy, PresentedKey};
use crate::{KnownHosts, SshError};

/// As many keys of one announcement are looked at. A server has one of each type.
pub(super) const MAX_KEYS: usize = 16;

impl HostKeyCheck {
    /// The key that a server presented, if other keys may be recorded beside it. To be asked once
    /// the verdict was accepted.
    pub fn learns_beside(&self, presented: &PresentedKey) -> Option<HostKey> {
        let PresentedKey::Plain(key) = presented else { return None };
        let host_keys = &self.host_keys;
        let follows_files =
            matches!(host_keys.policy, HostKeyPolicy::AcceptNew | HostKeyPolicy::Strict);
        let is_wanted = host_keys
            .update
            .unwrap_or_else(|| host_keys.files.user_files() == KnownHosts::default().user_files());
        // A new host is recorded by then.
        let files = &host_keys.files;
        let is_its_own = self.known.is_for_one_host(key, files.user_files())
            || (self.known.is_new() && files.written().is_some());
        let may = follows_files && is_wanted && is_its_own && self.told.authority().is_none();
        may.then(|| key.clone())
    }

    /// Which of the keys that a server says it has are to be proven, in its order: those of types
    /// that it would be asked for, and that are neither known nor revoked.
    pub fn unproven(&self, announced: &[HostKey]) -> Vec<HostKey> {
        let algorithms = self.host_keys.algorithms.names();
        let asked = |key: &&HostKey| match key.algorithm() {
            "ssh-rsa" => algorithms.iter().any(|name| name.starts_with("rsa-sha2-")),
            other => algorithms.iter().any(|name| name == other),
        };
        let fits = |key: &&HostKey| {
            self.fits(key).is_ok()
                && self.revoked.find(key, None).is_none()
                && self.known.misses(key)
        };
        let mut unproven: Vec<HostKey> = Vec::new();
        for key in announced.iter().take(MAX_KEYS).filter(asked).filter(fits) {
            if !unproven.contains(key) {
                unproven.push(key.clone());
            }
        }
        unproven
    }

    /// Records keys that a server has proven to have beside `own`, which it presented, and says how
    /// many. None are where the user's files don't know `own` by now. To be called where that may
    /// wait.
    ///
    /// # Errors
    ///
    /// [`SshError::KnownHosts`] if a file cannot be read, or the first not be written.
    pub fn record_proven(&self, own: &HostKey, proven: &[HostKey]) -> Result<usize, SshError> {
        let HostKeyCheck { host_keys, names, .. } = self;
        let count = host_keys.files.record_beside(names, own, proven, host_keys.hash_names)?;
        if count > 0 {
            tracing::info!(host = names.own(), count, "recorded host keys that the server proved");
        }
        Ok(count)
    }
}
