//! Private keys in PEM: decrypted here, so that every backend gets them alike, a wrong passphrase is
//! told apart, trying one has a bound, and the public half is known before anything is sent.

mod cost;
mod der;
mod legacy;
mod public;

use pkcs8::{EncryptedPrivateKeyInfoRef, LineEnding, pkcs5};
use secrecy::{ExposeSecret as _, SecretString};

use super::private_key::OpenedKey;
use crate::KeyProblem;

/// Whether it is encrypted: `BEGIN ENCRYPTED PRIVATE KEY` of PKCS#8, or `Proc-Type: 4,ENCRYPTED` of
/// what was before it.
pub(super) fn is_encrypted(content: &str) -> bool {
    content.contains("ENCRYPTED")
}

/// Decrypts it, where it is encrypted in a way that is known here; another is left to the backend's
/// library, as long as it costs no more.
pub(super) fn open(
    text: SecretString,
    passphrase: Option<&SecretString>,
) -> Result<OpenedKey, KeyProblem> {
    let content = text.expose_secret();
    if !is_encrypted(content) {
        let public = public::of(content);
        return Ok(OpenedKey::Pem { text, passphrase: None, public });
    }
    let passphrase = passphrase.ok_or(KeyProblem::PassphraseNeeded)?;
    let decrypted = match legacy::is_legacy(content) {
        true => legacy::decrypt(content, passphrase.expose_secret())?,
        false => decrypt(content, passphrase.expose_secret())?,
    };
    Ok(match decrypted {
        Some(plain) => {
            let public = public::of(plain.expose_secret());
            OpenedKey::Pem { text: plain, passphrase: None, public }
        }
        None => OpenedKey::Pem { text, passphrase: Some(passphrase.clone()), public: None },
    })
}

/// The same key without encryption; `None` where it is encrypted in a way that is not known here.
fn decrypt(content: &str, passphrase: &str) -> Result<Option<SecretString>, KeyProblem> {
    let malformed = |detail: &str| KeyProblem::Malformed(detail.to_owned());
    let (_, encrypted) =
        der::of(content).ok_or_else(|| malformed("it is no private key in PEM"))?;
    cost::check(&encrypted).map_err(KeyProblem::Malformed)?;
    // What it does not know, a library may.
    let Ok(info) = EncryptedPrivateKeyInfoRef::try_from(&encrypted[..]) else { return Ok(None) };
    match info.decrypt(passphrase) {
        Ok(plain) => plain
            .to_pem("PRIVATE KEY", LineEnding::LF)
            .map(|plain| Some(SecretString::from(plain.as_str())))
            .map_err(|_| malformed("what is encrypted in it is no private key")),
        Err(pkcs8::Error::EncryptedPrivateKey(
            pkcs5::Error::NoPbes1CryptSupport | pkcs5::Error::UnsupportedAlgorithm { .. },
        )) => Ok(None),
        Err(_) => Err(KeyProblem::WrongPassphrase),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::{ExposeSecret as _, SecretString};

    use super::super::private_key::OpenedKey;
    use super::open;
    use crate::KeyProblem;

    /// `openssl genpkey -algorithm ed25519 -aes-256-cbc -pass pass:geheim`.
    const ENCRYPTED: &str = include_str!("encrypted.pem");

    fn opened(text: &str, passphrase: &str) -> Result<OpenedKey, KeyProblem> {
        open(text.into(), Some(&SecretString::from(passphrase)))
    }

    #[test]
    fn an_encrypted_key_is_decrypted_and_a_wrong_passphrase_told_apart() {
        let Ok(OpenedKey::Pem { text, passphrase: None, public: Some(public) }) =
            opened(ENCRYPTED, "geheim")
        else {
            panic!("it opens");
        };
        assert!(text.expose_secret().starts_with("-----BEGIN PRIVATE KEY-----"));
        assert_eq!(public.get(4..15), Some(&b"ssh-ed25519"[..]));
        assert!(matches!(opened(ENCRYPTED, "falsch"), Err(KeyProblem::WrongPassphrase)));
        assert!(matches!(open(ENCRYPTED.into(), None), Err(KeyProblem::PassphraseNeeded)));
    }

    #[test]
    fn what_is_no_key_is_an_error_or_left_to_the_library() {
        for text in [
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\n####\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMA==\n",
        ] {
            assert!(opened(text, "p").is_err(), "{text}");
        }
        for text in ["-----BEGIN PRIVATE KEY-----\nMA==\n-----END PRIVATE KEY-----\n", "", "x"] {
            let Ok(OpenedKey::Pem { public: None, .. }) = opened(text, "p") else {
                panic!("{text}");
            };
        }
    }
}
