//! Private keys, read before anything is sent, so that a bad file is told apart from a refusal.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use ssh_key::{Kdf, PrivateKey};

use super::login::{Key, KeySource};
use super::pem;
use crate::{KeyProblem, KeyRules, files, printable};

/// The most rounds of bcrypt (`ssh-keygen -a`). Its default is 16 or 24, which takes a tenth of a
/// second; so many take seconds, and cannot be stopped once they are begun.
pub const MAX_ROUNDS: u32 = 1_000;

/// A private key that was read.
#[derive(Debug)]
pub enum OpenedKey {
    /// It was in OpenSSH's format, and is decrypted.
    OpenSsh(Box<PrivateKey>),
    /// It is in PEM.
    Pem {
        /// Its text, decrypted as far as that is known here.
        text: SecretString,
        /// Set where the backend's library has to decrypt it.
        passphrase: Option<SecretString>,
        /// The public half in wire format, where it is known.
        public: Option<Vec<u8>>,
    },
}

impl Key {
    /// Reads it and decrypts it. To be called where that may wait: files may
    /// be far away, and decrypting is slow by design.
    ///
    /// # Errors
    ///
    /// If the file is not there, cannot be read, or is open to others
    /// ([`KeyRules::strict_modes`]); if it holds no private key; if its passphrase is missing,
    /// wrong, or takes more than [`MAX_ROUNDS`] of bcrypt, or as much of what PEM has, to be tried.
    pub fn open(&self, rules: &KeyRules) -> Result<OpenedKey, KeyProblem> {
        let text = self.text(rules)?;
        let content = text.expose_secret();
        let passphrase = self.passphrase.as_ref();
        if is_openssh(content) {
            return open_openssh(content.trim(), passphrase);
        }
        pem::open(text, passphrase)
    }

    /// Whether it is encrypted. To be called where reading it may wait.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), but for its passphrase.
    pub fn is_encrypted(&self, rules: &KeyRules) -> Result<bool, KeyProblem> {
        let text = self.text(rules)?;
        let content = text.expose_secret();
        if !is_openssh(content) {
            return Ok(pem::is_encrypted(content));
        }
        let key = PrivateKey::from_openssh(content.trim()).map_err(|error| unreadable(&error))?;
        Ok(key.is_encrypted())
    }

    /// The text of what is a private key, and may be used.
    fn text(&self, rules: &KeyRules) -> Result<SecretString, KeyProblem> {
        let (text, mode) = match &self.source {
            KeySource::Text(text) => (text.clone(), None),
            KeySource::File(path) => read(path)?,
        };
        let content = text.expose_secret();
        if content.contains("PUBLIC KEY-----") || content.starts_with("ssh-") {
            return Err(malformed("it is a public key; give the private one"));
        }
        if !content.contains("PRIVATE KEY-----") {
            return Err(malformed("it is no private key in OpenSSH or PEM format"));
        }
        match mode.filter(|mode| rules.strict_modes && mode & 0o077 != 0) {
            Some(mode) => Err(KeyProblem::TooOpen { mode }),
            None => Ok(text),
        }
    }
}

/// A file's text, and its mode where it is a file of ours: `ssh` cares about no others.
fn read(path: &Path) -> Result<(SecretString, Option<u32>), KeyProblem> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => KeyProblem::Missing,
        io::ErrorKind::InvalidData => malformed("it is not a text file"),
        _ => KeyProblem::Unreadable(Arc::new(error)),
    };
    let file = files::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let is_ours = metadata.is_file() && metadata.uid() == rustix::process::getuid().as_raw();
    let mode = is_ours.then(|| metadata.mode() & 0o777);
    Ok((files::text(file).map_err(failed)?.into(), mode))
}

fn is_openssh(content: &str) -> bool {
    content.contains("-----BEGIN OPENSSH PRIVATE KEY-----")
}

fn open_openssh(content: &str, passphrase: Option<&SecretString>) -> Result<OpenedKey, KeyProblem> {
    let mut key = PrivateKey::from_openssh(content).map_err(|error| unreadable(&error))?;
    if key.is_encrypted() {
        let passphrase = passphrase.ok_or(KeyProblem::PassphraseNeeded)?;
        if let Kdf::Bcrypt { rounds, .. } = key.kdf()
            && *rounds > MAX_ROUNDS
        {
            return Err(malformed(&format!(
                "its passphrase takes {rounds} rounds of bcrypt to try, more than {MAX_ROUNDS} \
                 (ssh-keygen -p -a 100 changes that)"
            )));
        }
        key = key.decrypt(passphrase.expose_secret()).map_err(|error| match error {
            ssh_key::Error::Crypto => KeyProblem::WrongPassphrase,
            other => unreadable(&other),
        })?;
    }
    Ok(OpenedKey::OpenSsh(Box::new(key)))
}

fn malformed(detail: &str) -> KeyProblem {
    KeyProblem::Malformed(detail.to_owned())
}

fn unreadable(error: &ssh_key::Error) -> KeyProblem {
    KeyProblem::Malformed(printable(error.to_string().as_bytes()))
}
