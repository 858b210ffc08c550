//! Keys that are refused whatever else is said: `RevokedHostKeys` of `ssh_config(5)`.

mod krl;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{HostCertificate, HostKey};
use crate::{SshError, files};
use krl::Krl;

/// The largest file.
const MAX_SIZE: u64 = 16 << 20;

/// What the files revoke.
#[derive(Debug, Default)]
pub(super) struct Revoked(Vec<(PathBuf, List)>);

#[derive(Debug)]
enum List {
    /// Public keys, one a line.
    Keys(Vec<u8>),
    /// What `ssh-keygen -k` makes.
    Krl(Krl),
}

impl Revoked {
    /// Reads all of these. One that is missing or cannot be read is an error, as for `ssh`: what
    /// it would refuse is not known.
    pub(super) fn read(files: &[PathBuf]) -> Result<Self, SshError> {
        let read = |path: &PathBuf| Ok((path.clone(), list(path)?));
        files.iter().map(read).collect::<Result<_, SshError>>().map(Self)
    }

    /// The file and the line that revoke a key, its certificate or that one's authority. Lines are
    /// counted from 1; 0 is a file without lines.
    pub(super) fn find(
        &self,
        key: &HostKey,
        certificate: Option<&HostCertificate>,
    ) -> Option<(PathBuf, usize)> {
        self.0.iter().find_map(|(path, list)| {
            let line = match list {
                List::Krl(krl) => krl.revokes(key, certificate).then_some(0),
                List::Keys(lines) => line_of(lines, key, certificate),
            };
            line.map(|line| (path.clone(), line))
        })
    }
}

fn line_of(content: &[u8], key: &HostKey, certificate: Option<&HostCertificate>) -> Option<usize> {
    let authority = certificate.map(HostCertificate::authority);
    let revokes = |line: &[u8]| {
        let read = key_of(line);
        read.is_some_and(|read| read == *key || Some(&read) == authority)
    };
    content.split(|byte| *byte == b'\n').position(revokes).map(|index| index + 1)
}

/// The key in a line: its type and the key in base64. `None` for comments and what is no key.
fn key_of(line: &[u8]) -> Option<HostKey> {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let mut word = || std::str::from_utf8(words.next()?).ok();
    HostKey::from_text(word()?, word()?)
}

fn list(path: &Path) -> Result<List, SshError> {
    let failed = |source: io::Error| SshError::KnownHosts {
        path: path.to_owned(),
        source: Arc::new(source),
    };
    let content = files::open(path).and_then(|file| files::read(file, MAX_SIZE)).map_err(failed)?;
    if content.starts_with(krl::MAGIC) {
        let parsed = Krl::parse(&content);
        let parsed = parsed.map_err(|problem| io::Error::new(io::ErrorKind::InvalidData, problem));
        return parsed.map(List::Krl).map_err(failed);
    }
    Ok(List::Keys(content))
}
