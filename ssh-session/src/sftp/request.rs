//! What is asked of a server: the requests of version 3 (draft-ietf-secsh-filexfer-02, 6), and those
//! of OpenSSH's (its file `PROTOCOL`, section 4).

use super::attributes::Metadata;

/// Open to read.
pub(super) const READ: u32 = 1;
/// Open to write.
pub(super) const WRITE: u32 = 2;
/// Write at the end, wherever that is.
pub(super) const APPEND: u32 = 4;
/// Create where there is none.
pub(super) const CREATE: u32 = 8;
/// Empty what there is.
pub(super) const TRUNCATE: u32 = 16;
/// Fail where there is one.
pub(super) const EXCLUSIVE: u32 = 32;

/// A request; paths and handles are bytes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Request<'a> {
    Open {
        path: &'a [u8],
        flags: u32,
        attributes: Metadata,
    },
    Close {
        handle: &'a [u8],
    },
    Read {
        handle: &'a [u8],
        offset: u64,
        length: u32,
    },
    Write {
        handle: &'a [u8],
        offset: u64,
        data: &'a [u8],
    },
    Lstat {
        path: &'a [u8],
    },
    Fstat {
        handle: &'a [u8],
    },
    Setstat {
        path: &'a [u8],
        attributes: Metadata,
    },
    Fsetstat {
        handle: &'a [u8],
        attributes: Metadata,
    },
    Opendir {
        path: &'a [u8],
    },
    Readdir {
        handle: &'a [u8],
    },
    Remove {
        path: &'a [u8],
    },
    Mkdir {
        path: &'a [u8],
        attributes: Metadata,
    },
    Rmdir {
        path: &'a [u8],
    },
    Realpath {
        path: &'a [u8],
    },
    Stat {
        path: &'a [u8],
    },
    Rename {
        from: &'a [u8],
        to: &'a [u8],
    },
    Readlink {
        path: &'a [u8],
    },
    Symlink {
        target: &'a [u8],
        link: &'a [u8],
    },
    /// `limits@openssh.com`
    Limits,
    /// `posix-rename@openssh.com`
    PosixRename {
        from: &'a [u8],
        to: &'a [u8],
    },
    /// `hardlink@openssh.com`
    Hardlink {
        from: &'a [u8],
        to: &'a [u8],
    },
    /// `statvfs@openssh.com`
    Statvfs {
        path: &'a [u8],
    },
    /// `fsync@openssh.com`
    Fsync {
        handle: &'a [u8],
    },
}

/// `SSH_FXP_INIT` for version 3.
pub(super) const INIT: [u8; 9] = [0, 0, 0, 5, 1, 0, 0, 0, 3];

/// What a request takes of the window beside its data, in bytes: itself, its answer, and what we
/// keep of both.
pub(super) const COST: usize = 512;

impl Request<'_> {
    /// What is on its way for this request, in bytes, at most.
    pub(super) fn cost(&self) -> usize {
        COST + match self {
            Self::Read { length, .. } => *length as usize,
            Self::Write { data, .. } => data.len(),
            // A server's answer to this is as long as it likes.
            Self::Readdir { .. } => 32 * 1024,
            _ => 0,
        }
    }

    /// Whether its answer may be a handle, which somebody has to close.
    pub(super) fn opens(&self) -> bool {
        matches!(self, Self::Open { .. } | Self::Opendir { .. })
    }

    /// Appends its packet.
    pub(super) fn write(&self, id: u32, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        out.push(self.number());
        out.extend_from_slice(&id.to_be_bytes());
        match self {
            Self::Open { path, flags, attributes } => {
                string(out, path);
                out.extend_from_slice(&flags.to_be_bytes());
                attributes.write(out);
            }
            Self::Read { handle, offset, length } => {
                string(out, handle);
                out.extend_from_slice(&offset.to_be_bytes());
                out.extend_from_slice(&length.to_be_bytes());
            }
            Self::Write { handle, offset, data } => {
                string(out, handle);
                out.extend_from_slice(&offset.to_be_bytes());
                string(out, data);
            }
            Self::Close { handle: one }
            | Self::Fstat { handle: one }
            | Self::Readdir { handle: one }
            | Self::Lstat { path: one }
            | Self::Opendir { path: one }
            | Self::Remove { path: one }
            | Self::Rmdir { path: one }
            | Self::Realpath { path: one }
            | Self::Stat { path: one }
            | Self::Readlink { path: one } => string(out, one),
            Self::Setstat { path: one, attributes }
            | Self::Fsetstat { handle: one, attributes }
            | Self::Mkdir { path: one, attributes } => {
                string(out, one);
                attributes.write(out);
            }
            // OpenSSH has the two of a symlink the other way round than the draft, and so has
            // everybody since (its `PROTOCOL`, 4.1).
            Self::Rename { from, to } | Self::Symlink { target: from, link: to } => {
                string(out, from);
                string(out, to);
            }
            Self::Limits => string(out, b"limits@openssh.com"),
            Self::PosixRename { from, to } => {
                string(out, b"posix-rename@openssh.com");
                string(out, from);
                string(out, to);
            }
            Self::Hardlink { from, to } => {
                string(out, b"hardlink@openssh.com");
                string(out, from);
                string(out, to);
            }
            Self::Statvfs { path } => {
                string(out, b"statvfs@openssh.com");
                string(out, path);
            }
            Self::Fsync { handle } => {
                string(out, b"fsync@openssh.com");
                string(out, handle);
            }
        }
        // Callers keep paths to `MAX_PATH` and data to what a packet takes.
        let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }

    fn number(&self) -> u8 {
        match self {
            Self::Open { .. } => 3,
            Self::Close { .. } => 4,
            Self::Read { .. } => 5,
            Self::Write { .. } => 6,
            Self::Lstat { .. } => 7,
            Self::Fstat { .. } => 8,
            Self::Setstat { .. } => 9,
            Self::Fsetstat { .. } => 10,
            Self::Opendir { .. } => 11,
            Self::Readdir { .. } => 12,
            Self::Remove { .. } => 13,
            Self::Mkdir { .. } => 14,
            Self::Rmdir { .. } => 15,
            Self::Realpath { .. } => 16,
            Self::Stat { .. } => 17,
            Self::Rename { .. } => 18,
            Self::Readlink { .. } => 19,
            Self::Symlink { .. } => 20,
            Self::Limits
            | Self::PosixRename { .. }
            | Self::Hardlink { .. }
            | Self::Statvfs { .. }
            | Self::Fsync { .. } => 200,
        }
    }
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}
