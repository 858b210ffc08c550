//! Where a server is and what it is known by: the same of every kind of server.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::keys::known_hosts_line;

/// A server's address, its folder and its host keys. Every server dereferences to its own.
#[derive(Debug)]
pub struct Place {
    pub(crate) address: SocketAddr,
    pub(crate) host_public_keys: Vec<String>,
    folder: tempfile::TempDir,
}

impl Place {
    /// A folder of its own, for a server that will be found there.
    pub(crate) fn new(prefix: &str, address: impl Into<SocketAddr>) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(prefix).tempdir()?;
        Ok(Self { address: address.into(), host_public_keys: Vec::new(), folder })
    }

    /// The address it listens on: `127.0.0.1`, unless it was told another.
    pub fn host(&self) -> String {
        self.address.ip().to_string()
    }

    /// The port it listens on, the same after each restart.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Host and port.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// A private key file without passphrase that opens this server.
    pub fn identity(&self) -> PathBuf {
        self.dir().join("identity")
    }

    /// The first host key's public half as one OpenSSH line.
    pub fn host_public_key(&self) -> &str {
        self.host_public_keys.first().map_or("", String::as_str)
    }

    /// The public halves of all host keys.
    pub fn host_public_keys(&self) -> &[String] {
        &self.host_public_keys
    }

    /// The known_hosts line for the first host key, `[127.0.0.1]:port ssh-ed25519 …`.
    pub fn known_hosts_line(&self) -> String {
        known_hosts_line(self.address, self.host_public_key())
    }

    /// The folder with its configuration, keys and log; removed on drop.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }
}

/// Has a server dereference to its place, for what all of them can tell.
macro_rules! has_place {
    ($server:ty) => {
        impl std::ops::Deref for $server {
            type Target = $crate::Place;

            fn deref(&self) -> &$crate::Place {
                &self.place
            }
        }
    };
}

pub(crate) use has_place;
