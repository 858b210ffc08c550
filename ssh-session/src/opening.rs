//! What a server says in clear: its greeting, its lists, and its half of the first key exchange.
//!
//! Libraries tell little of it: not by what the exchange was signed, nor what a server would have
//! taken where nothing is in common. So backends let the bytes go by here on their way to them.

use crate::crypto::Lists;

/// As much may come in clear, in bytes: a greeting with lines before it, the lists, a key with the
/// longest certificate.
const MAX_BYTES: usize = 256 << 10;

/// The longest packet in clear that is read (RFC 4253, 6.1, asks for 35,000).
const MAX_PACKET: usize = 64 << 10;

/// What a greeting begins with.
const GREETING: &[u8] = b"SSH-";

const KEXINIT: u8 = 20;
const NEWKEYS: u8 = 21;
/// The reply of all key exchanges but the one below.
const KEX_REPLY: u8 = 31;
/// That of exchanges in a group that the server chooses (RFC 4419).
const GEX_REPLY: u8 = 33;

/// What has come so far, as far as it matters.
#[derive(Debug, Clone, Default)]
pub struct Opening {
    seen: usize,
    phase: Phase,
    /// Of the line or packet that is coming.
    pending: Vec<u8>,
    lists: Option<Lists>,
    proof: Option<Proof>,
}

/// What a server signs a key exchange with, and what comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Its key or certificate, in wire format.
    pub key: Vec<u8>,
    /// The signature, in wire format. Whether it holds is checked by others.
    pub signature: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    Lines,
    Packets,
    /// What comes now is encrypted.
    Over,
}

impl Opening {
    /// Takes in what has come, and says how much of it was in clear.
    ///
    /// # Errors
    ///
    /// What no server says, in words.
    pub fn read(&mut self, bytes: &[u8]) -> Result<usize, &'static str> {
        let mut read = 0;
        while let Some(byte) = bytes.get(read).filter(|_| self.phase != Phase::Over) {
            read += 1;
            self.seen += 1;
            if self.seen > MAX_BYTES {
                return Err("the server says too much before keys are agreed on");
            }
            self.pending.push(*byte);
            match self.phase {
                Phase::Lines => self.line(*byte),
                Phase::Packets => self.packet()?,
                Phase::Over => {}
            }
        }
        Ok(read)
    }

    /// Whether all that comes is encrypted.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// What the server offers, once it has said so.
    pub fn lists(&self) -> Option<&Lists> {
        self.lists.as_ref()
    }

    /// The algorithm by which it says it has signed the exchange.
    pub fn signature(&self) -> Option<&str> {
        let mut signature = self.proof.as_ref()?.signature.as_slice();
        take(&mut signature).and_then(|name| std::str::from_utf8(name).ok())
    }

    /// The key that the server signs the exchange with, and the signature, once both came.
    pub fn proof(&self) -> Option<&Proof> {
        self.proof.as_ref()
    }

    fn line(&mut self, byte: u8) {
        if byte == b'\n' {
            if self.pending.starts_with(GREETING) {
                self.phase = Phase::Packets;
            }
            self.pending.clear();
        } else if self.pending.len() > 8192 && !self.pending.starts_with(GREETING) {
            // Of what is no greeting nothing is wanted but its end.
            self.pending.truncate(8);
        }
    }

    fn packet(&mut self) -> Result<(), &'static str> {
        let Some((length, packet)) = self.pending.split_first_chunk::<4>() else { return Ok(()) };
        let length = u32::from_be_bytes(*length) as usize;
        if !(5..=MAX_PACKET).contains(&length) {
            return Err("the server sends a packet of no length that there is");
        }
        if packet.len() < length {
            return Ok(());
        }
        let padding = packet.first().map_or(0, |padding| usize::from(*padding));
        let payload = length.checked_sub(padding).and_then(|end| packet.get(1..end));
        let payload = payload.unwrap_or_default().to_vec();
        self.pending.clear();
        match payload.split_first() {
            Some((&KEXINIT, rest)) if self.lists.is_none() => self.lists = lists(rest),
            Some((&(KEX_REPLY | GEX_REPLY), rest)) if self.proof.is_none() => {
                self.proof = proof(rest);
            }
            Some((&NEWKEYS, _)) => self.phase = Phase::Over,
            _ => {}
        }
        Ok(())
    }
}

