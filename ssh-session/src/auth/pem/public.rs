//! The public half of a private key in PEM, in SSH's wire format.

use ssh_key::private::Ed25519Keypair;

use super::der::{self, BIT_STRING, INTEGER, OBJECT, OCTET_STRING, SEQUENCE, any, tagged};

/// `rsaEncryption` (RFC 8017).
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// `id-ecPublicKey` (RFC 5480).
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// `id-Ed25519` (RFC 8410).
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// Curves by their names in DER and in SSH (RFC 5656, 10.1).
const CURVES: [(&[u8], &str); 3] = [
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07], "nistp256"),
    (&[0x2b, 0x81, 0x04, 0x00, 0x22], "nistp384"),
    (&[0x2b, 0x81, 0x04, 0x00, 0x23], "nistp521"),
];

/// `None` where the key does not tell, or is none.
pub(super) fn of(text: &str) -> Option<Vec<u8>> {
    let (label, content) = der::of(text)?;
    match label {
        "RSA PRIVATE KEY" => rsa(&content),
        "EC PRIVATE KEY" => ec(&content, None),
        "PRIVATE KEY" => pkcs8(&content),
        _ => None,
    }
}

/// RFC 5958.
fn pkcs8(mut content: &[u8]) -> Option<Vec<u8>> {
    let mut info = tagged(&mut content, SEQUENCE)?;
    tagged(&mut info, INTEGER)?;
    let mut algorithm = tagged(&mut info, SEQUENCE)?;
    let mut key = tagged(&mut info, OCTET_STRING)?;
    match tagged(&mut algorithm, OBJECT)? {
        RSA => rsa(key),
        EC => ec(key, tagged(&mut algorithm, OBJECT)),
        ED25519 => {
            let seed = tagged(&mut key, OCTET_STRING)?.try_into().ok()?;
            Some(strings(&[b"ssh-ed25519", &Ed25519Keypair::from_seed(seed).public.0]))
        }
        _ => None,
    }
}

/// RFC 8017, A.1.2. Numbers are written as SSH writes them.
fn rsa(mut content: &[u8]) -> Option<Vec<u8>> {
    let mut key = tagged(&mut content, SEQUENCE)?;
    tagged(&mut key, INTEGER)?;
    let (modulus, exponent) = (tagged(&mut key, INTEGER)?, tagged(&mut key, INTEGER)?);
    Some(strings(&[b"ssh-rsa", exponent, modulus]))
}

/// RFC 5915. The curve is named in the key, or beside it.
fn ec<'a>(mut content: &'a [u8], mut curve: Option<&'a [u8]>) -> Option<Vec<u8>> {
    let mut key = tagged(&mut content, SEQUENCE)?;
    tagged(&mut key, INTEGER)?;
    tagged(&mut key, OCTET_STRING)?;
    let mut point = None;
    while let Some((tag, mut inner)) = any(&mut key) {
        match tag {
            0xa0 => curve = tagged(&mut inner, OBJECT),
            0xa1 => point = tagged(&mut inner, BIT_STRING)?.strip_prefix(&[0]),
            _ => {}
        }
    }
    let (_, curve) = CURVES.into_iter().find(|(name, _)| Some(*name) == curve)?;
    let kind = format!("ecdsa-sha2-{curve}");
    Some(strings(&[kind.as_bytes(), curve.as_bytes(), point?]))
}

/// RFC 4251, 5.
fn strings(strings: &[&[u8]]) -> Vec<u8> {
    let mut wire = Vec::new();
    for string in strings {
        // No key is as long as that.
        wire.extend(u32::try_from(string.len()).unwrap_or(u32::MAX).to_be_bytes());
        wire.extend_from_slice(string);
    }
    wire
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::of;

    /// Each kind, as `ssh-keygen` writes it, beside the public key that it writes with it.
    #[test]
    fn the_public_half_is_that_which_ssh_keygen_writes_beside_it() {
        let folder = tempfile::TempDir::new().expect("a folder");
        for (kind, bits) in [("rsa", "1024"), ("rsa", "2048"), ("ecdsa", "256"), ("ecdsa", "521")] {
            for format in ["PEM", "PKCS8"] {
                let path = folder.path().join(format!("{kind}-{bits}-{format}"));
                let made = Command::new("ssh-keygen")
                    .args(["-q", "-N", "", "-t", kind, "-b", bits, "-m", format, "-f"])
                    .arg(&path)
                    .status();
                assert!(made.expect("ssh-keygen runs").success());
                let text = std::fs::read_to_string(&path).expect("a key");
                let public = std::fs::read_to_string(path.with_extension("pub"));
                let public = ssh_key::PublicKey::from_openssh(public.expect("its half").trim());
                let public = public.and_then(|public| public.to_bytes()).expect("wire");
                assert_eq!(of(&text), Some(public), "{kind} {bits} {format}");
            }
        }
    }
}
