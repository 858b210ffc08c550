//! Pooled, kept-alive SSH sessions for automation that runs many small commands.
//!
//! A fresh SSH session costs a TCP handshake, a key exchange and an authentication. A session from
//! a pool costs nothing but the command.
//!
//! ```no_run
//! use hussh::ConnectionPool;
//!
//! let pool = ConnectionPool::builder("myserver.example.com", "deploy")
//!     .password("...")
//!     .max_connections(10)
//!     .build()?;
//! let connection = pool.get()?;
//! let result = connection.execute("uptime")?;
//! println!("{}", result.stdout_lossy());
//! # Ok::<(), hussh::Error>(())
//! ```
//!
//! * [`ConnectionPool`]: up to `max_connections` sessions, opened when needed, lent to one caller
//!   at a time, checked when they were idle, replaced when they died. For many threads.
//! * [`Connection`]: one session, held for as long as you like.
//!
//! Host keys are checked against `~/.ssh/known_hosts` before any password or key is sent; unknown
//! hosts are recorded there, changed keys refused ([`HostKeyPolicy`]). A command that may have
//! started is never run twice. A command without an exit status is an [`Error`], and one that was
//! killed by a signal is no success.
#![forbid(unsafe_code)]

#[cfg(not(feature = "ssh2"))]
compile_error!("hussh needs a backend: enable the feature `ssh2` (on by default)");

#[cfg(feature = "ssh2")]
mod connection;
mod error;
#[cfg(feature = "ssh2")]
mod pool;
#[cfg(feature = "ssh2")]
mod settings;

pub use error::Error;
pub use pool_core::Stats;
pub use ssh_session::{
    Command, ExitStatus, Fingerprint, HostKeyPolicy, Kind, Output, PartialOutput, SecretString,
    SshError, Target,
};

#[cfg(feature = "ssh2")]
pub use connection::{Connection, ConnectionBuilder};
#[cfg(feature = "ssh2")]
pub use pool::{ConnectionPool, ConnectionPoolBuilder, PooledConnection};

/// The README's example compiles.
#[cfg(all(doctest, feature = "ssh2"))]
#[doc = include_str!("../../README.md")]
mod readme {}
