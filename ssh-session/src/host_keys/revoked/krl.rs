//! Key revocation lists, as `ssh-keygen -k` makes them (OpenSSH's `PROTOCOL.krl`).

use std::collections::HashSet;

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::super::{HostCertificate, HostKey};

/// What a list begins with.
pub(super) const MAGIC: &[u8] = b"SSHKRL\n\0";

const VERSION: u32 = 1;

const CERTIFICATES: u8 = 1;
const EXPLICIT_KEY: u8 = 2;
const FINGERPRINT_SHA1: u8 = 3;
/// Of the list itself; `ssh` does not look at it any more.
const SIGNATURE: u8 = 4;
const FINGERPRINT_SHA256: u8 = 5;
const EXTENSION: u8 = 255;

const SERIAL_LIST: u8 = 0x20;
const SERIAL_RANGE: u8 = 0x21;
const SERIAL_BITMAP: u8 = 0x22;
const KEY_ID: u8 = 0x23;
const CERTIFICATE_EXTENSION: u8 = 0x39;

/// A list that was read.
#[derive(Debug, Default)]
pub(super) struct Krl {
    keys: HashSet<Vec<u8>>,
    sha1: HashSet<Vec<u8>>,
    sha256: HashSet<Vec<u8>>,
    certificates: Vec<Certificates>,
}

/// Certificates of one authority, or of all.
#[derive(Debug, Default)]
struct Certificates {
    /// Empty for all.
    authority: Vec<u8>,
    /// The first and the last.
    serials: Vec<(u64, u64)>,
    key_ids: HashSet<Vec<u8>>,
}

impl Krl {
    /// What is wrong, where it is no list, or has something in it that we don't know: what that
    /// revokes is not known then.
    pub(super) fn parse(content: &[u8]) -> Result<Self, &'static str> {
        let mut rest = content.strip_prefix(MAGIC).ok_or("it is no revocation list")?;
        let rest = &mut rest;
        if number(rest)? != VERSION {
            return Err("it is a revocation list of another version");
        }
        let (_version, _date, _flags) = (long(rest)?, long(rest)?, long(rest)?);
        let (_reserved, _comment) = (string(rest)?, string(rest)?);
        let mut krl = Self::default();
        while !rest.is_empty() {
            let (kind, section) = (byte(rest)?, &mut string(rest)?);
            match kind {
                CERTIFICATES => krl.certificates.push(Certificates::parse(section)?),
                EXPLICIT_KEY => krl.keys.extend(strings(section)?),
                FINGERPRINT_SHA1 => krl.sha1.extend(strings(section)?),
                FINGERPRINT_SHA256 => krl.sha256.extend(strings(section)?),
                SIGNATURE => {}
                EXTENSION => extension(section)?,
                _ => return Err("it has a section of a kind that is not known"),
            }
        }
        Ok(krl)
    }

    /// Whether it revokes a key, or the certificate that the key has.
    pub(super) fn revokes(&self, key: &HostKey, certificate: Option<&HostCertificate>) -> bool {
        self.revokes_key(key)
            || certificate.is_some_and(|certificate| {
                self.revokes_key(certificate.authority())
                    || self.certificates.iter().any(|section| section.revokes(certificate))
            })
    }

    fn revokes_key(&self, key: &HostKey) -> bool {
        let blob = key.as_wire();
        self.keys.contains(blob)
            || self.sha1.contains(Sha1::digest(blob).as_slice())
            || self.sha256.contains(Sha256::digest(blob).as_slice())
    }
}

impl Certificates {
    fn parse(section: &mut &[u8]) -> Result<Self, &'static str> {
        let authority = string(section)?.to_vec();
        let _reserved = string(section)?;
        let mut own = Self { authority, ..Self::default() };
        while !section.is_empty() {
            let (kind, part) = (byte(section)?, &mut string(section)?);
            match kind {
                SERIAL_LIST => {
                    while !part.is_empty() {
                        let serial = long(part)?;
                        own.serials.push((serial, serial));
                    }
                }
                SERIAL_RANGE => own.serials.push((long(part)?, long(part)?)),
                SERIAL_BITMAP => {
                    let (offset, bits) = (long(part)?, string(part)?);
                    own.bitmap(offset, bits)?;
                }
                KEY_ID => own.key_ids.extend(strings(part)?),
                CERTIFICATE_EXTENSION => extension(part)?,
                _ => return Err("it has a part of a kind that is not known"),
            }
        }
        Ok(own)
    }

    /// Bit n of a large number stands for the serial n behind an offset.
    fn bitmap(&mut self, offset: u64, bits: &[u8]) -> Result<(), &'static str> {
        for (place, byte) in bits.iter().rev().enumerate() {
            for bit in (0..8).filter(|bit| byte & (1 << bit) != 0) {
                let serial = offset.checked_add(place as u64 * 8 + bit);
                let serial = serial.ok_or("it has a number that is too large")?;
                self.serials.push((serial, serial));
            }
        }
        Ok(())
    }

    fn revokes(&self, certificate: &HostCertificate) -> bool {
        let serial = certificate.serial();
        let is_of =
            self.authority.is_empty() || self.authority == certificate.authority().as_wire();
        // Serial 0 is what authorities give that don't count.
        let numbered = serial != 0
            && self.serials.iter().any(|(first, last)| (*first..=*last).contains(&serial));
        is_of && (numbered || self.key_ids.contains(certificate.key_id().as_bytes()))
    }
}

/// What is not known may be skipped, unless it says that it may not.
fn extension(part: &mut &[u8]) -> Result<(), &'static str> {
    let _name = string(part)?;
    match byte(part)? {
        0 => Ok(()),
        _ => Err("it has a critical extension that is not known"),
    }
}

fn strings(part: &mut &[u8]) -> Result<Vec<Vec<u8>>, &'static str> {
    let mut all = Vec::new();
    while !part.is_empty() {
        all.push(string(part)?.to_vec());
    }
    Ok(all)
}

const SHORT: &str = "it ends too early";

fn string<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], &'static str> {
    let length = number(rest)? as usize;
    let (string, behind) = rest.split_at_checked(length).ok_or(SHORT)?;
    *rest = behind;
    Ok(string)
}

fn number(rest: &mut &[u8]) -> Result<u32, &'static str> {
    let (number, behind) = rest.split_first_chunk().ok_or(SHORT)?;
    *rest = behind;
    Ok(u32::from_be_bytes(*number))
}

fn long(rest: &mut &[u8]) -> Result<u64, &'static str> {
    let (number, behind) = rest.split_first_chunk().ok_or(SHORT)?;
    *rest = behind;
    Ok(u64::from_be_bytes(*number))
}

fn byte(rest: &mut &[u8]) -> Result<u8, &'static str> {
    let (byte, behind) = rest.split_first().ok_or(SHORT)?;
    *rest = behind;
    Ok(*byte)
}
