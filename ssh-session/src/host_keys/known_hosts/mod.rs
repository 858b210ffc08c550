//! known_hosts files, read and written as OpenSSH does.
//!
//! * Names may be plain, hashed (`|1|…`), `[host]:port`, or patterns with `*`, `?` and `!`.
//! * A host that is known by any key and presents another one has changed.
//! * `@revoked` keys are refused whatever else knows them, as keys of hosts, as certified keys and
//!   as keys that certify. `@cert-authority` lines name keys that sign host certificates; they are
//!   not host keys.
//! * A certificate that does not hold is as good as the bare key in it: that may be known.
//! * A host on a port of its own that has no line of its own is known by the line without a port,
//!   if the key is the same.
//! * Lines that make no sense are skipped with a warning.
//!
//! One thing is stricter: a file that is there but cannot be read is an error, because its lines
//! might have refused the key. It is marked in the table of `tests/host_keys`, which asks OpenSSH's
//! own `ssh` the same. A key of a type that the host is not known by is a changed one, for `ssh`
//! too, also with `accept-new`: whoever sits in between chooses the type.

mod append;
mod content;
mod hashed;
mod line;
mod name;
mod record;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use content::Content;
use line::Marker;

pub(crate) use name::{DEFAULT_PORT, Names};
pub(crate) use record::Recorded;

use crate::{HostCertificate, HostKey, SshError};

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

/// What the files say about the authority that signed a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Authority {
    /// It may sign for this host.
    Named { path: PathBuf, line: usize },
    /// It, or the certified key, is revoked.
    Revoked { path: PathBuf, line: usize },
    /// No line names it.
    Unknown,
}

/// A line about the host asked for.
#[derive(Debug, Clone)]
struct Found {
    marker: Option<Marker>,
    key: HostKey,
    path: PathBuf,
    line: usize,
    /// Whether the line is about this host only: one name, maybe with an address, or a hash.
    is_own: bool,
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
        Ok(self.read(&Names::of(host, port))?.lookup(key))
    }

    /// Adds a host's key to the first file, creating file and folder if need be, unless the files
    /// know it by now. Safe against other processes that do the same: one whole line is appended
    /// under a lock.
    ///
    /// # Errors
    ///
    /// [`SshError::KnownHosts`] if the host's name would be a pattern or a comment in the file, if
    /// the file cannot be written, or somebody else keeps it locked for 2 s.
    pub fn add(&self, host: &str, port: u16, key: &HostKey) -> Result<(), SshError> {
        self.record(&Names::of(host, port), key, false).map(drop)
    }

    /// All that the files say about a host, from one reading.
    pub(crate) fn read(&self, names: &Names) -> Result<Known, SshError> {
        let mut known = Known::default();
        for path in self.user.iter().chain(&self.system) {
            let content = match Content::of(path) {
                Ok(content) => content,
                Err(error) if is_absent(&error) => continue,
                Err(error) => return Err(unusable(path, error)),
            };
            known.own.extend(found(&content, &names.own, path));
            if let Some(without_port) = &names.without_port {
                known.without_port.extend(found(&content, without_port, path));
            }
        }
        Ok(known)
    }
}

/// What the files say about a host.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    own: Vec<Found>,
    /// By its name without the port, where it has one of its own.
    without_port: Vec<Found>,
}

impl Known {
    /// What a text says that is no file's.
    pub(crate) fn of(text: Vec<u8>, names: &Names, path: &Path) -> Self {
        let content = Content::parse(text, path);
        let about = |name: &String| found(&content, name, path);
        Self {
            own: about(&names.own),
            without_port: names.without_port.as_ref().map(about).unwrap_or_default(),
        }
    }

