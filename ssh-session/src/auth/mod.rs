//! As whom to log in.

pub mod login;
mod pem;
mod private_key;
mod prompt;
mod rules;

use std::fmt;
use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};

use crate::{SshError, Target};

pub use private_key::{MAX_ROUNDS, OpenedKey};
pub use prompt::{Answers, AskPassword, Prompt, Question};
pub use rules::{KeyRules, Methods};

/// One way to prove who we are. Secrets are wiped from memory when dropped and never printed.
#[derive(Clone)]
#[non_exhaustive]
pub enum Auth {
    /// A password.
    Password(SecretString),
    /// A password that is asked for when it is needed, instead of one that is kept.
    AskPassword(AskPassword),
    /// Answers to whatever the server asks (keyboard-interactive, RFC 4256): passwords as PAM asks
    /// for them, codes of a second factor.
    KeyboardInteractive(Answers),
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
    /// A private key in a file, and a secret that is its passphrase or, where the key is not
    /// encrypted, a password. It is never sent to a server once the key turned out to be
    /// encrypted, nor where nobody can tell. Where both are known, give both: a
    /// [`KeyFile`](Self::KeyFile) and a [`Password`](Self::Password).
    KeyFileOrPassword {
        /// The private key's file.
        path: PathBuf,
        /// Its passphrase, or the password.
        secret: SecretString,
    },
    /// A private key with a certificate for it, signed by an authority that the server believes.
    Certificate {
        /// The private key: a [`KeyFile`](Self::KeyFile) or a [`KeyData`](Self::KeyData).
        key: Box<Auth>,
        /// Its certificate, in OpenSSH's format.
        certificate: CertificateSource,
    },
    /// Every key that the agent at `SSH_AUTH_SOCK` holds, one after another.
    Agent,
    /// Keys of an agent, one after another.
    AgentWith {
        /// The agent's socket; `None` for the one at `SSH_AUTH_SOCK`.
        socket: Option<PathBuf>,
        /// Only keys whose public half is in one of these files, in this order, or in a file of
        /// the same name with `.pub` behind it. Empty for every key.
        only: Vec<PathBuf>,
    },
    /// What OpenSSH tries when nothing is said: the agent's keys, if there is an agent, then those
    /// of [`default_key_files`](Self::default_key_files) that exist and are not encrypted. A
    /// missing agent or file is no error, unless there is nothing at all.
    Auto,
}

/// Where an OpenSSH user certificate is.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CertificateSource {
    /// In a file, such as `id_ed25519-cert.pub`.
    File(PathBuf),
    /// In memory: the text of such a file.
    Text(String),
}

impl Auth {
    /// A password.
    pub fn password(password: impl Into<String>) -> Self {
        Self::Password(password.into().into())
    }

    /// A password that `ask` gives for each login that needs one, or `None` to give up.
    pub fn ask_password(
        ask: impl Fn(&Target) -> Option<SecretString> + Send + Sync + 'static,
    ) -> Self {
        Self::AskPassword(AskPassword::new(ask))
    }

    /// Answers that `answer` gives to each prompt of the server, one for each question, or `None`
    /// to give up.
    pub fn keyboard_interactive(
        answer: impl Fn(&Prompt) -> Option<Vec<SecretString>> + Send + Sync + 'static,
    ) -> Self {
        Self::KeyboardInteractive(Answers::new(answer))
    }

    /// A private key file that is not encrypted.
    pub fn key_file(path: impl Into<PathBuf>) -> Self {
        Self::KeyFile { path: path.into(), passphrase: None }
    }

    /// An encrypted private key file.
    pub fn encrypted_key_file(path: impl Into<PathBuf>, passphrase: impl Into<String>) -> Self {
        Self::KeyFile { path: path.into(), passphrase: Some(passphrase.into().into()) }
    }

    /// A private key file, and what is its passphrase or, if it has none, a password.
    pub fn key_file_or_password(path: impl Into<PathBuf>, secret: impl Into<String>) -> Self {
        Self::KeyFileOrPassword { path: path.into(), secret: secret.into().into() }
    }

    /// A private key from memory, as the text of its file.
    pub fn key_data(key: impl Into<String>) -> Self {
        Self::KeyData { key: key.into().into(), passphrase: None }
    }

