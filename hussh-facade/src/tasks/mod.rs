//! Connections and pools for tasks, on tokio, over russh.

mod connection;
mod keyed;
mod multi;
mod pool;
mod process;
mod sftp;

pub use self::connection::AsyncConnection;
pub use self::keyed::{AsyncKeyedConnectionPool, KeyedPooledAsyncConnection};
pub use self::multi::{AsyncMultiConnection, AsyncMultiRun};
pub use self::pool::{AsyncConnectionPool, PooledAsyncConnection};
pub use self::process::AsyncProcess;
pub use self::sftp::AsyncSftp;
