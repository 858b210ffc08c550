//! Files by SCP, for servers without SFTP: `scp -f` and `scp -t` on the server, as OpenSSH's and
//! Dropbear's `scp` speak with each other (there is no standard; see OpenSSH's `scp.c`).
//!
//! [`Source`] reads what the sending side says, and knows no I/O; [`download`] and [`upload`] are async
//! functions over a [`Pipe`] and know no runtime, so that threads and tasks run the same ones.

mod download;
mod pipe;
mod run;
mod source;
mod upload;

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

pub use download::download;
pub use pipe::{Pipe, Tasks, Threads};
pub use run::{Direction, in_tasks, on_threads};
pub use source::{MAX_LINE, Said, Source};
pub use upload::upload;

use crate::sftp::offload::blocking;
use crate::sftp::{Offload, Transfer};
use crate::{Command, FileError, SshError, Target};

/// Deeper directories are not transferred.
const MAX_DEPTH: usize = 200;

/// As many files are taken at most.
const MAX_ENTRIES: usize = 1_000_000;

/// What a transfer is about.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// The server.
    pub target: &'a Target,
    /// The path there.
    pub remote: &'a Path,
    /// The path here.
    pub local: &'a Path,
    /// How. Of it SCP knows `preserve` and `progress`; links are followed.
    pub transfer: &'a Transfer,
}

impl Job<'_> {
    /// The command that sends.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] where SCP cannot do it.
    pub fn sends(&self) -> Result<Command, SshError> {
        self.command("-f -r", self.remote.as_os_str().as_bytes())
    }

    /// The command that receives, in the directory that the remote path is in.
    ///
    /// # Errors
    ///
    /// As [`sends`](Self::sends).
    pub fn receives(&self) -> Result<Command, SshError> {
        if self.remote.file_name().is_none() {
            return Err(SshError::invalid("remote", "names no file or directory"));
        }
        let parent = self.remote.parent().filter(|parent| !parent.as_os_str().is_empty());
        self.command("-t -r -d", parent.unwrap_or(Path::new(".")).as_os_str().as_bytes())
    }

    fn command(&self, does: &str, path: &[u8]) -> Result<Command, SshError> {
        if self.remote.as_os_str().is_empty() {
            return Err(SshError::invalid("remote", "is empty"));
        }
        let Transfer { atomic, resume, sync, .. } = self.transfer;
        if *atomic || *resume || *sync {
            let problem = "asks for what SCP cannot do: atomic, resume or sync";
            return Err(SshError::invalid("transfer", problem));
        }
        let preserve = if self.transfer.preserve { " -p" } else { "" };
        let mut line = format!("scp {does}{preserve} -- ").into_bytes();
        line.extend(quoted(path));
        let command = Command::new(line).stdin_piped();
        command.validate()?;
        Ok(command)
    }

    fn remote_failed(&self, path: &Path, said: &str) -> SshError {
        let kind = match said.rsplit(": ").next().unwrap_or_default().trim() {
            "No such file or directory" => io::ErrorKind::NotFound,
            "Permission denied" => io::ErrorKind::PermissionDenied,
            "Is a directory" => io::ErrorKind::IsADirectory,
            "Not a directory" => io::ErrorKind::NotADirectory,
            "No space left on device" => io::ErrorKind::StorageFull,
            _ => io::ErrorKind::Other,
        };
        self.remote_error(path, kind, said)
    }

    fn remote_error(&self, path: &Path, kind: io::ErrorKind, detail: &str) -> SshError {
        let path = self.remote.join(path);
        SshError::File(Box::new(FileError::remote(self.target, &path, kind, detail)))
    }

    fn local_error(&self, path: &Path, error: &io::Error) -> SshError {
        let path = if path.as_os_str().is_empty() { self.local } else { &self.local.join(path) };
        SshError::File(Box::new(FileError::local(self.target, path, error)))
    }

    /// What the server says that no `scp` does.
    fn violated(&self, path: &Path, what: &str) -> SshError {
        self.remote_error(path, io::ErrorKind::InvalidData, what)
    }
}

/// A path as one word for a POSIX shell.
fn quoted(path: &[u8]) -> Vec<u8> {
    let mut word = vec![b'\''];
    for byte in path {
        match byte {
            b'\'' => word.extend_from_slice(br"'\''"),
            byte => word.push(*byte),
        }
    }
    word.push(b'\'');
    word
}

/// Works on local files.
async fn here<T: Send + 'static>(
    offload: &dyn Offload,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = blocking(offload, work).await;
    done.unwrap_or_else(|| Err(io::Error::other("this program is ending")))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_path_is_one_word_whatever_is_in_it() {
        for path in ["a b", "it's", "$(touch x)", "`x`", "a\nb", "-r", "*", "~", "\\", "'';"] {
            let word = String::from_utf8(quoted(path.as_bytes())).expect("text");
            let output = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {word}")])
                .output()
                .expect("a shell");
            assert_eq!(output.stdout, path.as_bytes());
        }
    }
}
