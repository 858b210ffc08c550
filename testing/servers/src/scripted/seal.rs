//! One direction's packets: clear at first, then aes256-ctr and a MAC over what is encrypted,
//! hmac-sha2-256-etm@openssh.com (RFC 4253, 6; OpenSSH's PROTOCOL, 1.5).

use std::io::{self, Read};

use aes::Aes256;
use aes::cipher::{KeyIvInit as _, StreamCipher as _};
use ctr::Ctr128BE;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// As much as a client may send in one packet.
const LONGEST: usize = 1 << 20;

/// Bytes of the MAC.
const TAG: usize = 32;

#[derive(Default)]
pub(super) struct Seal {
    pub(super) sequence: u32,
    keys: Option<Keys>,
}

struct Keys {
    cipher: Ctr128BE<Aes256>,
    mac: Hmac<Sha256>,
}

impl Seal {
    /// Encrypts from now on.
    pub(super) fn rekey(&mut self, iv: &[u8], key: &[u8], mac: &[u8]) -> io::Result<()> {
        let cipher = Ctr128BE::<Aes256>::new_from_slices(key, iv.get(..16).unwrap_or_default());
        let mac = Hmac::<Sha256>::new_from_slice(mac);
        let (Ok(cipher), Ok(mac)) = (cipher, mac) else {
            return Err(io::Error::other("keys of a wrong length"));
        };
        self.keys = Some(Keys { cipher, mac });
        Ok(())
    }

    /// A payload as it goes over the wire; `length` is what the packet says of its length, where
    /// that is to be a lie.
    pub(super) fn close(&mut self, payload: &[u8], length: Option<u32>) -> Vec<u8> {
        // The length is not encrypted, and not of what has to fill blocks.
        let (block, head) = if self.keys.is_some() { (16, 1) } else { (8, 5) };
        let mut padding = block - (head + payload.len()) % block;
        if padding < 4 {
            padding += block;
        }
        let right = (1 + payload.len() + padding) as u32;
        let mut packet = length.unwrap_or(right).to_be_bytes().to_vec();
        packet.push(padding as u8);
        packet.extend_from_slice(payload);
        packet.resize(packet.len() + padding, 0);
        if let Some(keys) = &mut self.keys {
            keys.cipher.apply_keystream(&mut packet[4..]);
            let mut mac = keys.mac.clone();
            mac.update(&self.sequence.to_be_bytes());
            mac.update(&packet);
            packet.extend_from_slice(&mac.finalize().into_bytes());
        }
        self.sequence = self.sequence.wrapping_add(1);
        packet
    }

    /// The next payload. The MAC of a client of our own is not checked.
    pub(super) fn open(&mut self, stream: &mut impl Read) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > LONGEST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a packet of no such length"));
        }
        let mut packet = vec![0; length];
        stream.read_exact(&mut packet)?;
        if let Some(keys) = &mut self.keys {
            keys.cipher.apply_keystream(&mut packet);
            stream.read_exact(&mut [0; TAG])?;
        }
        self.sequence = self.sequence.wrapping_add(1);
        let padding = usize::from(packet.first().copied().unwrap_or_default());
        let end = packet.len().saturating_sub(padding);
        Ok(packet.get(1..end).unwrap_or_default().to_vec())
    }
}
