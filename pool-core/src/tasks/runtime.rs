//! All an async pool needs of a runtime: spawn, sleep, and the time.

use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use crate::clock::Clock;

/// A boxed future, as runtimes pass them around.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The runtime that an async pool lives on. Its [`Clock::now`] is the time that
/// [`sleep_until`](Self::sleep_until) goes by, so that a runtime with paused time works.
pub trait Runtime: Clock {
    /// Runs a task to its end; false, with the task dropped, where there is no runtime.
    fn spawn(&self, task: BoxFuture<()>) -> bool;

    /// Ends at that time.
    fn sleep_until(&self, at: Instant) -> BoxFuture<()>;
}

/// Tokio, on whatever runtime the pool is used: several, one after another, are fine.
#[cfg(feature = "tokio")]
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioRuntime;

#[cfg(feature = "tokio")]
impl Clock for TokioRuntime {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

#[cfg(feature = "tokio")]
impl Runtime for TokioRuntime {
    fn spawn(&self, task: BoxFuture<()>) -> bool {
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                drop(runtime.spawn(task));
                true
            }
            Err(_) => false,
        }
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        Box::pin(tokio::time::sleep_until(at.into()))
    }
}
