//! What is known of a file (draft-ietf-secsh-filexfer-02, 5).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::wire::{Fields, Malformed};

const SIZE: u32 = 1;
const OWNER: u32 = 2;
const PERMISSIONS: u32 = 4;
const TIMES: u32 = 8;
const EXTENDED: u32 = 0x8000_0000;

/// What is known of a file; as much of it as the server says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Metadata {
    /// In bytes, as the server claims.
    pub size: Option<u64>,
    /// The owner's numbers: user and group.
    pub owner: Option<(u32, u32)>,
    /// Its kind and permissions, as in `st_mode`.
    pub mode: Option<u32>,
    /// When it was last read and last changed, in seconds since 1970.
    pub times: Option<(u32, u32)>,
}

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A regular one.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A pipe, socket or device.
    Special,
    /// The server did not say.
    Unknown,
}

impl Metadata {
    /// What kind of file it is.
    pub fn kind(&self) -> FileKind {
        match self.mode.map(|mode| mode & 0o170_000) {
            Some(0o100_000) => FileKind::File,
            Some(0o040_000) => FileKind::Directory,
            Some(0o120_000) => FileKind::Symlink,
            None | Some(0) => FileKind::Unknown,
            Some(_) => FileKind::Special,
        }
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind() == FileKind::Directory
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.kind() == FileKind::File
    }

    /// Whether it is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.kind() == FileKind::Symlink
    }

    /// Its permissions, set-id and sticky bits included: at most `0o7777`.
    pub fn permissions(&self) -> Option<u32> {
        self.mode.map(|mode| mode & 0o7777)
    }

    /// When its content last changed.
    pub fn modified(&self) -> Option<SystemTime> {
        self.times.map(|(_, changed)| UNIX_EPOCH + Duration::from_secs(changed.into()))
    }

    pub(super) fn read(fields: &mut Fields) -> Result<Self, Malformed> {
        let flags = fields.u32()?;
        let mut read = Self::default();
        if flags & SIZE != 0 {
            read.size = Some(fields.u64()?);
        }
        if flags & OWNER != 0 {
            read.owner = Some((fields.u32()?, fields.u32()?));
        }
        if flags & PERMISSIONS != 0 {
            read.mode = Some(fields.u32()?);
        }
        if flags & TIMES != 0 {
            read.times = Some((fields.u32()?, fields.u32()?));
        }
        if flags & EXTENDED != 0 {
            // Each takes some of the packet, so that a lie about their number ends with it.
            for _ in 0..fields.u32()? {
                fields.string()?;
                fields.string()?;
            }
        }
        Ok(read)
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        let flags = flag(self.size.is_some(), SIZE)
            | flag(self.owner.is_some(), OWNER)
            | flag(self.mode.is_some(), PERMISSIONS)
            | flag(self.times.is_some(), TIMES);
        out.extend_from_slice(&flags.to_be_bytes());
        if let Some(size) = self.size {
            out.extend_from_slice(&size.to_be_bytes());
        }
        if let Some((user, group)) = self.owner {
            out.extend_from_slice(&user.to_be_bytes());
            out.extend_from_slice(&group.to_be_bytes());
        }
        if let Some(mode) = self.mode {
            out.extend_from_slice(&mode.to_be_bytes());
        }
        if let Some((read, changed)) = self.times {
            out.extend_from_slice(&read.to_be_bytes());
            out.extend_from_slice(&changed.to_be_bytes());
        }
    }
}
