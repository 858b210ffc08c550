//! Adding lines to a file that others may be adding to.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::unusable;
use crate::SshError;

/// How long to wait for others, who need microseconds: one that is stuck must not hold up a login.
const PATIENCE: Duration = Duration::from_secs(2);

/// A file open for appending, under an exclusive lock.
pub(super) struct Append(File);

/// Opens a file for appending and runs `add` under its lock. Missing folders are created for the
/// user alone, as is the file.
pub(super) fn locked<T>(
    path: &Path,
    add: impl FnOnce(&mut Append) -> Result<T, SshError>,
) -> Result<T, SshError> {
    let mut append = open(path).map_err(|source| unusable(path, source))?;
    // Closing the file releases the lock.
    add(&mut append)
}

fn open(path: &Path) -> io::Result<Append> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let patience_ends = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Append(file)),
            Err(TryLockError::WouldBlock) if Instant::now() < patience_ends => {
                thread::sleep(Duration::from_millis(2));
            }
            // OpenSSH locks nothing, anywhere.
            Err(TryLockError::Error(error)) if has_no_locks(&error) => return Ok(Append(file)),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether a file system knows no such locks, as some over a network do: then a line is added
/// without, in one write.
fn has_no_locks(error: &io::Error) -> bool {
    let unknown = [Errno::NOLCK, Errno::NOSYS, Errno::OPNOTSUPP, Errno::INVAL];
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    error.kind() == io::ErrorKind::Unsupported || code.is_some_and(|code| unknown.contains(&code))
}

impl Append {
    /// Appends one line in one write, on a line of its own even if the last one has no end.
    pub(super) fn line(&mut self, line: &str) -> io::Result<()> {
        let mut text = format!("{line}\n");
        if self.0.seek(SeekFrom::End(0))? > 0 {
            self.0.seek(SeekFrom::End(-1))?;
            let mut last = [0];
            self.0.read_exact(&mut last)?;
            if last != *b"\n" {
                text.insert(0, '\n');
            }
        }
        self.0.write_all(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use rustix::io::Errno;

    use super::has_no_locks;

    #[test]
    fn a_file_system_without_locks_is_told_from_one_that_fails() {
        let is_one = |code: Errno| has_no_locks(&io::Error::from_raw_os_error(code.raw_os_error()));
        assert!(
            [Errno::NOLCK, Errno::NOSYS, Errno::OPNOTSUPP, Errno::INVAL].into_iter().all(is_one)
        );
        assert!(has_no_locks(&io::Error::from(io::ErrorKind::Unsupported)));
        assert!(![Errno::IO, Errno::INTR, Errno::BADF, Errno::WOULDBLOCK].into_iter().any(is_one));
    }
}
