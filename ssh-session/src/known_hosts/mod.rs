//! known_hosts files, read and written as OpenSSH does.
//!
//! * Names may be plain, hashed (`|1|…`), `[host]:port`, or patterns with `*`, `?` and `!`.
//! * A host that is known by any key and presents another one has changed.
//! * `@revoked` keys are refused whatever else knows them. `@cert-authority` lines name keys that
//!   sign host certificates; they are not host keys.
//! * A host on a port of its own that has no line of its own is known by the line without a port,
//!   if the key is the same.
//! * Lines that make no sense are skipped with a warning.
//!
//! Two things are stricter. A file that is there but cannot be read is an error, because its lines
//! might have refused the key. And a key of a type that the host is not known by is a changed one,
//! where `StrictHostKeyChecking=accept-new` would add it: whoever sits in between chooses the type.

mod append;
mod line;
mod name;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use line::{Line, Marker};

pub(crate) use name::DEFAULT_PORT;

use crate::{HostKey, SshError};

/// The files that know hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownHosts {
    /// The first is written to.
    user: Vec<PathBuf>,
    system: Vec<PathBuf>,
}

/// What the files know about a key of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// The host is known by this key.
    Known,
    /// The host is known by other keys only.
    Changed {
        /// One of them, of the same type if there is one.
        key: HostKey,
        /// The file that knows it.
        path: PathBuf,
        /// The line in that file, from 1.
        line: usize,
    },
    /// The key is marked as revoked for this host.
    Revoked {
        /// The file that says so.
        path: PathBuf,
        /// The line in that file, from 1.
        line: usize,
    },
    /// No line is about this host.
    Unknown,
}

/// A line about the host asked for.
struct Found {
    marker: Option<Marker>,
    key: HostKey,
    path: PathBuf,
    line: usize,
}

/// OpenSSH's: `~/.ssh/known_hosts` (written), `~/.ssh/known_hosts2`, and the same two names with
/// `ssh_` in `/etc/ssh`.
impl Default for KnownHosts {
    fn default() -> Self {
        let (user, system) = default_files();
        Self { user, system }
    }
}

/// OpenSSH's default files, the user's and the system's.
pub(crate) fn default_files() -> (Vec<PathBuf>, Vec<PathBuf>) {
    let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
    let user = home.map_or_else(Vec::new, |home| {
        let folder = home.join(".ssh");
        vec![folder.join("known_hosts"), folder.join("known_hosts2")]
    });
    let system = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"];
    (user, system.map(PathBuf::from).to_vec())
}

impl KnownHosts {
    /// These files only. New hosts are added to the first; with none, they are not recorded.
    pub fn files(files: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        Self { user: files.into_iter().map(Into::into).collect(), system: Vec::new() }
    }

    /// A user's files and the system's. New hosts are added to the user's first; without one, they
    /// are not recorded.
    pub fn user_and_system(
        user: impl IntoIterator<Item = impl Into<PathBuf>>,
        system: impl IntoIterator<Item = impl Into<PathBuf>>,
    ) -> Self {
        Self {
            user: user.into_iter().map(Into::into).collect(),
            system: system.into_iter().map(Into::into).collect(),
        }
    }

    pub(crate) fn user_files(&self) -> &[PathBuf] {
        &self.user
    }

    pub(crate) fn system_files(&self) -> &[PathBuf] {
        &self.system
    }

    /// The file that new hosts are added to.
    pub fn written(&self) -> Option<&PathBuf> {
        self.user.first()
    }

    /// What the files know about this key of this host.
    ///
    /// # Errors
    ///
    /// [`SshError::KnownHosts`] if a file is there but cannot be read.
    pub fn lookup(&self, host: &str, port: u16, key: &HostKey) -> Result<Lookup, SshError> {
        let lookup = judge(self.lines_about(&name::of(host, port))?, key);
        if lookup == Lookup::Unknown && port != DEFAULT_PORT {
            let without_port = name::of(host, DEFAULT_PORT);
            let lookup = judge(self.lines_about(&without_port)?, key);
            // A key that differs there says nothing about this port's server.
            return Ok(if lookup == Lookup::Known { lookup } else { Lookup::Unknown });
        }
        Ok(lookup)
    }

    /// The types of keys this host is known by, in the files' order.
    ///
    /// # Errors
    ///
    /// [`SshError::KnownHosts`] if a file is there but cannot be read.
    pub fn algorithms(&self, host: &str, port: u16) -> Result<Vec<String>, SshError> {
        let mut found = self.lines_about(&name::of(host, port))?;
        if found.is_empty() && port != DEFAULT_PORT {
            found = self.lines_about(&name::of(host, DEFAULT_PORT))?;
        }
        let mut algorithms: Vec<String> = Vec::new();
        for found in found.into_iter().filter(|found| found.marker.is_none()) {
            if !algorithms.iter().any(|known| known == found.key.algorithm()) {
                algorithms.push(found.key.algorithm().to_owned());
            }
        }
        Ok(algorithms)
    }

    /// Adds a host's key to the first file, creating file and folder if need be, unless the files
    /// know it by now. Safe against other processes that do the same: one whole line is appended
    /// under a lock.
    ///
    /// # Errors
    ///
    /// [`SshError::KnownHosts`] if the file cannot be written, or somebody else keeps it locked for
    /// 2 s.
    pub fn add(&self, host: &str, port: u16, key: &HostKey) -> Result<(), SshError> {
        let Some(path) = self.written() else { return Ok(()) };
        append::locked(path, |append| {
            // Another process may have met the host first. What it recorded is judged at the next
            // connect; two keys for one host would hide a change.
            if self.lines_about(&name::of(host, port))?.iter().all(|found| found.marker.is_some()) {
                append
                    .line(&format!("{} {}", name::of(host, port), key.to_text()))
                    .map_err(|source| unusable(path, source))?;
            }
            Ok(())
        })
    }

    fn lines_about(&self, name: &str) -> Result<Vec<Found>, SshError> {
        let mut found = Vec::new();
        for path in self.user.iter().chain(&self.system) {
            let content = match fs::read(path) {
                Ok(content) => content,
                Err(error) if is_absent(&error) => continue,
                Err(error) => return Err(unusable(path, error)),
            };
            for (index, text) in content.split(|byte| *byte == b'\n').enumerate() {
                let number = index + 1;
                match Line::parse(text) {
                    Ok(Some(line)) if line.is_about(name) => found.push(Found {
                        marker: line.marker,
                        key: line.key,
                        path: path.clone(),
                        line: number,
                    }),
                    Ok(_) => {}
                    Err(problem) => tracing::warn!(
                        path = %path.display(),
                        line = number,
                        problem,
                        "known_hosts line skipped"
                    ),
                }
            }
        }
        Ok(found)
    }
}

fn judge(found: Vec<Found>, key: &HostKey) -> Lookup {
    let mut same_type = None;
    let mut other = None;
    let mut known = false;
    for found in found {
        match found.marker {
            Some(Marker::Revoked) if found.key == *key => {
                return Lookup::Revoked { path: found.path, line: found.line };
            }
            Some(_) => {}
            None if found.key == *key => known = true,
            None if found.key.algorithm() == key.algorithm() => {
                same_type.get_or_insert(found);
            }
            None => {
                other.get_or_insert(found);
            }
        }
    }
    match same_type.or(other) {
        _ if known => Lookup::Known,
        Some(Found { key, path, line, .. }) => Lookup::Changed { key, path, line },
        None => Lookup::Unknown,
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn unusable(path: &Path, source: io::Error) -> SshError {
    SshError::KnownHosts { path: path.to_owned(), source: Arc::new(source) }
}
