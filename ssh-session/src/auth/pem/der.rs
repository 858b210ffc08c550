//! As much of DER (ITU-T X.690) as private keys need.

use base64ct::{Base64, Encoding as _};
use zeroize::Zeroizing;

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;

/// The label and the content of a text in PEM (RFC 7468) without headers.
pub(super) fn of(text: &str) -> Option<(&str, Zeroizing<Vec<u8>>)> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once("-----END ")?;
    let body: Zeroizing<String> = Zeroizing::new(body.split_whitespace().collect());
    let content = Base64::decode_vec(&body).ok()?;
    (!content.is_empty()).then(|| (label, Zeroizing::new(content)))
}

/// Takes what is tagged off the front: its tag and its content.
pub(super) fn any<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&tag, behind) = rest.split_first()?;
    let (&first, behind) = behind.split_first()?;
    let (length, behind) = match first {
        0..=0x7f => (usize::from(first), behind),
        // More than four bytes of length is more than any file has.
        0x81..=0x84 => {
            let (bytes, behind) = behind.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), behind)
        }
        _ => return None,
    };
    let (content, behind) = behind.split_at_checked(length)?;
    *rest = behind;
    Some((tag, content))
}

/// Takes what has this tag off the front.
pub(super) fn tagged<'a>(rest: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    any(rest).filter(|(found, _)| *found == tag).map(|(_, content)| content)
}
