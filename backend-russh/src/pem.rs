//! Private keys as OpenSSL encrypted them before PKCS#8: `Proc-Type: 4,ENCRYPTED`. ssh-keygen
//! still writes them (`-m PEM`); russh reads those of RSA with one cipher only.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt as _, KeyIvInit as _};
use aes::{Aes128, Aes192, Aes256};
use base64ct::{Base64, Encoding as _};
use cbc::Decryptor;
use ssh_session::SecretString;

/// Whether a key is encrypted in this way.
pub(crate) fn is_legacy(text: &str) -> bool {
    text.contains("Proc-Type: 4,ENCRYPTED")
}

/// The same key without encryption; `None` if the passphrase is wrong, or nothing can be read.
pub(crate) fn decrypt(text: &str, passphrase: &str) -> Option<SecretString> {
    let mut lines = text.lines().map(str::trim).skip_while(|line| !line.starts_with("-----BEGIN "));
    let begin = lines.next()?;
    let body: Vec<&str> = lines.take_while(|line| !line.starts_with("-----END ")).collect();
    let info = body.iter().find_map(|line| line.strip_prefix("DEK-Info:"))?;
    let (cipher, iv) = info.trim().split_once(',')?;
    let iv = unhex(iv)?;
    let encoded: String = body.iter().copied().filter(|line| !line.contains(':')).collect();
    let mut key_data = Base64::decode_vec(&encoded).ok()?;

    let key = derive(passphrase, iv.get(..8)?);
    let key = |length| key.get(..length);
    let plain = match cipher {
        "AES-128-CBC" => Decryptor::<Aes128>::new_from_slices(key(16)?, &iv)
            .ok()?
            .decrypt_padded::<Pkcs7>(&mut key_data),
        "AES-192-CBC" => Decryptor::<Aes192>::new_from_slices(key(24)?, &iv)
            .ok()?
            .decrypt_padded::<Pkcs7>(&mut key_data),
        "AES-256-CBC" => Decryptor::<Aes256>::new_from_slices(key(32)?, &iv)
            .ok()?
            .decrypt_padded::<Pkcs7>(&mut key_data),
        _ => return None,
    };
    let end = begin.replace("BEGIN", "END");
    Some(format!("{begin}\n{}\n{end}\n", Base64::encode_string(plain.ok()?)).into())
}

/// OpenSSL's `EVP_BytesToKey` with MD5 and one round.
fn derive(passphrase: &str, salt: &[u8]) -> Vec<u8> {
    let mut key = Vec::new();
    let mut last = Vec::new();
    while key.len() < 32 {
        last = md5::compute([&last, passphrase.as_bytes(), salt].concat()).to_vec();
        key.extend_from_slice(&last);
    }
    key
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.trim().chars().map(|c| c.to_digit(16)).collect();
    let pairs = digits?;
    pairs.chunks(2).map(|pair| u8::try_from(pair.first()? * 16 + pair.get(1)?).ok()).collect()
}
