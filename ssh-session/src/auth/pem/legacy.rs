//! Private keys as OpenSSL encrypted them before PKCS#8: `Proc-Type: 4,ENCRYPTED`. ssh-keygen
//! still writes them (`-m PEM`). Trying a passphrase takes one round.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt as _, KeyIvInit as _};
use aes::{Aes128, Aes192, Aes256};
use base64ct::{Base64, Encoding as _};
use cbc::Decryptor;
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::KeyProblem;

/// Whether a key is encrypted in this way.
pub(super) fn is_legacy(text: &str) -> bool {
    text.contains("Proc-Type: 4,ENCRYPTED")
}

/// The same key without encryption; `None` where the cipher is not one of those here.
pub(super) fn decrypt(text: &str, passphrase: &str) -> Result<Option<SecretString>, KeyProblem> {
    let malformed = || KeyProblem::Malformed("it is no private key in PEM".to_owned());
    let Sealed { begin, cipher, iv, mut data } = Sealed::read(text).ok_or_else(malformed)?;
    let key = derive(passphrase, iv.get(..8).ok_or_else(malformed)?);
    let key = |length| key.get(..length).unwrap_or_default();
    let plain = match cipher {
        "AES-128-CBC" => Decryptor::<Aes128>::new_from_slices(key(16), &iv)
            .map(|cipher| cipher.decrypt_padded::<Pkcs7>(&mut data)),
        "AES-192-CBC" => Decryptor::<Aes192>::new_from_slices(key(24), &iv)
            .map(|cipher| cipher.decrypt_padded::<Pkcs7>(&mut data)),
        "AES-256-CBC" => Decryptor::<Aes256>::new_from_slices(key(32), &iv)
            .map(|cipher| cipher.decrypt_padded::<Pkcs7>(&mut data)),
        _ => return Ok(None),
    };
    let plain = plain.map_err(|_| malformed())?.map_err(|_| KeyProblem::WrongPassphrase)?;
    // Wrong padding shows a wrong passphrase most of the time, and no sequence the rest.
    if plain.first() != Some(&super::der::SEQUENCE) {
        return Err(KeyProblem::WrongPassphrase);
    }
    let end = begin.replace("BEGIN", "END");
    let body = Zeroizing::new(Base64::encode_string(plain));
    let lines: Vec<&str> = (0..body.len())
        .step_by(64)
        .filter_map(|at| body.get(at..body.len().min(at + 64)))
        .collect();
    let text = Zeroizing::new(format!("{begin}\n{}\n{end}\n", lines.join("\n")));
    Ok(Some(text.as_str().into()))
}

/// A text taken apart.
struct Sealed<'a> {
    begin: &'a str,
    cipher: &'a str,
    iv: Vec<u8>,
    data: Zeroizing<Vec<u8>>,
}

impl<'a> Sealed<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut lines =
            text.lines().map(str::trim).skip_while(|line| !line.starts_with("-----BEGIN "));
        let begin = lines.next()?;
        let body: Vec<&str> = lines.take_while(|line| !line.starts_with("-----END ")).collect();
        let info = body.iter().find_map(|line| line.strip_prefix("DEK-Info:"))?;
        let (cipher, iv) = info.trim().split_once(',')?;
        let encoded: String = body.iter().copied().filter(|line| !line.contains(':')).collect();
        let data = Zeroizing::new(Base64::decode_vec(&encoded).ok()?);
        Some(Self { begin, cipher: cipher.trim(), iv: unhex(iv)?, data })
    }
}

/// OpenSSL's `EVP_BytesToKey` with MD5 and one round.
fn derive(passphrase: &str, salt: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::new());
    let mut last = Vec::new();
    while key.len() < 32 {
        let input = Zeroizing::new([&last, passphrase.as_bytes(), salt].concat());
        last = md5::compute(input.as_slice()).to_vec();
        key.extend_from_slice(&last);
    }
    key
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.trim().chars().map(|c| c.to_digit(16)).collect();
    let pairs = digits?;
    pairs.chunks(2).map(|pair| u8::try_from(pair.first()? * 16 + pair.get(1)?).ok()).collect()
}
