//! All an async pool needs of a runtime: spawn, sleep, and the time.

use std::future::Future;
#[cfg(feature = "tokio")]
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
#[cfg(feature = "tokio")]
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
#[cfg(feature = "tokio")]
use std::time::Duration;
use std::time::Instant;

use crate::clock::Clock;
#[cfg(feature = "tokio")]
use crate::clock::coarse_tick;

/// A boxed future, as runtimes pass them around.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The runtime that an async pool lives on. Its [`Clock::now`] is the time that
/// [`sleep_until`](Self::sleep_until) goes by, so that a runtime with paused time works.
pub trait Runtime: Clock {
    /// Runs a task to its end; false, with the task dropped, where there is no runtime.
    fn spawn(&self, task: BoxFuture<()>) -> bool;

    /// Ends at that time.
    fn sleep_until(&self, at: Instant) -> BoxFuture<()>;

    /// A number of the runtime that the caller is on, where there can be several. A borrower on
    /// another runtime than the pool's driver minds its own deadline; so does everybody where this
    /// is not known, the default.
    fn id(&self) -> Option<u64> {
        None
    }

    /// Whether the task may go on, on runtimes that make tasks yield from time to time; where it
    /// may not, its waker is told when it may. Asked at every acquire, so that a loop of acquires
    /// that never wait does not keep other tasks from running. By default it always may.
    fn poll_budget(&self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Ready(())
    }
}

/// Tokio, on whatever runtime the pool is used: several, one after another, are fine.
#[cfg(feature = "tokio")]
#[derive(Debug, Default)]
pub struct TokioRuntime {
    /// The tick of the cheap clock in which tokio's was looked at, where that is the system's and
    /// not one that is paused or was; the same with its lowest bit taken away where it is not.
    looked_at: AtomicU64,
}

#[cfg(feature = "tokio")]
impl Clock for TokioRuntime {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[inline]
    fn coarse(&self) -> Instant {
        let (tick, coarse) = coarse_tick();
        // A clock can be paused at any time, so it is looked at once in every tick of the cheap one.
        if self.looked_at.load(Ordering::Relaxed) == tick || self.look_again(tick) {
            return coarse;
        }
        self.now()
    }
}

#[cfg(feature = "tokio")]
impl TokioRuntime {
    /// Whether the time is the system's. It is looked at where it was not in this tick.
    #[cold]
    fn look_again(&self, tick: u64) -> bool {
        let before = self.looked_at.load(Ordering::Relaxed);
        if before == other_time(tick) {
            return false;
        }
        // Elsewhere there is no clock to look at.
        let on_system_time = match tokio::runtime::Handle::try_current() {
            Ok(_) => self.is_on_system_time(),
            Err(_) => before & 1 == 1,
        };
        let looked_at = if on_system_time { tick } else { other_time(tick) };
        self.looked_at.store(looked_at, Ordering::Relaxed);
        on_system_time
    }

    /// Looks whether the time of the runtime we are on goes by, and is the system's.
    fn is_on_system_time(&self) -> bool {
        let tokio_start = self.now();
        let start = Instant::now();
        while start.elapsed() < Duration::from_nanos(200) {}
        let (tokio_end, end) = (self.now(), Instant::now());
        let apart = end.max(tokio_end) - end.min(tokio_end);
        tokio_end > tokio_start && apart < Duration::from_millis(1)
    }
}

/// What is kept of a tick in which tokio's time was not the system's.
#[cfg(feature = "tokio")]
fn other_time(tick: u64) -> u64 {
    tick & !1
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

    fn id(&self) -> Option<u64> {
        let id = tokio::runtime::Handle::try_current().ok()?.id();
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        Some(hasher.finish())
    }

    #[inline]
    fn poll_budget(&self, cx: &mut Context<'_>) -> Poll<()> {
        tokio::task::coop::poll_proceed(cx).map(|budget| budget.made_progress())
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        // Here we are on the runtime for sure, and before anything can have become due on it.
        let (tick, _) = coarse_tick();
        let looked_at = if self.is_on_system_time() { tick } else { other_time(tick) };
        self.looked_at.store(looked_at, Ordering::Relaxed);
        Box::pin(tokio::time::sleep_until(at.into()))
    }
}
