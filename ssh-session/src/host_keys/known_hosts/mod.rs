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
mod line;
mod name;

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use line::{Line, Marker};

pub(crate) use name::{DEFAULT_PORT, Names};

use crate::{HostCertificate, HostKey, Preferences, SshError};

/// The largest file: a million hosts and more.
const LARGEST: u64 = 64 << 20;

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
        self.lookup_names(&Names::of(host, port), key)
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
        self.add_names(&Names::of(host, port), key)
    }

    pub(crate) fn lookup_names(&self, names: &Names, key: &HostKey) -> Result<Lookup, SshError> {
        let lookup = judge(self.lines_about(&names.own)?, key);
        if let (Lookup::Unknown, Some(without_port)) = (&lookup, &names.without_port) {
            let lookup = judge(self.lines_about(without_port)?, key);
            // A key that differs there says nothing about this port's server.
            return Ok(if lookup == Lookup::Known { lookup } else { Lookup::Unknown });
        }
        Ok(lookup)
    }

    /// Where the files name the authority of a certificate for this host, or revoke it.
    pub(crate) fn authority(
        &self,
        names: &Names,
        certificate: &HostCertificate,
    ) -> Result<Authority, SshError> {
        let mut authority = Authority::Unknown;
        for found in self.lines_about(&names.own)? {
            let is_signer = found.key == *certificate.authority();
            match found.marker {
                Some(Marker::Revoked) if is_signer || found.key == *certificate.key() => {
                    return Ok(Authority::Revoked { path: found.path, line: found.line });
                }
                Some(Marker::CertAuthority) if is_signer && authority == Authority::Unknown => {
                    authority = Authority::Named { path: found.path, line: found.line };
                }
                _ => {}
            }
        }
        if let (Authority::Unknown, Some(without_port)) = (&authority, &names.without_port) {
            let names = Names { own: without_port.clone(), without_port: None };
            let there = self.authority(&names, certificate)?;
            // What is revoked there says nothing about this port's server.
            if let Authority::Named { .. } = there {
                return Ok(there);
            }
        }
        Ok(authority)
    }

    pub(crate) fn preferences_names(&self, names: &Names) -> Result<Preferences, SshError> {
        let mut found = self.lines_about(&names.own)?;
        let mut certificates = has_authority(&found);
        if let Some(without_port) = &names.without_port {
            let there = self.lines_about(without_port)?;
            certificates |= has_authority(&there);
            if found.is_empty() {
                found = there;
            }
        }
        let mut known: Vec<String> = Vec::new();
        for found in found.into_iter().filter(|found| found.marker.is_none()) {
            if !known.iter().any(|known| known == found.key.algorithm()) {
                known.push(found.key.algorithm().to_owned());
            }
        }
        Ok(Preferences { known, certificates })
    }

    pub(crate) fn add_names(&self, names: &Names, key: &HostKey) -> Result<(), SshError> {
        let Some(path) = self.written() else { return Ok(()) };
        if !names.can_be_written() {
            let text = "the host's name would be a pattern or a comment in it";
            return Err(unusable(path, io::Error::new(io::ErrorKind::InvalidInput, text)));
        }
        append::locked(path, |append| {
            // Another process may have met the host first. What it recorded is judged at the next
            // connect; two keys for one host would hide a change.
            if self.lines_about(&names.own)?.iter().all(|found| found.marker.is_some()) {
                append
                    .line(&format!("{} {}", names.own, key.to_text()))
                    .map_err(|source| unusable(path, source))?;
            }
            Ok(())
        })
    }

    fn lines_about(&self, name: &str) -> Result<Vec<Found>, SshError> {
        let mut found = Vec::new();
        for path in self.user.iter().chain(&self.system) {
            let content = match content(path) {
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

fn has_authority(found: &[Found]) -> bool {
    found.iter().any(|found| found.marker == Some(Marker::CertAuthority))
}

/// A file, whole. `/dev/null` is one, too; a pipe would be waited for.
fn content(path: &Path) -> io::Result<Vec<u8>> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    if !kind.is_file() && !kind.is_char_device() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    let mut content = Vec::new();
    fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut content)?;
    if content.len() as u64 > LARGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 64 MiB"));
    }
    Ok(content)
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
