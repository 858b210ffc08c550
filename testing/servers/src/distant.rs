//! A server of any kind, near or far, and what its clients must know.
//!
//! ```no_run
//! use std::time::Duration;
//! use test_servers::distant::{AnyServer, DistantServer};
//! use test_servers::sshd::Sshd;
//!
//! # fn main() -> std::io::Result<()> {
//! let server = AnyServer::from(Sshd::start()?);
//! let far = DistantServer::start(server, Duration::from_millis(50))?;
//! println!("ssh -p {} -i {}", far.addr().port(), far.server().identity().display());
//! # Ok(())
//! # }
//! ```

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io, thread};

use crate::dropbear::Dropbear;
use crate::embedded::EmbeddedServer;
use crate::keys::known_hosts_line;
use crate::proxy::FaultProxy;
use crate::sshd::Sshd;

/// A running server of some kind.
#[derive(Debug)]
pub enum AnyServer {
    /// Inside this process.
    Embedded(Box<EmbeddedServer>),
    /// This machine's OpenSSH.
    Sshd(Box<Sshd>),
    /// This machine's Dropbear.
    Dropbear(Box<Dropbear>),
}

/// The same value of each kind of server.
macro_rules! of_each {
    ($any:expr, $server:ident => $value:expr) => {
        match $any {
            AnyServer::Embedded($server) => $value,
            AnyServer::Sshd($server) => $value,
            AnyServer::Dropbear($server) => $value,
        }
    };
}

impl AnyServer {
    /// Host and port.
    pub fn addr(&self) -> SocketAddr {
        of_each!(self, server => server.addr())
    }

    /// A user who may log in.
    pub fn user(&self) -> &str {
        of_each!(self, server => server.user())
    }

    /// A private key file without passphrase that opens this server.
    pub fn identity(&self) -> PathBuf {
        of_each!(self, server => server.identity())
    }

    /// The host key's public half as one OpenSSH line.
    pub fn host_public_key(&self) -> &str {
        of_each!(self, server => server.host_public_key())
    }

    /// The folder with its files; removed on drop.
    pub fn dir(&self) -> &Path {
        of_each!(self, server => server.dir())
    }

    /// Kills every session with its commands; the listener stays.
    ///
    /// # Errors
    ///
    /// Where a server's processes cannot be found.
    pub fn kill_sessions(&self) -> io::Result<()> {
        match self {
            Self::Embedded(server) => {
                server.kill_connections();
                Ok(())
            }
            Self::Sshd(server) => server.kill_sessions(),
            Self::Dropbear(server) => server.kill_sessions(),
        }
    }

    /// What it wrote down, which is nothing for the embedded one.
    pub fn log(&self) -> String {
        match self {
            Self::Embedded(_) => String::new(),
            Self::Sshd(server) => server.log(),
            Self::Dropbear(server) => server.log(),
        }
    }
}

impl From<EmbeddedServer> for AnyServer {
    fn from(server: EmbeddedServer) -> Self {
        Self::Embedded(Box::new(server))
    }
}

impl From<Sshd> for AnyServer {
    fn from(server: Sshd) -> Self {
        Self::Sshd(Box::new(server))
    }
}

impl From<Dropbear> for AnyServer {
    fn from(server: Dropbear) -> Self {
        Self::Dropbear(Box::new(server))
    }
}

/// A server at the far end of a network, and a known_hosts file that knows it there.
#[derive(Debug)]
pub struct DistantServer {
    server: AnyServer,
    proxy: Option<FaultProxy>,
    round_trip: Duration,
    known_hosts: PathBuf,
}

impl DistantServer {
    /// Puts a server that far away: behind a proxy, where that is any distance.
    ///
    /// # Errors
    ///
    /// Where the proxy cannot listen, or the known_hosts file not be written.
    pub fn start(server: AnyServer, round_trip: Duration) -> io::Result<Self> {
        let proxy = match round_trip.is_zero() {
            true => None,
            false => Some(FaultProxy::start(server.addr())?),
        };
        if let Some(proxy) = &proxy {
            proxy.delay(round_trip / 2);
        }
        let address = proxy.as_ref().map_or(server.addr(), FaultProxy::addr);
        let known_hosts = server.dir().join("known_hosts_of_clients");
        let line = known_hosts_line(address, server.host_public_key());
        fs::write(&known_hosts, format!("{line}\n"))?;
        Ok(Self { server, proxy, round_trip, known_hosts })
    }

    /// The server itself.
    pub fn server(&self) -> &AnyServer {
        &self.server
    }

    /// Where clients connect to.
    pub fn addr(&self) -> SocketAddr {
        self.proxy.as_ref().map_or(self.server.addr(), FaultProxy::addr)
    }

    /// How far away it is.
    pub fn round_trip(&self) -> Duration {
        self.round_trip
    }

    /// The file that knows the server's key.
    pub fn known_hosts(&self) -> &Path {
        &self.known_hosts
    }

    /// Waits as long as TCP's own handshake takes there: the proxy delays what is sent, not that.
    pub fn shake_hands(&self) {
        if !self.round_trip.is_zero() {
            thread::sleep(self.round_trip);
        }
    }
}