    /// Both, this before the other.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.own.extend(other.own);
        self.without_port.extend(other.without_port);
        self
    }

    /// Whether no line has this key, not even to revoke it.
    pub(crate) fn misses(&self, key: &HostKey) -> bool {
        self.own.iter().all(|found| found.key != *key)
    }

    /// Whether one of these files knows the host by a key, on a line that is about no other host,
    /// and no authority covers it.
    pub(crate) fn is_for_one_host(&self, key: &HostKey, files: &[PathBuf]) -> bool {
        let is_own = |found: &Found| {
            let plain = found.is_own && found.marker.is_none();
            plain && found.key == *key && files.contains(&found.path)
        };
        self.own.iter().any(is_own) && self.authority().is_none()
    }

    /// Whether no line names a key for the host.
    pub(crate) fn is_new(&self) -> bool {
        self.own.is_empty() && self.without_port.is_empty()
    }

    pub(crate) fn lookup(&self, key: &HostKey) -> Lookup {
        let lookup = judge(&self.own, key);
        if lookup == Lookup::Unknown {
            // A key that differs there says nothing about this port's server.
            let there = judge(&self.without_port, key);
            return if there == Lookup::Known { there } else { lookup };
        }
        lookup
    }

    /// What the files say about the authority of a certificate.
    pub(crate) fn authority_of(&self, certificate: &HostCertificate) -> Authority {
        match authority(&self.own, certificate) {
            // What is revoked there says nothing about this port's server.
            Authority::Unknown => match authority(&self.without_port, certificate) {
                named @ Authority::Named { .. } => named,
                _ => Authority::Unknown,
            },
            other => other,
        }
    }

    /// Where an authority for the host is named.
    pub(crate) fn authority(&self) -> Option<(&Path, usize)> {
        let all = self.own.iter().chain(&self.without_port);
        all.filter(|found| found.marker == Some(Marker::CertAuthority))
            .map(|found| (found.path.as_path(), found.line))
            .next()
    }

    /// The types of keys that the host is known by, in the files' order.
    pub(crate) fn key_types(&self) -> Vec<&str> {
        let found = if self.own.is_empty() { &self.without_port } else { &self.own };
        let mut types: Vec<&str> = Vec::new();
        for found in found.iter().filter(|found| found.marker.is_none()) {
            if !types.contains(&found.key.algorithm()) {
                types.push(found.key.algorithm());
            }
        }
        types
    }
}

/// The lines of a file about a name.
fn found(content: &Content, name: &str, path: &Path) -> Vec<Found> {
    let mut found = Vec::new();
    for line in content.about(name) {
        match line.key(content.text()) {
            Ok(key) => found.push(Found {
                marker: line.marker,
                key,
                path: path.to_owned(),
                line: line.number,
                is_own: line.is_of_one_host(content.text()),
            }),
            Err(problem) => content::skipped(path, line.number, problem),
        }
    }
    found
}

fn judge(found: &[Found], key: &HostKey) -> Lookup {
    let mut same_type = None;
    let mut other = None;
    let mut known = false;
    for found in found {
        match found.marker {
            Some(Marker::Revoked) if found.key == *key => {
                return Lookup::Revoked { path: found.path.clone(), line: found.line };
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
        Some(Found { key, path, line, .. }) => {
            Lookup::Changed { key: key.clone(), path: path.clone(), line: *line }
        }
        None => Lookup::Unknown,
    }
}

fn authority(found: &[Found], certificate: &HostCertificate) -> Authority {
    let mut authority = Authority::Unknown;
    for found in found {
        let is_signer = found.key == *certificate.authority();
        let (path, line) = (found.path.clone(), found.line);
        match found.marker {
            Some(Marker::Revoked) if is_signer || found.key == *certificate.key() => {
                return Authority::Revoked { path, line };
            }
            Some(Marker::CertAuthority) if is_signer && authority == Authority::Unknown => {
                authority = Authority::Named { path, line };
            }
            _ => {}
        }
    }
    authority
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn unusable(path: &Path, source: io::Error) -> SshError {
    SshError::KnownHosts { path: path.to_owned(), source: Arc::new(source) }
}
