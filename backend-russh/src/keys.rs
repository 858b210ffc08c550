//! Private keys, read before anything is sent, so that a bad file is told apart from a refusal.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use russh::keys::{PrivateKey, decode_secret_key, ssh_key};
use ssh_session::{ExposeSecret as _, KeyProblem, SecretString};

use crate::pem;

/// Where a key comes from.
pub(crate) enum Source {
    File(PathBuf),
    Text(SecretString),
}

/// Reads a key in a thread of its own: files may be far away, and decrypting is slow by design.
pub(crate) async fn read(
    source: Source,
    passphrase: Option<SecretString>,
) -> Result<PrivateKey, KeyProblem> {
    let reading = tokio::task::spawn_blocking(move || match source {
        Source::File(path) => {
            let text = fs::read_to_string(path).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => KeyProblem::Missing,
                io::ErrorKind::InvalidData => KeyProblem::Malformed("it is not a text file".into()),
                _ => KeyProblem::Unreadable(Arc::new(error)),
            })?;
            from_text(&text.into(), passphrase.as_ref())
        }
        Source::Text(text) => from_text(&text, passphrase.as_ref()),
    });
    reading.await.unwrap_or_else(|_| Err(KeyProblem::Malformed("it cannot be read".into())))
}

fn from_text(
    text: &SecretString,
    passphrase: Option<&SecretString>,
) -> Result<PrivateKey, KeyProblem> {
    let content = text.expose_secret();
    if content.contains("-----BEGIN OPENSSH PRIVATE KEY-----") {
        return from_openssh(content.trim(), passphrase);
    }
    if content.contains("PUBLIC KEY-----") || content.starts_with("ssh-") {
        return Err(KeyProblem::Malformed("it is a public key; give the private one".into()));
    }
    if !content.contains("PRIVATE KEY-----") {
        return Err(KeyProblem::Malformed("it is no private key in OpenSSH or PEM format".into()));
    }
    let encrypted = content.contains("ENCRYPTED");
    if encrypted && passphrase.is_none() {
        return Err(KeyProblem::PassphraseNeeded);
    }
    let Some(passphrase) = passphrase.filter(|_| encrypted) else {
        return decode_secret_key(content, None).map_err(|error| {
            KeyProblem::Malformed(ssh_session::printable(error.to_string().as_bytes()))
        });
    };
    let passphrase = passphrase.expose_secret();
    let decoded = if pem::is_legacy(content) {
        pem::decrypt(content, passphrase)
            .and_then(|plain| decode_secret_key(plain.expose_secret(), None).ok())
    } else {
        decode_secret_key(content, Some(passphrase)).ok()
    };
    decoded.ok_or(KeyProblem::WrongPassphrase)
}

fn from_openssh(
    content: &str,
    passphrase: Option<&SecretString>,
) -> Result<PrivateKey, KeyProblem> {
    let malformed = |error: ssh_key::Error| KeyProblem::Malformed(error.to_string());
    let key = PrivateKey::from_openssh(content).map_err(malformed)?;
    if !key.is_encrypted() {
        return Ok(key);
    }
    let passphrase = passphrase.ok_or(KeyProblem::PassphraseNeeded)?;
    key.decrypt(passphrase.expose_secret()).map_err(|error| match error {
        ssh_key::Error::Crypto => KeyProblem::WrongPassphrase,
        other => malformed(other),
    })
}
