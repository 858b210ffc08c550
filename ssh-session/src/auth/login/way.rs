//! Each way to log in, as far as it was gone.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use ssh_key::{Certificate, public::KeyData};

use super::Method;
use crate::{Answers, AskPassword, Auth, CertificateSource, KeyProblem, files, printable};

#[derive(Debug)]
pub(super) struct Way {
    pub(super) kind: Kind,
    /// Nothing of it is left to be sent.
    pub(super) spent: bool,
    /// It was sent by this method, which the server does not take for now.
    pub(super) unjudged: Option<Method>,
}

pub(super) enum Kind {
    Password(SecretString),
    AskPassword(AskPassword),
    /// A password, unless this key is encrypted.
    KeysPassword(Key),
    Answers(Answers),
    Key(Key),
    Agent(Agent),
}

/// A private key to be read and sent.
#[derive(Clone)]
#[non_exhaustive]
pub struct Key {
    /// Where it is.
    pub source: KeySource,
    /// What it is encrypted with, if it is.
    pub passphrase: Option<SecretString>,
    /// The certificate to send in place of its public half.
    pub certificate: Option<CertificateSource>,
    /// One of the files that OpenSSH tries unasked: one that is not there is no error, nor one
    /// that is encrypted.
    pub optional: bool,
}

/// Where a private key is.
#[derive(Clone)]
#[non_exhaustive]
pub enum KeySource {
    /// In a file.
    File(PathBuf),
    /// In memory: the text of such a file.
    Text(SecretString),
}

/// An agent to be asked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Agent {
    /// Its socket; `None` for the one at `SSH_AUTH_SOCK`.
    pub socket: Option<PathBuf>,
    /// The files of the public keys to send, in this order; empty for all.
    pub only: Vec<PathBuf>,
    /// There may be none, and it may be empty.
    pub optional: bool,
}

impl Way {
    /// All of them, in order; those that repeat another one left out.
    pub(super) fn all(auth: &[Auth]) -> Vec<Self> {
        let mut ways: Vec<Self> = Vec::new();
        for kind in auth.iter().flat_map(Kind::of) {
            let repeats = ways.iter().any(|way| match (&way.kind, &kind) {
                (_, Kind::Password(password)) => way.is_password(password),
                (Kind::AskPassword(one), Kind::AskPassword(other)) => one == other,
                (Kind::Answers(one), Kind::Answers(other)) => one == other,
                _ => false,
            });
            if !repeats {
                ways.push(Self { kind, spent: false, unjudged: None });
            }
        }
        ways
    }

    /// How its credential can be sent, the best first.
    pub(super) fn methods(&self) -> &'static [Method] {
        match self.kind {
            Kind::Password(_) | Kind::AskPassword(_) | Kind::KeysPassword(_) => {
                &[Method::Password, Method::KeyboardInteractive]
            }
            Kind::Answers(_) => &[Method::KeyboardInteractive],
            Kind::Key(_) | Kind::Agent(_) => &[Method::PublicKey],
        }
    }

    pub(super) fn is_password(&self, password: &SecretString) -> bool {
        match &self.kind {
            Kind::Password(own) => own.expose_secret() == password.expose_secret(),
            _ => false,
        }
    }

    pub(super) fn is_optional(&self) -> bool {
        match &self.kind {
            Kind::Key(key) => key.optional,
            Kind::Agent(agent) => agent.optional,
            _ => false,
        }
    }

    pub(super) fn name(&self) -> String {
        match &self.kind {
            Kind::Password(_) | Kind::AskPassword(_) | Kind::KeysPassword(_) => "password".into(),
            Kind::Answers(_) => "keyboard-interactive".into(),
            Kind::Key(key) => key.name(),
            Kind::Agent(_) => "agent".into(),
        }
    }
}

