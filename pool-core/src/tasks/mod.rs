//! The async front: borrowers are futures, one driver task per pool does the rest.

mod acquire;
mod backend;
mod driver;
mod job;
mod pool;

pub use self::acquire::Acquire;
pub use self::backend::{AsyncAdapter, AsyncBackend};
pub(crate) use self::driver::wake_driver;
pub use self::pool::{AsyncPool, AsyncPoolBuilder, AsyncPooled};
pub(crate) use self::pool::{close_unattended, release, watch};