/// The lists behind a cookie.
fn lists(packet: &[u8]) -> Option<Lists> {
    let mut rest = packet.get(16..)?;
    let mut next = || {
        let names = String::from_utf8_lossy(take(&mut rest)?).into_owned();
        let names = names.split(',').filter(|name| !name.is_empty());
        Some(names.map(str::to_owned).collect())
    };
    Some(Lists {
        kex: next()?,
        host_keys: next()?,
        ciphers: [next()?, next()?],
        macs: [next()?, next()?],
    })
}

/// The host's key, and the signature behind the server's half of the exchange.
fn proof(packet: &[u8]) -> Option<Proof> {
    let mut rest = packet;
    let (key, _half) = (take(&mut rest)?, take(&mut rest)?);
    Some(Proof { key: key.to_vec(), signature: take(&mut rest)?.to_vec() })
}

/// Takes a string off the front (RFC 4251, 5).
pub(crate) fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, behind) = rest.split_first_chunk::<4>()?;
    let (string, behind) = behind.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = behind;
    Some(string)
}

#[cfg(test)]
mod tests {
    use super::Opening;

    fn string(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
    }

    fn packet(payload: &[u8]) -> Vec<u8> {
        let packet = [&[4][..], payload, &[0; 4]].concat();
        [&(packet.len() as u32).to_be_bytes()[..], &packet].concat()
    }

    fn whole() -> Vec<u8> {
        let names: [&[u8]; 10] =
            [b"k1,k2", b"ssh-ed25519", b"c1", b"c2", b"m1", b"m2", b"none", b"none", b"", b""];
        let lists = names.iter().flat_map(|names| string(names));
        let lists: Vec<u8> = [20; 17].into_iter().chain(lists).chain([0; 5]).collect();
        let signature = [string(b"rsa-sha2-512"), string(b"s")].concat();
        let reply = [vec![31], string(b"key"), string(b"half"), string(&signature)].concat();
        let lines = b"hello\r\nSSH-2.0-x\r\n".to_vec();
        [lines, packet(&lists), packet(&reply), packet(&[21])].concat()
    }

    #[test]
    fn lists_and_signature_are_read_however_they_arrive() {
        for size in [1, 7, 1000] {
            let mut opening = Opening::default();
            let mut clear = 0;
            for piece in [whole(), b"encrypted".to_vec()].concat().chunks(size) {
                clear += opening.read(piece).expect("a server");
            }
            assert_eq!(clear, whole().len());
            assert!(opening.is_over());
            assert_eq!(opening.signature(), Some("rsa-sha2-512"));
            assert_eq!(opening.proof().expect("a proof").key, b"key");
            let lists = opening.lists().expect("lists");
            assert_eq!(lists.kex, ["k1", "k2"]);
            assert_eq!(lists.ciphers, [vec!["c1".to_owned()], vec!["c2".to_owned()]]);
        }
    }

    #[test]
    fn what_no_server_says_is_an_error_and_kept_by_nobody() {
        let mut opening = Opening::default();
        let error = (0..100).find_map(|_| opening.read(&[b'x'; 10_000]).err());
        assert!(error.is_some() && opening.pending.len() < 10_000);
        for length in [0_u32, 4, 70_000, u32::MAX] {
            let mut opening = Opening::default();
            opening.read(b"SSH-2.0-x\n").expect("a greeting");
            assert!(opening.read(&length.to_be_bytes()).is_err(), "{length}");
        }
    }
}
