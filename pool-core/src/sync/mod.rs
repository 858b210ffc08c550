//! The sync front: callers park, a small set of worker threads connects, checks and closes.

pub(crate) mod primitives;

mod park;
mod pool;
mod wait;
mod worker;

pub(crate) use self::pool::{ClockMoved, wake_workers};
pub use self::pool::{Pool, PoolBuilder, Pooled};
pub(crate) use self::wait::{wait, watch};
pub use self::worker::Blocking;
