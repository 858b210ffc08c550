//! Adding hosts, and more keys of hosts.

use std::io;
use std::path::{Path, PathBuf};

use super::{KnownHosts, Lookup, Names, append, hashed, unusable};
use crate::{HostKey, SshError};

/// What became of a line that was to be added.
#[derive(Debug)]
pub(crate) enum Recorded {
    /// The files know the host by this key now.
    Known,
    /// They know it by another one, by now.
    Other { key: HostKey, path: PathBuf, line: usize },
    /// There is no file to be written to, or this one keeps nothing.
    Nowhere(Option<PathBuf>),
}

impl KnownHosts {
    /// Adds a line for a host, unless one is there by now.
    pub(crate) fn record(
        &self,
        names: &Names,
        key: &HostKey,
        hash_names: bool,
    ) -> Result<Recorded, SshError> {
        let Some(path) = self.written() else { return Ok(Recorded::Nowhere(None)) };
        if !names.can_be_written() {
            let text = "the host's name would be a pattern or a comment in it";
            return Err(unusable(path, io::Error::new(io::ErrorKind::InvalidInput, text)));
        }
        // Another process may have met the host first: two keys for one host would hide a change.
        let known = || {
            let known = self.read(&Names { without_port: None, ..names.clone() })?;
            Ok(match known.lookup(key) {
                Lookup::Known => Some(Recorded::Known),
                Lookup::Changed { key, path, line } => Some(Recorded::Other { key, path, line }),
                Lookup::Revoked { .. } | Lookup::Unknown => None,
            })
        };
        append::locked(path, |append| {
            if let Some(known) = known()? {
                return Ok(known);
            }
            append_line(append, path, names, key, hash_names)?;
            // Such as /dev/null takes every line and keeps none.
            Ok(known()?.unwrap_or_else(|| Recorded::Nowhere(Some(path.clone()))))
        })
    }

    /// Adds lines for more keys of a host that a user's file knows by one of its keys, on a line of
    /// its own. How many were added.
    pub(crate) fn record_beside(
        &self,
        names: &Names,
        own: &HostKey,
        more: &[HostKey],
        hash_names: bool,
    ) -> Result<usize, SshError> {
        let Some(path) = self.written() else { return Ok(0) };
        append::locked(path, |append| {
            let known = self.read(&Names { without_port: None, ..names.clone() })?;
            if !known.is_for_one_host(own, &self.user) {
                return Ok(0);
            }
            let mut count = 0;
            for key in more.iter().filter(|key| known.misses(key)) {
                append_line(append, path, names, key, hash_names)?;
                count += 1;
            }
            Ok(count)
        })
    }
}

fn append_line(
    append: &mut append::Append,
    path: &Path,
    names: &Names,
    key: &HostKey,
    hash_names: bool,
) -> Result<(), SshError> {
    let failed = |source| unusable(path, source);
    let name = match hash_names {
        true => hashed::hashed(&names.own)
            .ok_or_else(|| failed(io::Error::other("no randomness to hash its name")))?,
        false => names.own.clone(),
    };
    append.line(&format!("{name} {}", key.to_text())).map_err(failed)
}