    /// This private key with the certificate in a file.
    #[must_use]
    pub fn with_certificate(self, certificate: impl Into<PathBuf>) -> Self {
        let certificate = CertificateSource::File(certificate.into());
        Self::Certificate { key: Box::new(self), certificate }
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
            Self::Password(_) | Self::AskPassword(_) => "password",
            Self::KeyboardInteractive(_) => "keyboard-interactive",
            Self::KeyFile { .. } => "private key file",
            Self::KeyFileOrPassword { .. } => "private key file or password",
            Self::KeyData { .. } => "private key",
            Self::Certificate { .. } => "certificate",
            Self::Agent | Self::AgentWith { .. } => "agent",
            Self::Auto => "agent and default keys",
        }
    }

    /// Checks what no server could make sense of.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] if a password has a NUL character in it, a path is empty, a
    /// certificate is for something that is no private key, or a certificate's text is none.
    pub fn validate(&self) -> Result<(), SshError> {
        let path = |path: &PathBuf| match path.as_os_str().is_empty() {
            true => Err(SshError::invalid("auth", "names a file by an empty path")),
            false => Ok(()),
        };
        match self {
            Self::Password(password) | Self::KeyFileOrPassword { secret: password, .. }
                if password.expose_secret().contains('\0') =>
            {
                Err(SshError::invalid("password", "has a NUL character in it"))
            }
            Self::KeyFile { path: file, .. } | Self::KeyFileOrPassword { path: file, .. } => {
                path(file)
            }
            Self::Certificate { key, certificate } => {
                if !matches!(**key, Self::KeyFile { .. } | Self::KeyData { .. }) {
                    return Err(SshError::invalid(
                        "auth",
                        format!("has a certificate for {}, which is no private key", key.name()),
                    ));
                }
                key.validate()?;
                match certificate {
                    CertificateSource::File(file) => path(file),
                    CertificateSource::Text(text) if is_certificate(text) => Ok(()),
                    CertificateSource::Text(_) => Err(SshError::invalid(
                        "auth",
                        "has a certificate that is not one in OpenSSH's format",
                    )),
                }
            }
            Self::AgentWith { socket, only } => socket.iter().chain(only).try_for_each(path),
            _ => Ok(()),
        }
    }
}

fn is_certificate(text: &str) -> bool {
    ssh_key::Certificate::from_openssh(text).is_ok()
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyFile { path, .. } => write!(f, "KeyFile({path:?})"),
            Self::KeyFileOrPassword { path, .. } => write!(f, "KeyFileOrPassword({path:?})"),
            Self::Certificate { key, certificate } => {
                write!(f, "Certificate({key:?}, {certificate:?})")
            }
            Self::AgentWith { socket, only } => write!(f, "AgentWith({socket:?}, {only:?})"),
            other => f.write_str(other.name()),
        }
    }
}

/// Certificates are no secrets, but long.
impl fmt::Debug for CertificateSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({path:?})"),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Auth, CertificateSource};

    #[test]
    fn nonsense_is_refused() {
        let text = |text: &str| CertificateSource::Text(text.into());
        for auth in [
            Auth::password("a\0b"),
            Auth::key_file(""),
            Auth::Agent.with_certificate("c"),
            Auth::key_file("k").with_certificate(""),
            Auth::key_file("k").with_certificate("c").with_certificate("c"),
            Auth::Certificate { key: Box::new(Auth::key_file("k")), certificate: text("ssh-rsa") },
            Auth::AgentWith { socket: Some("".into()), only: Vec::new() },
        ] {
            assert!(auth.validate().is_err(), "{auth:?}");
        }
        for auth in [
            Auth::password("p"),
            Auth::Auto,
            Auth::key_file("k").with_certificate("c"),
            Auth::AgentWith { socket: None, only: vec!["k".into()] },
        ] {
            assert!(auth.validate().is_ok(), "{auth:?}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        for auth in [
            Auth::password("geheim"),
            Auth::encrypted_key_file("k", "geheim"),
            Auth::key_data("geheim").with_certificate("c"),
            Auth::key_file_or_password("k", "geheim"),
            Auth::ask_password(|_| Some("geheim".into())),
            Auth::keyboard_interactive(|_| Some(vec!["geheim".into()])),
        ] {
            assert!(!format!("{auth:?} {}", auth.name()).contains("geheim"), "{auth:?}");
        }
    }
}
