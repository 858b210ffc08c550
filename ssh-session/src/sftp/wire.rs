//! Packets of SFTP version 3 (draft-ietf-secsh-filexfer-02, 3 and 4), cut out of a stream of bytes.

use std::fmt;

use bytes::{Buf as _, Bytes, BytesMut};

/// The longest packet we take, as OpenSSH does; RFC drafts ask for 34,000 bytes.
pub const MAX_PACKET: usize = 256 * 1024;

/// A peer that does not speak SFTP, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(pub(super) &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server does not speak SFTP version 3: {}", self.0)
    }
}

/// What has come and is not yet a whole packet.
#[derive(Debug, Default)]
pub struct Packets {
    buffer: BytesMut,
}

impl Packets {
    /// Takes in what came next.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole packet, without its length.
    ///
    /// # Errors
    ///
    /// Where it is empty or longer than [`MAX_PACKET`]; nothing that follows makes sense then.
    pub fn next_packet(&mut self) -> Result<Option<Bytes>, Malformed> {
        let Some(head) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*head) as usize;
        if length == 0 || length > MAX_PACKET {
            return Err(Malformed("a packet's length is none"));
        }
        if self.buffer.len() < 4 + length {
            return Ok(None);
        }
        self.buffer.advance(4);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}

/// Reads the fields of a packet.
pub(super) struct Fields(pub(super) Bytes);

impl Fields {
    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.0.try_get_u8().map_err(|_| CUT)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.0.try_get_u32().map_err(|_| CUT)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.0.try_get_u64().map_err(|_| CUT)
    }

    pub(super) fn string(&mut self) -> Result<Bytes, Malformed> {
        let length = self.u32()? as usize;
        if length > self.0.len() {
            return Err(CUT);
        }
        Ok(self.0.split_to(length))
    }
}

const CUT: Malformed = Malformed("a packet ends in the middle of a field");
