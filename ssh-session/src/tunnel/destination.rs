//! Where a tunnel leads.

use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::{SshError, printable};

/// Where a tunnel leads, as the server sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Destination {
    /// A TCP port. The server looks the name up.
    Tcp {
        /// A name or an address.
        host: String,
        /// From 1.
        port: u16,
    },
    /// A Unix socket on the server, for those that have OpenSSH's extension.
    Unix {
        /// Its path there, without NUL, UTF-8, 34,000 bytes at most.
        path: PathBuf,
    },
}

impl Destination {
    /// As long as a host's name or a path may be, in bytes: what libssh2 puts into one packet, less
    /// what stands around it there. The same for all backends.
    const LONGEST: usize = 34_000;

    /// A TCP port.
    pub fn tcp(host: impl Into<String>, port: u16) -> Self {
        Self::Tcp { host: host.into(), port }
    }

    /// A Unix socket on the server.
    pub fn unix(path: impl AsRef<Path>) -> Self {
        Self::Unix { path: path.as_ref().to_owned() }
    }

    /// Checks what no server could make sense of. Backends call this first.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] where the host or the path is empty, too long or has a NUL in it,
    /// the path is not UTF-8, or the port is 0.
    pub fn validate(&self) -> Result<(), SshError> {
        let (field, bytes) = match self {
            Self::Tcp { port: 0, .. } => return Err(SshError::invalid("port", "is 0")),
            Self::Tcp { host, .. } => ("host", host.as_bytes()),
            Self::Unix { path } if path.to_str().is_none() => {
                return Err(SshError::invalid("path", "is not UTF-8, which the protocol asks for"));
            }
            Self::Unix { path } => ("path", path.as_os_str().as_bytes()),
        };
        if bytes.is_empty() {
            return Err(SshError::invalid(field, "is empty"));
        }
        if bytes.contains(&0) {
            return Err(SshError::invalid(field, "has a NUL character in it"));
        }
        if bytes.len() > Self::LONGEST {
            let problem = format!("is longer than {} bytes", Self::LONGEST);
            return Err(SshError::invalid(field, problem));
        }
        Ok(())
    }
}

/// `host:port`, `[address]:port`, or the path.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => {
                write!(f, "[{}]:{port}", printable(host.as_bytes()))
            }
            Self::Tcp { host, port } => write!(f, "{}:{port}", printable(host.as_bytes())),
            Self::Unix { path } => f.write_str(&printable(path.as_os_str().as_bytes())),
        }
    }
}

impl<H: Into<String>> From<(H, u16)> for Destination {
    fn from((host, port): (H, u16)) -> Self {
        Self::tcp(host, port)
    }
}

#[cfg(test)]
mod tests {
    use super::Destination;

    #[test]
    fn what_no_server_could_connect_to_is_refused_by_name() {
        let long = "x".repeat(40_000);
        for (bad, word) in [
            (Destination::tcp("", 1), "host"),
            (Destination::tcp("a\0b", 1), "host"),
            (Destination::tcp(long.as_str(), 1), "host"),
            (Destination::tcp("h", 0), "port"),
            (Destination::unix(""), "path"),
            (Destination::unix("/a\0"), "path"),
            (Destination::unix(long), "path"),
        ] {
            let error = bad.validate().expect_err(word);
            assert!(error.to_string().contains(word), "{error}");
        }
        for good in [Destination::tcp("::1", 65_535), Destination::unix("/run/x.sock")] {
            good.validate().expect("valid");
        }
    }

    #[test]
    fn it_is_shown_as_users_write_it() {
        assert_eq!(Destination::tcp("db", 5432).to_string(), "db:5432");
        assert_eq!(Destination::from(("::1", 80)).to_string(), "[::1]:80");
        assert_eq!(Destination::unix("/run/x").to_string(), "/run/x");
    }
}
