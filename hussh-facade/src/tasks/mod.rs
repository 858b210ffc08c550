//! Connections and pools for tasks, on tokio, over russh.

mod connection;
mod keyed;
mod multi;
mod pool;
mod process;
mod scp;
mod sftp;
mod shell;
mod tail;
mod tunnel;

pub use self::connection::AsyncConnection;
pub use self::keyed::{AsyncKeyedConnectionPool, KeyedPooledAsyncConnection};
pub use self::multi::{AsyncMultiConnection, AsyncMultiRun};
pub use self::pool::{AsyncConnectionPool, PooledAsyncConnection};
pub use self::process::AsyncProcess;
pub use self::scp::AsyncScp;
pub use self::sftp::AsyncSftp;
pub use self::shell::AsyncShell;
pub use self::tail::AsyncTail;
pub use self::tunnel::AsyncTunnel;
