//! As whom to log in.

use std::fmt;
use std::path::PathBuf;

use secrecy::SecretString;

/// One way to prove who we are. Secrets are wiped from memory when dropped and never printed.
#[derive(Clone)]
#[non_exhaustive]
pub enum Auth {
    /// A password.
    Password(SecretString),
    /// A private key in a file, in OpenSSH's or PEM format.
    KeyFile {
        /// The private key's file.
        path: PathBuf,
        /// What the key is encrypted with, if it is.
        passphrase: Option<SecretString>,
    },
    /// A private key in memory: the text of a key file.
    KeyData {
        /// The private key, in OpenSSH's or PEM format.
        key: SecretString,
        /// What the key is encrypted with, if it is.
        passphrase: Option<SecretString>,
    },
    /// Every key that the agent at `SSH_AUTH_SOCK` holds, one after another.
    Agent,
}

impl Auth {
    /// A password.
    pub fn password(password: impl Into<String>) -> Self {
        Self::Password(password.into().into())
    }

    /// A private key file that is not encrypted.
    pub fn key_file(path: impl Into<PathBuf>) -> Self {
        Self::KeyFile { path: path.into(), passphrase: None }
    }

    /// An encrypted private key file.
    pub fn encrypted_key_file(path: impl Into<PathBuf>, passphrase: impl Into<String>) -> Self {
        Self::KeyFile { path: path.into(), passphrase: Some(passphrase.into().into()) }
    }

    /// A private key from memory, as the text of its file.
    pub fn key_data(key: impl Into<String>) -> Self {
        Self::KeyData { key: key.into().into(), passphrase: None }
    }

    /// The files of the user's private keys that OpenSSH tries when none is named, in its order.
    /// Those whose key is in a device are left out: the agent has them. Empty without a home.
    pub fn default_key_files() -> Vec<PathBuf> {
        let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
        let names = ["id_rsa", "id_ecdsa", "id_ed25519"];
        home.map_or_else(Vec::new, |home| names.map(|name| home.join(".ssh").join(name)).to_vec())
    }

    /// The method's name, without secrets.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Password(_) => "password",
            Self::KeyFile { .. } => "private key file",
            Self::KeyData { .. } => "private key",
            Self::Agent => "agent",
        }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyFile { path, .. } => write!(f, "KeyFile({path:?})"),
            other => f.write_str(other.name()),
        }
    }
}
