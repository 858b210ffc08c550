//! Connections and pools for threads, whichever library is below.
//!
//! [`hussh::Connection`](crate::Connection) and [`hussh::ConnectionPool`](crate::ConnectionPool)
//! are these with the library that the cargo features chose.

mod connection;
mod keyed;
mod library;
mod multi;
mod pool;
mod process;
mod scp;
mod sftp;
mod shell;
mod tail;
mod tunnel;

pub use self::connection::Connection;
pub use self::keyed::{KeyedConnectionPool, KeyedPooledConnection};
pub use self::library::Library;
#[cfg(feature = "ssh2")]
pub use self::library::Libssh2;
#[cfg(feature = "russh")]
pub use self::library::Russh;
pub use self::multi::{MultiConnection, MultiRun};
pub use self::pool::{ConnectionPool, PooledConnection};
pub use self::process::Process;
pub use self::scp::Scp;
pub use self::sftp::Sftp;
pub use self::shell::Shell;
pub use self::tail::{Tail, TailLines};
pub use self::tunnel::Tunnel;
