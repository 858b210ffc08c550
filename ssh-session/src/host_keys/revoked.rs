//! Keys that are refused whatever else is said: `RevokedHostKeys` of `ssh_config(5)`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{HostCertificate, HostKey};
use crate::{SshError, files};

/// The largest file.
const LARGEST: u64 = 16 << 20;

/// Lists of keys, one a line, in files.
#[derive(Debug, Default)]
pub(super) struct Revoked(Vec<(PathBuf, Vec<u8>)>);

impl Revoked {
    /// Reads all of these. One that is missing or cannot be read is an error, as for `ssh`: what
    /// it would refuse is not known.
    pub(super) fn read(files: &[PathBuf]) -> Result<Self, SshError> {
        let read = |path: &PathBuf| Ok((path.clone(), content(path)?));
        files.iter().map(read).collect::<Result<_, SshError>>().map(Self)
    }

    /// The file and the line that revoke a key, or the authority of its certificate.
    pub(super) fn find(
        &self,
        key: &HostKey,
        certificate: Option<&HostCertificate>,
    ) -> Option<(PathBuf, usize)> {
        let authority = certificate.map(HostCertificate::authority);
        self.0.iter().find_map(|(path, content)| {
            let lines = content.split(|byte| *byte == b'\n').enumerate();
            let revokes = |line: &[u8]| {
                let read = key_of(line);
                read.is_some_and(|read| read == *key || Some(&read) == authority)
            };
            let mut found = lines.filter(|(_, line)| revokes(line));
            found.next().map(|(index, _)| (path.clone(), index + 1))
        })
    }
}

/// The key in a line: its type and the key in base64. `None` for comments and what is no key.
fn key_of(line: &[u8]) -> Option<HostKey> {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let mut word = || std::str::from_utf8(words.next()?).ok();
    HostKey::from_text(word()?, word()?)
}

fn content(path: &Path) -> Result<Vec<u8>, SshError> {
    let failed = |source: io::Error| SshError::KnownHosts {
        path: path.to_owned(),
        source: Arc::new(source),
    };
    files::open(path).and_then(|file| files::read(file, LARGEST)).map_err(failed)
}
