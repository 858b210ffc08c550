//! The sync API over russh, on a runtime of its own: no C library, no OpenSSL.
//!
//! The same names as the crate's own, for programs that have both libraries and want this one for
//! some connections. Where the feature `ssh2` is off, the crate's own names are these.
//!
//! The runtime is one for the process, with a thread or two, and is started with the first
//! connection. May be called from anywhere, also from within another runtime's task, though it
//! blocks that.

use crate::sync::{self, Russh};

/// One SSH connection, held as long as you like. See [`sync::Connection`].
pub type Connection = sync::Connection<Russh>;

/// A pool of SSH connections to one host as one user. See [`sync::ConnectionPool`].
pub type ConnectionPool = sync::ConnectionPool<Russh>;

/// A pool of SSH connections to each of many hosts. See [`sync::KeyedConnectionPool`].
pub type KeyedConnectionPool = sync::KeyedConnectionPool<Russh>;

/// Connections to many hosts, for one call over all of them. See [`sync::MultiConnection`].
pub type MultiConnection = sync::MultiConnection<Russh>;

/// A connection on loan from a [`ConnectionPool`]. See [`sync::PooledConnection`].
pub type PooledConnection = sync::PooledConnection<Russh>;

/// A command whose output is read, and input written, while it runs. See [`sync::Process`].
pub type Process<'s> = sync::Process<'s, Russh>;

/// Files on the server, over SFTP. See [`sync::Sftp`].
pub type Sftp<'c> = sync::Sftp<'c, Russh>;

/// Files on servers without SFTP. See [`sync::Scp`].
pub type Scp<'c> = sync::Scp<'c, Russh>;

/// An interactive shell. See [`sync::Shell`].
pub type Shell<'s> = sync::Shell<'s, Russh>;

/// A file that is followed. See [`sync::Tail`].
pub type Tail<'c> = sync::Tail<'c, Russh>;

/// A connection that the server has opened. See [`sync::Tunnel`].
pub type Tunnel = sync::Tunnel<Russh>;