impl Kind {
    fn of(auth: &Auth) -> Vec<Self> {
        let key = |source, passphrase: &Option<SecretString>| Key {
            source,
            passphrase: passphrase.clone(),
            certificate: None,
            optional: false,
        };
        let agent = |optional| Agent { socket: None, only: Vec::new(), optional };
        vec![match auth {
            Auth::Password(password) => Self::Password(password.clone()),
            Auth::AskPassword(ask) => Self::AskPassword(ask.clone()),
            Auth::KeyboardInteractive(answers) => Self::Answers(answers.clone()),
            Auth::KeyFile { path, passphrase } => {
                Self::Key(key(KeySource::File(path.clone()), passphrase))
            }
            Auth::KeyFileOrPassword { path, secret } => {
                let key = key(KeySource::File(path.clone()), &Some(secret.clone()));
                return vec![Self::Key(key.clone()), Self::KeysPassword(key)];
            }
            Auth::KeyData { key: text, passphrase } => {
                Self::Key(key(KeySource::Text(text.clone()), passphrase))
            }
            Auth::Certificate { key, certificate } => {
                let mut kinds = Self::of(key);
                for kind in &mut kinds {
                    if let Self::Key(key) = kind {
                        key.certificate = Some(certificate.clone());
                    }
                }
                return kinds;
            }
            Auth::Agent => Self::Agent(agent(false)),
            Auth::AgentWith { socket, only } => {
                Self::Agent(Agent { socket: socket.clone(), only: only.clone(), optional: false })
            }
            Auth::Auto => {
                let files = Auth::default_key_files().into_iter().map(|file| {
                    Self::Key(Key { optional: true, ..key(KeySource::File(file), &None) })
                });
                return [Self::Agent(agent(true))].into_iter().chain(files).collect();
            }
        }]
    }
}

impl Key {
    /// What to call it in an error.
    pub fn name(&self) -> String {
        let kind =
            if self.certificate.is_some() { "certificate of private key" } else { "private key" };
        match &self.source {
            KeySource::File(path) => format!("{kind} {}", path.display()),
            KeySource::Text(_) => format!("{kind} from memory"),
        }
    }

    /// Its file, if it is in one.
    pub fn path(&self) -> Option<&PathBuf> {
        match &self.source {
            KeySource::File(path) => Some(path),
            KeySource::Text(_) => None,
        }
    }
}

impl CertificateSource {
    /// The certificate's text, where it is one for the key with this public half, in wire format.
    /// To be called where that may wait.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is none, or is for another key.
    pub fn read(&self, public: Option<&[u8]>) -> Result<String, KeyProblem> {
        let malformed = |detail: String| KeyProblem::Malformed(format!("its certificate {detail}"));
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::File(path) => files::small_text(path).map_err(|error| {
                malformed(format!("{} cannot be read: {error}", path.display()))
            })?,
        };
        let text = text.trim().to_owned();
        let certificate = Certificate::from_openssh(&text).map_err(|error| {
            let detail = printable(error.to_string().as_bytes());
            malformed(format!("is not one in OpenSSH's format: {detail}"))
        })?;
        if !certificate.cert_type().is_user() {
            return Err(malformed("is one for a host".into()));
        }
        let wire = wire(certificate.public_key());
        match public {
            Some(public) if wire.as_deref().is_some_and(|own| own != public) => {
                Err(malformed("is for another key".into()))
            }
            _ => Ok(text),
        }
    }
}

fn wire(key: &KeyData) -> Option<Vec<u8>> {
    ssh_key::PublicKey::from(key.clone()).to_bytes().ok()
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Password(_) => f.write_str("Password"),
            Self::AskPassword(ask) => ask.fmt(f),
            Self::KeysPassword(key) => write!(f, "Password or passphrase of {key:?}"),
            Self::Answers(answers) => answers.fmt(f),
            Self::Key(key) => key.fmt(f),
            Self::Agent(agent) => agent.fmt(f),
        }
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

impl std::fmt::Debug for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({path:?})"),
            Self::Text(_) => f.write_str("Text"),
        }
    }
}
