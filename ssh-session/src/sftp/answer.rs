//! What a server answers (draft-ietf-secsh-filexfer-02, 4 and 7).

use std::io;

use bytes::Bytes;

use super::attributes::Metadata;
use super::wire::{Fields, Malformed};

/// The longest handle (6.3).
const MAX_HANDLE: usize = 256;

/// An answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Status(Status),
    Handle(Bytes),
    Data(Bytes),
    Names(Vec<Name>),
    Attributes(Metadata),
    Extended(Bytes),
}

/// A packet of a server's.
#[derive(Debug)]
pub(super) enum Packet {
    Version(Extensions),
    Answer(u32, Answer),
}

/// How a request ended that has no other answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) code: u32,
    pub(super) message: Bytes,
}

/// A name, and what is known of its file. The line for people (`longname`) is dropped: it has no
/// form that anybody could rely on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) name: Bytes,
    pub(super) metadata: Metadata,
}

/// What a server can do beyond version 3.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    pub(super) posix_rename: bool,
    pub(super) statvfs: bool,
    pub(super) fsync: bool,
    pub(super) hardlink: bool,
    pub(super) limits: bool,
}

impl Status {
    pub(super) const OK: u32 = 0;
    pub(super) const EOF: u32 = 1;
    /// Failed, for whatever reason.
    pub(super) const FAILURE: u32 = 4;

    /// What this means to people who know files.
    pub(super) fn kind(&self) -> io::ErrorKind {
        match self.code {
            Self::EOF => io::ErrorKind::UnexpectedEof,
            2 => io::ErrorKind::NotFound,
            3 => io::ErrorKind::PermissionDenied,
            8 => io::ErrorKind::Unsupported,
            _ => io::ErrorKind::Other,
        }
    }
}

impl Packet {
    pub(super) fn read(bytes: Bytes) -> Result<Self, Malformed> {
        let mut fields = Fields(bytes);
        let number = fields.u8()?;
        if number == 2 {
            return version(fields).map(Self::Version);
        }
        let id = fields.u32()?;
        let answer = match number {
            101 => {
                let code = fields.u32()?;
                // Servers of old drafts leave it out.
                let message = fields.string().unwrap_or_default();
                Answer::Status(Status { code, message })
            }
            102 => {
                let handle = fields.string()?;
                if handle.len() > MAX_HANDLE {
                    return Err(Malformed("a handle is longer than 256 bytes"));
                }
                Answer::Handle(handle)
            }
            103 => Answer::Data(fields.string()?),
            104 => Answer::Names(names(&mut fields)?),
            105 => Answer::Attributes(Metadata::read(&mut fields)?),
            201 => Answer::Extended(fields.0),
            _ => return Err(Malformed("a packet is of no known type")),
        };
        Ok(Self::Answer(id, answer))
    }
}

fn version(mut fields: Fields) -> Result<Extensions, Malformed> {
    // A server takes the lower of its version and ours, which is 3.
    if fields.u32()? != 3 {
        return Err(Malformed("it has no version 3"));
    }
    let mut known = Extensions::default();
    while !fields.0.is_empty() {
        let (name, version) = (fields.string()?, fields.string()?);
        match (&*name, &*version) {
            (b"posix-rename@openssh.com", b"1") => known.posix_rename = true,
            (b"statvfs@openssh.com", b"2") => known.statvfs = true,
            (b"fsync@openssh.com", b"1") => known.fsync = true,
            (b"hardlink@openssh.com", b"1") => known.hardlink = true,
            (b"limits@openssh.com", b"1") => known.limits = true,
            _ => {}
        }
    }
    Ok(known)
}

fn names(fields: &mut Fields) -> Result<Vec<Name>, Malformed> {
    let count = fields.u32()?;
    // Each takes some of the packet, so that a lie about their number ends with it.
    let mut names = Vec::new();
    for _ in 0..count {
        let name = fields.string()?;
        fields.string()?;
        names.push(Name { name, metadata: Metadata::read(fields)? });
    }
    Ok(names)
}
