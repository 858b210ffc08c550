//! What can go wrong with a file, there or here.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::{Target, printable};

/// Why a file operation failed.
#[derive(Debug, Clone)]
pub struct FileError {
    /// Whom it was about.
    pub target: Target,
    /// Whose file.
    pub side: Side,
    /// The file, as it was named there.
    pub path: PathBuf,
    /// What kind of failure: `NotFound`, `PermissionDenied`, `AlreadyExists`, …; `Other` where the
    /// server only says that it failed (`SSH_FX_FAILURE`).
    pub kind: io::ErrorKind,
    /// What was said about it: by the system, or by the server.
    pub detail: String,
}

/// On which machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// This one.
    Local,
    /// The server.
    Remote,
}

impl FileError {
    pub(crate) fn remote(target: &Target, path: &Path, kind: io::ErrorKind, detail: &str) -> Self {
        let (target, path, detail) = (target.clone(), path.to_owned(), detail.to_owned());
        Self { target, side: Side::Remote, path, kind, detail }
    }

    /// A failure of this machine.
    pub fn local(target: &Target, path: &Path, error: &io::Error) -> Self {
        let (target, path, detail) = (target.clone(), path.to_owned(), error.to_string());
        Self { target, side: Side::Local, path, kind: error.kind(), detail }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use std::os::unix::ffi::OsStrExt as _;
        let Self { target, side, path, kind, detail } = self;
        let side = match side {
            Side::Local => "local",
            Side::Remote => "remote",
        };
        write!(f, "{target}: {side} file {:?}: ", printable(path.as_os_str().as_bytes()))?;
        match (kind, detail.as_str()) {
            (kind, "") => kind.fmt(f),
            (io::ErrorKind::Other, detail) => f.write_str(detail),
            (kind, detail) if detail.eq_ignore_ascii_case(&kind.to_string()) => kind.fmt(f),
            (kind, detail) => write!(f, "{kind} ({detail})"),
        }
    }
}
