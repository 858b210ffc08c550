//! Where commands are sent: a server of ours, near or far.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hussh::{AsyncConnection, Builder, HostKeyPolicy};
use test_servers::embedded::EmbeddedServer;
use test_servers::keys::known_hosts_line;
use test_servers::proxy::FaultProxy;
use test_servers::sshd::Sshd;

/// What kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The one inside this process.
    Embedded,
    /// This machine's OpenSSH.
    Sshd,
}

#[derive(Debug)]
enum Server {
    Embedded(Box<EmbeddedServer>),
    Sshd(Box<Sshd>),
}

/// A running server and the way to it.
#[derive(Debug)]
pub struct Place {
    server: Server,
    proxy: Option<FaultProxy>,
    round_trip: Duration,
    known_hosts: PathBuf,
}

impl Place {
    /// Starts a server that far away: through a proxy, where that is any distance.
    pub fn start(kind: Kind, round_trip: Duration) -> std::io::Result<Self> {
        let server = match kind {
            Kind::Embedded => {
                let server = EmbeddedServer::builder().max_sessions(200).start()?;
                Server::Embedded(Box::new(server))
            }
            Kind::Sshd => Server::Sshd(Box::new(Sshd::start()?)),
        };
        let (direct, folder, key) = match &server {
            Server::Embedded(server) => (server.addr(), server.dir(), server.host_public_key()),
            Server::Sshd(server) => (server.addr(), server.dir(), server.host_public_key()),
        };
        let proxy = match round_trip.is_zero() {
            true => None,
            false => Some(FaultProxy::start(direct)?),
        };
        if let Some(proxy) = &proxy {
            proxy.delay(round_trip / 2);
        }
        let address = proxy.as_ref().map_or(direct, FaultProxy::addr);
        let known_hosts = folder.join("known_hosts_of_bench");
        fs::write(&known_hosts, format!("{}\n", known_hosts_line(address, key)))?;
        Ok(Self { server, proxy, round_trip, known_hosts })
    }

    /// Where clients connect to.
    pub fn addr(&self) -> SocketAddr {
        match (&self.proxy, &self.server) {
            (Some(proxy), _) => proxy.addr(),
            (None, Server::Embedded(server)) => server.addr(),
            (None, Server::Sshd(server)) => server.addr(),
        }
    }

    /// Whom clients log in as.
    pub fn user(&self) -> &str {
        match &self.server {
            Server::Embedded(server) => server.user(),
            Server::Sshd(server) => server.user(),
        }
    }

    /// The private key they log in with.
    pub fn identity(&self) -> PathBuf {
        match &self.server {
            Server::Embedded(server) => server.identity(),
            Server::Sshd(server) => server.identity(),
        }
    }

    /// The file that knows the server's key.
    pub fn known_hosts(&self) -> &Path {
        &self.known_hosts
    }

    /// The proxy delays what is sent, not TCP's own handshake, which costs a round trip, too.
    pub fn shake_hands(&self) {
        if !self.round_trip.is_zero() {
            std::thread::sleep(self.round_trip);
        }
    }

    /// How far away it is.
    pub fn round_trip(&self) -> Duration {
        self.round_trip
    }

    /// What leads there, for a connection or a pool.
    pub(super) fn builder<T>(&self) -> Builder<T> {
        AsyncConnection::builder(self.addr().ip().to_string(), self.user())
            .port(self.addr().port())
            .private_key(self.identity(), None)
            .host_keys(HostKeyPolicy::Strict)
            .known_hosts([self.known_hosts()])
            .to()
    }
}
