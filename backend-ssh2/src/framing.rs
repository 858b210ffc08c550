//! The bytes of a server, looked at before libssh2 gets them.
//!
//! libssh2 has assertions behind what a packet says of its length, and is built with them: one that
//! is no multiple of the cipher's block ends the process. Where the length is in clear, as with
//! AES-GCM and MACs over what is encrypted, it is checked here. ChaCha20-Poly1305 needs no check.
//! Of other ciphers with other MACs the length is encrypted: a server with which nothing else could
//! be agreed on is refused, unless somebody asks for that (see `agreement.rs`).

use ssh_session::{Offer, Opening};

/// The longest packet there is, in bytes: as libssh2 has it.
const MAX_PACKET: usize = 40_000;

const HIDDEN: &str = "the server takes no cipher that authenticates and no MAC over what is \
                      encrypted, and so libssh2 could be made to end this process; take the policy \
                      `compatible` if you must, or the other library";

/// What is known of a server's bytes.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    pub(crate) opening: Opening,
    pub(crate) offer: Offer,
    /// A length may be encrypted.
    pub(crate) takes_hidden: bool,
    packets: Option<Packets>,
    /// What it did that no server may.
    pub(crate) violation: Option<&'static str>,
}

/// Packets whose length is in clear.
#[derive(Debug)]
struct Packets {
    /// What a length is a multiple of, in bytes.
    block: usize,
    /// What stands behind each packet.
    tag: usize,
    /// The length that is coming.
    length: [u8; 4],
    known: usize,
    /// Bytes of the packet that are still to come.
    left: usize,
}

impl Framing {
    /// Takes in what has come. An error says that libssh2 must not see it.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        self.violation.map_or(Ok(()), Err)?;
        let was_over = self.opening.is_over();
        let read = self.opening.read(bytes).and_then(|clear| {
            if !was_over && !self.takes_hidden && self.is_hidden() {
                return Err(HIDDEN);
            }
            if !was_over && self.opening.is_over() {
                self.packets = self.packets();
            }
            match &mut self.packets {
                Some(packets) => packets.read(bytes.get(clear..).unwrap_or_default()),
                None => Ok(()),
            }
        });
        if let Err(violation) = read {
            self.violation = Some(violation);
        }
        read
    }

    /// Whether lengths will be encrypted, by what both sides come to.
    fn is_hidden(&self) -> bool {
        let agreed = self.opening.lists().and_then(|lists| self.offer.from_server(lists));
        matches!(agreed, Some((_, Some(mac))) if !mac.contains("-etm@"))
    }

    /// How packets are framed by what both sides come to.
    fn packets(&self) -> Option<Packets> {
        let (cipher, mac) = self.offer.from_server(self.opening.lists()?)?;
        let tag = match mac {
            None if cipher.contains("gcm") => 16,
            None => return None,
            Some("hmac-sha2-512-etm@openssh.com") => 64,
            Some("hmac-sha2-256-etm@openssh.com") => 32,
            Some("hmac-sha1-etm@openssh.com") => 20,
            Some(_) => return None,
        };
        let block = if cipher.starts_with("3des") { 8 } else { 16 };
        Some(Packets { block, tag, length: [0; 4], known: 0, left: 0 })
    }
}

impl Packets {
    fn read(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let passed = self.left.min(bytes.len());
                self.left -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            self.length[self.known] = bytes[0];
            self.known += 1;
            bytes = &bytes[1..];
            if self.known == self.length.len() {
                let length = u32::from_be_bytes(self.length) as usize;
                if length == 0 || length > MAX_PACKET || !length.is_multiple_of(self.block) {
                    return Err("the server sends a packet of no length that there is");
                }
                self.left = length + self.tag;
                self.known = 0;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Packets;

    #[test]
    fn lengths_are_checked_however_they_arrive() {
        let packet =
            |length: u32, size: usize| [&length.to_be_bytes()[..], &vec![7; size + 16]].concat();
        let gcm = || Packets { block: 16, tag: 16, length: [0; 4], known: 0, left: 0 };
        let good = [packet(32, 32), packet(16, 16), packet(320, 320)].concat();
        for size in [1, 3, 1000] {
            let mut packets = gcm();
            let read = good.chunks(size).try_for_each(|piece| packets.read(piece));
            assert_eq!((read, packets.left, packets.known), (Ok(()), 0, 0));
            for wrong in [0, 5, 17, 40_016, u32::MAX] {
                let bytes = [good.clone(), packet(wrong, 100)].concat();
                let mut packets = gcm();
                assert!(bytes.chunks(size).try_for_each(|piece| packets.read(piece)).is_err());
            }
        }
    }
}
