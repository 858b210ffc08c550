//! The async front: borrowers are futures, one driver task per pool does the rest.

mod acquire;
mod backend;
mod driver;
mod job;
mod pool;
mod runtime;

pub use self::acquire::Acquire;
pub use self::backend::{AsyncAdapter, AsyncBackend};
pub use self::pool::{AsyncPool, AsyncPoolBuilder, AsyncPooled};
pub(crate) use self::pool::{close_unattended, release, wake_driver, watch};
#[cfg(feature = "tokio")]
pub use self::runtime::TokioRuntime;
pub use self::runtime::{BoxFuture, Runtime};
