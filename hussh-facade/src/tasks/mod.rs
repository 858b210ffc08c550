//! Connections and pools for tasks, on tokio, over russh.

mod connection;
mod pool;
mod process;

pub use self::connection::AsyncConnection;
pub use self::pool::{AsyncConnectionPool, PooledAsyncConnection};
pub use self::process::AsyncProcess;
