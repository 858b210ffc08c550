//! Private keys as russh takes them.

use russh::keys::agent::AgentIdentity;
use russh::keys::signature::Signer as _;
use russh::keys::ssh_encoding::Encode as _;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::{Certificate, HashAlg, PrivateKey, decode_secret_key, ssh_key};
use russh::{AgentAuthError, Signer};
use ssh_session::login::Key;
use ssh_session::{ExposeSecret, KeyProblem, KeyRules, OpenedKey, SecretString};

use crate::apart::spawn_blocking;

/// A private key to log in with.
pub(crate) struct Credential {
    pub(crate) key: PrivateKey,
    /// What to send in place of its public half.
    pub(crate) certificate: Option<Certificate>,
}

/// Reads a key in a thread of its own: files may be far away, and decrypting is slow by design.
pub(crate) async fn read(key: Key, rules: KeyRules) -> Result<Credential, KeyProblem> {
    let reading = spawn_blocking(move || {
        let private = match key.open(&rules)? {
            OpenedKey::OpenSsh(private) => *private,
            OpenedKey::Pem { text, passphrase, .. } => from_pem(&text, passphrase.as_ref())?,
        };
        let Some(source) = &key.certificate else {
            return Ok(Credential { key: private, certificate: None });
        };
        let text = source.read(private.public_key().to_bytes().ok().as_deref())?;
        let certificate = Certificate::from_openssh(&text).map_err(|error| malformed(&error))?;
        Ok(Credential { key: private, certificate: Some(certificate) })
    });
    reading.await.unwrap_or_else(|_| Err(KeyProblem::Malformed("it cannot be read".into())))
}

/// Whether a key is encrypted, found out in the same way.
pub(crate) async fn is_encrypted(key: Key, rules: KeyRules) -> Result<bool, KeyProblem> {
    let reading = spawn_blocking(move || key.is_encrypted(&rules));
    reading.await.unwrap_or_else(|_| Err(KeyProblem::Malformed("it cannot be read".into())))
}

/// Signs for a certificate with its private key.
pub(crate) struct OwnKey(pub(crate) PrivateKey);

impl Signer for OwnKey {
    type Error = AgentAuthError;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        hash: Option<HashAlg>,
        mut to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, AgentAuthError> {
        let appended = append_signature(&self.0, hash, &mut to_sign);
        appended.map_err(russh::keys::Error::from)?;
        Ok(to_sign)
    }
}

fn append_signature(
    key: &PrivateKey,
    hash: Option<HashAlg>,
    message: &mut Vec<u8>,
) -> ssh_key::Result<()> {
    let signature = match key.key_data() {
        KeypairData::Rsa(pair) => (pair, hash).try_sign(message)?,
        pair => pair.try_sign(message)?,
    };
    let mut encoded = Vec::new();
    signature.encode(&mut encoded)?;
    Ok(encoded.encode(message)?)
}

fn from_pem(
    text: &SecretString,
    passphrase: Option<&SecretString>,
) -> Result<PrivateKey, KeyProblem> {
    let passphrase = passphrase.map(ExposeSecret::expose_secret);
    decode_secret_key(text.expose_secret(), passphrase).map_err(|error| {
        KeyProblem::Malformed(ssh_session::printable(error.to_string().as_bytes()))
    })
}

fn malformed(error: &ssh_key::Error) -> KeyProblem {
    KeyProblem::Malformed(ssh_session::printable(error.to_string().as_bytes()))
}
