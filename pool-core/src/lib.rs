//! A generic session pool.
#![forbid(unsafe_code)]

mod acquire;
mod backend;
mod clock;
mod config;
pub mod core;
mod erased;
mod error;
mod event;
mod guard;
mod keepalive;
mod keyed;
#[cfg(feature = "metrics")]
mod metrics;
mod multiplexed;
mod shared;
mod stats;
mod sync;
mod tasks;

pub use backend::{Backend, ErrorKind};
pub use clock::{Clock, SystemClock};
pub use config::{Config, ConfigBuilder, ConfigError, Order};
pub use erased::DynAsyncBackend;
pub use error::{AcquireError, DrainTimeout};
pub use event::{CloseReason, Event, Observer};
pub use guard::Guard;
pub use keepalive::{Keepalive, KeepaliveStep};
pub use keyed::{AsyncKeyedPool, KeyedConfig, KeyedPool, KeyedStats};
#[cfg(feature = "metrics")]
pub use metrics::MetricsObserver;
pub use multiplexed::{MultiplexError, Multiplexed, Share};
pub use shared::Probe;
pub use stats::{Counters, Stats};
pub use sync::{Blocking, Pool, PoolBuilder, Pooled};
#[cfg(feature = "tokio")]
pub use tasks::TokioRuntime;
pub use tasks::{
    Acquire, AsyncBackend, AsyncPool, AsyncPoolBuilder, AsyncPooled, BoxFuture, Runtime, Tasks,
};
