//! Private keys, read before anything is sent, so that a bad file is told apart from a refusal.

use ssh_key::{Algorithm, LineEnding, PrivateKey};
use ssh_session::{ExposeSecret as _, KeyProblem, SecretString};

/// A private key as libssh2 takes it.
pub(crate) struct Key {
    pub(crate) text: SecretString,
    /// Set where libssh2 has to decrypt it.
    pub(crate) passphrase: Option<SecretString>,
    /// The public half in wire format, where it is known.
    pub(crate) public: Option<Vec<u8>>,
}

/// Reads a key. OpenSSH's format is decrypted here, which tells a wrong passphrase apart; PEM is
/// left to libssh2.
pub(crate) fn from_text(
    text: SecretString,
    passphrase: Option<&SecretString>,
) -> Result<Key, KeyProblem> {
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
    Ok(Key { passphrase: passphrase.filter(|_| encrypted).cloned(), text, public: None })
}

fn from_openssh(content: &str, passphrase: Option<&SecretString>) -> Result<Key, KeyProblem> {
    let malformed = |error: ssh_key::Error| KeyProblem::Malformed(error.to_string());
    let mut key = PrivateKey::from_openssh(content).map_err(malformed)?;
    if matches!(key.algorithm(), Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256) {
        return Err(KeyProblem::Malformed("it is in a device; let an agent hold it".into()));
    }
    if key.is_encrypted() {
        let passphrase = passphrase.ok_or(KeyProblem::PassphraseNeeded)?;
        key = key.decrypt(passphrase.expose_secret()).map_err(|error| match error {
            ssh_key::Error::Crypto => KeyProblem::WrongPassphrase,
            other => malformed(other),
        })?;
    }
    let public = key.public_key().to_bytes().map_err(malformed)?;
    let text = key.to_openssh(LineEnding::LF).map_err(malformed)?;
    Ok(Key { text: text.as_str().to_owned().into(), passphrase: None, public: Some(public) })
}
