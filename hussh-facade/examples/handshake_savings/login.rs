//! How to log in, said once for single connections and for the pool.

use std::path::Path;

use hussh::{
    Connection, ConnectionBuilder, ConnectionPool, ConnectionPoolBuilder, Error, HostKeyPolicy,
    Target,
};

/// Makes connections, one at a time or pooled, to the same target in the same way.
#[derive(Clone)]
pub(crate) struct Login {
    connection: ConnectionBuilder,
    pool: ConnectionPoolBuilder,
}

impl Login {
    pub(crate) fn to(host: &str, port: u16, user: &str) -> Self {
        Self {
            connection: Connection::builder(host, user).port(port),
            pool: ConnectionPool::builder(host, user).port(port),
        }
    }

    pub(crate) fn to_target(target: &Target) -> Self {
        Self::to(target.host(), target.port(), target.user())
    }

    pub(crate) fn password(self, password: &str) -> Self {
        Self { connection: self.connection.password(password), pool: self.pool.password(password) }
    }

    pub(crate) fn private_key(self, path: &Path, passphrase: Option<&str>) -> Self {
        Self {
            connection: self.connection.private_key(path, passphrase),
            pool: self.pool.private_key(path, passphrase),
        }
    }

    pub(crate) fn known_hosts(self, file: &Path) -> Self {
        Self {
            connection: self.connection.known_hosts([file]),
            pool: self.pool.known_hosts([file]),
        }
    }

    /// Believes only what the known_hosts file says.
    pub(crate) fn strict(self) -> Self {
        Self {
            connection: self.connection.host_keys(HostKeyPolicy::Strict),
            pool: self.pool.host_keys(HostKeyPolicy::Strict),
        }
    }

    /// A connection of its own.
    pub(crate) fn connect(&self) -> Result<Connection, Error> {
        self.connection.clone().connect()
    }

    /// A pool of up to so many connections.
    pub(crate) fn pool(&self, connections: usize) -> Result<ConnectionPool, Error> {
        self.pool.clone().max_connections(connections).build()
    }
}
