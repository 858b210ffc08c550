//! Opening files that a user names, without waiting for anybody.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

/// The largest file of a key or a certificate: an RSA key of 16,384 bits has 13 kB.
const MAX_SIZE: u64 = 1 << 20;

/// Opens a file to read it. A pipe, a socket or a folder is refused: opening a pipe would wait for
/// its other end, so nothing is waited for. `/dev/null` is fine.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    if !kind.is_file() && !kind.is_char_device() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    Ok(file)
}

/// What an open file has, up to so many bytes; more is an error.
pub(crate) fn read(file: File, largest: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.take(largest + 1).read_to_end(&mut content)?;
    if content.len() as u64 > largest {
        let text = format!("it is larger than {} MiB", largest >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(content)
}

/// The text of a file of a key or a certificate. Where there is a pipe or a folder instead, or more
/// than 1 MiB, that is an error at once.
///
/// # Errors
///
/// If it is not there, cannot be read, or is no text.
pub fn small_text(path: &Path) -> io::Result<String> {
    text(open(path)?)
}

pub(crate) fn text(file: File) -> io::Result<String> {
    let text = String::from_utf8(read(file, MAX_SIZE)?);
    text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not a text file"))
}
