//! Where commands are sent: a server of ours, near or far.

use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use hussh::{AsyncConnection, Builder, HostKeyPolicy};
use test_servers::distant::DistantServer;
use test_servers::embedded::EmbeddedServer;
use test_servers::sshd::Sshd;

/// What kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The one inside this process.
    Embedded,
    /// This machine's OpenSSH.
    Sshd,
}

/// A running server and the way to it.
#[derive(Debug)]
pub struct Place(DistantServer);

impl Deref for Place {
    type Target = DistantServer;

    fn deref(&self) -> &DistantServer {
        &self.0
    }
}

impl Place {
    /// Starts a server that far away.
    pub fn start(kind: Kind, round_trip: Duration) -> std::io::Result<Self> {
        let server = match kind {
            Kind::Embedded => EmbeddedServer::builder().max_sessions(200).start()?.into(),
            Kind::Sshd => Sshd::start()?.into(),
        };
        DistantServer::start(server, round_trip).map(Self)
    }

    /// Whom clients log in as.
    pub fn user(&self) -> &str {
        self.server().user()
    }

    /// The private key they log in with.
    pub fn identity(&self) -> PathBuf {
        self.server().identity()
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
