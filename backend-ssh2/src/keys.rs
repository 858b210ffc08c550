//! Private keys as libssh2 takes them.

use ssh_key::{Algorithm, LineEnding};
use ssh_session::login::Key as Wanted;
use ssh_session::{KeyProblem, KeyRules, OpenedKey, SecretString};

/// A private key as libssh2 takes it, and the certificate to send in place of its public half.
pub(crate) struct Key {
    pub(crate) text: SecretString,
    /// Set where libssh2 has to decrypt it.
    pub(crate) passphrase: Option<SecretString>,
    /// The public half in wire format, where it is known.
    pub(crate) public: Option<Vec<u8>>,
    /// The certificate's text.
    pub(crate) certificate: Option<String>,
}

/// Reads a key and its certificate.
pub(crate) fn open(wanted: &Wanted, rules: &KeyRules) -> Result<Key, KeyProblem> {
    let mut key = match wanted.open(rules)? {
        OpenedKey::Pem { text, passphrase, public } => {
            Key { text, passphrase, public, certificate: None }
        }
        OpenedKey::OpenSsh(key) => {
            if matches!(key.algorithm(), Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256) {
                let detail = "it is in a device; let an agent hold it";
                return Err(KeyProblem::Malformed(detail.into()));
            }
            let public = key.public_key().to_bytes().map_err(|error| malformed(&error))?;
            let text = key.to_openssh(LineEnding::LF).map_err(|error| malformed(&error))?;
            let text = text.as_str().to_owned().into();
            Key { text, passphrase: None, public: Some(public), certificate: None }
        }
    };
    if let Some(source) = &wanted.certificate {
        key.certificate = Some(source.read(key.public.as_deref())?);
    }
    Ok(key)
}

fn malformed(error: &ssh_key::Error) -> KeyProblem {
    KeyProblem::Malformed(error.to_string())
}
