//! How to log in, said once for single connections and for the pool.

use std::path::Path;

use hussh::{Builder, Connection, ConnectionPool, Error, HostKeyPolicy, Target};

/// Makes connections, one at a time or pooled, to the same target in the same way.
#[derive(Clone)]
pub(crate) struct Login(Builder<Connection>);

impl Login {
    pub(crate) fn to(host: &str, port: u16, user: &str) -> Self {
        Self(Connection::builder(host, user).port(port))
    }

    pub(crate) fn to_target(target: &Target) -> Self {
        Self::to(target.host(), target.port(), target.user())
    }

    pub(crate) fn password(self, password: &str) -> Self {
        Self(self.0.password(password))
    }

    pub(crate) fn private_key(self, path: &Path, passphrase: Option<&str>) -> Self {
        Self(self.0.private_key(path, passphrase))
    }

    pub(crate) fn known_hosts(self, file: &Path) -> Self {
        Self(self.0.known_hosts([file]))
    }

    /// Believes only what the known_hosts file says.
    pub(crate) fn strict(self) -> Self {
        Self(self.0.host_keys(HostKeyPolicy::Strict))
    }

    /// A connection of its own.
    pub(crate) fn connect(&self) -> Result<Connection, Error> {
        self.0.clone().connect()
    }

    /// A pool of up to so many connections.
    pub(crate) fn pool(&self, connections: usize) -> Result<ConnectionPool, Error> {
        self.0.clone().to::<ConnectionPool>().max_connections(connections).build()
    }
}
