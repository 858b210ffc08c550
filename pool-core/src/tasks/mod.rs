//! The async front: borrowers are futures, one driver task per pool does the rest.

mod acquire;
mod backend;
mod driver;
mod job;
mod pool;
mod runtime;

pub(crate) use self::job::run;

pub use self::acquire::Acquire;
pub use self::backend::{AsyncBackend, Tasks};
pub use self::pool::{AsyncPool, AsyncPoolBuilder, AsyncPooled};
#[cfg(feature = "tokio")]
pub use self::runtime::TokioRuntime;
pub use self::runtime::{BoxFuture, Runtime};
