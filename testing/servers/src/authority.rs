//! An authority that signs certificates of users and hosts, by `ssh-keygen`.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::keys::KeyPair;

/// Signs certificates. Its key is removed on drop.
#[derive(Debug)]
pub struct Authority {
    folder: tempfile::TempDir,
    public_line: String,
}

impl Authority {
    /// A new one, with an ed25519 key.
    pub fn new() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("test-authority-").tempdir()?;
        let pair = KeyPair::ed25519()?;
        pair.write(&folder.path().join("key"))?;
        Ok(Self { public_line: pair.public_line()?, folder })
    }

    /// Its public key as one OpenSSH line: for `TrustedUserCAKeys`, or for a known_hosts line
    /// behind `@cert-authority` and the names of hosts.
    pub fn public_line(&self) -> &str {
        &self.public_line
    }

    /// Signs the public key beside the private key `key`, for these users, comma between them.
    /// Returns the certificate's file, `key` with `-cert.pub` behind it.
    pub fn certify_user(&self, key: &Path, users: &str) -> io::Result<PathBuf> {
        self.certify(key, &["-n", users])
    }

    /// As [`certify_user`](Self::certify_user), for hosts.
    pub fn certify_host(&self, key: &Path, hosts: &str) -> io::Result<PathBuf> {
        self.certify(key, &["-h", "-n", hosts])
    }

    fn certify(&self, key: &Path, arguments: &[&str]) -> io::Result<PathBuf> {
        let output = Command::new("ssh-keygen")
            .arg("-q")
            .arg("-s")
            .arg(self.folder.path().join("key"))
            .args(["-I", "test-servers"])
            .args(arguments)
            .arg(with_ending(key, ".pub"))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| io::Error::new(error.kind(), format!("ssh-keygen: {error}")))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(io::Error::other(format!("ssh-keygen: {said}")));
        }
        Ok(with_ending(key, "-cert.pub"))
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}
