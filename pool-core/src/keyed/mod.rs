//! One pool per key (a host, say), with a limit per key and one over all keys, and one set of
//! workers for all of them.
//!
//! Each key has a core of its own, so all that a pool promises holds per key; what is added is the
//! total, and who gets its places: see [`core`]. Keys nobody uses are forgotten.

mod config;
pub mod core;
mod domain;
mod owner;
mod sync;
mod tasks;

use crate::event::Event;

pub use self::config::KeyedConfig;
pub use self::domain::{ByKey, Keyed};
pub use self::owner::KeyedHandle;
pub use self::sync::{KeyedPool, KeyedPoolBuilder, KeyedPooled};
pub use self::tasks::{AsyncKeyedPool, AsyncKeyedPoolBuilder, AsyncKeyedPooled, KeyedAcquire};

/// The counts of a keyed pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyedStats {
    /// Keys known now.
    pub keys: usize,
    /// Sessions open over all keys, those being opened and closed included.
    pub open: usize,
    /// Keys whose borrowers wait for a place under the total.
    pub starved: usize,
}

/// Is told what happens in a keyed pool, and with which key; see [`Observer`](crate::Observer).
pub trait KeyedObserver<K>: Send + Sync + 'static {
    /// Something happened.
    fn on_event(&self, key: &K, event: &Event);
}
