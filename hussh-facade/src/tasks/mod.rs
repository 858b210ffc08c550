//! Connections and pools for tasks, on tokio, over russh.

mod connection;
mod pool;
mod process;

pub use self::connection::{AsyncConnection, AsyncConnectionBuilder};
pub use self::pool::{AsyncConnectionPool, AsyncConnectionPoolBuilder, PooledAsyncConnection};
pub use self::process::AsyncProcess;
