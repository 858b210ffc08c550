//! All an async pool needs of a runtime: spawn, sleep, and the time.

use std::future::Future;
#[cfg(feature = "tokio")]
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
#[cfg(feature = "tokio")]
use std::sync::OnceLock;
#[cfg(feature = "tokio")]
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
#[cfg(feature = "tokio")]
use std::time::Duration;
use std::time::Instant;

use crate::clock::Clock;
#[cfg(feature = "tokio")]
use crate::clock::coarse_now;

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

/// A number that differs from one tick of the cheap clock to the next.
#[cfg(feature = "tokio")]
#[inline]
fn tick(coarse: Instant) -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = START.get_or_init(|| coarse);
    let since = coarse.saturating_duration_since(*start);
    // Never zero, which stands for no look yet.
    since.as_secs() << 32 | u64::from(since.subsec_nanos()) << 1 | 1
}

/// Tokio, on whatever runtime the pool is used: several, one after another, are fine.
#[cfg(feature = "tokio")]
#[derive(Debug, Default)]
pub struct TokioRuntime {
    /// Tokio's clock is the system's, not one that is paused or was.
    on_system_time: AtomicBool,
    /// The tick of the cheap clock in which that was found out.
    looked_at: AtomicU64,
}

#[cfg(feature = "tokio")]
impl Clock for TokioRuntime {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[inline]
    fn coarse(&self) -> Instant {
        let coarse = coarse_now();
        // A clock can be paused at any time, so it is looked at once in every tick of the cheap one.
        if self.looked_at.load(Ordering::Relaxed) != tick(coarse) {
            self.look_again(coarse);
        }
        match self.on_system_time.load(Ordering::Relaxed) {
            true => coarse,
            false => self.now(),
        }
    }
}

#[cfg(feature = "tokio")]
impl TokioRuntime {
    #[cold]
    fn look_again(&self, coarse: Instant) {
        self.looked_at.store(tick(coarse), Ordering::Relaxed);
        // Elsewhere there is no clock to look at.
        if tokio::runtime::Handle::try_current().is_ok() {
            self.look_at_clock();
        }
    }

    /// Looks whether the time of the runtime we are on goes by, and is the system's.
    fn look_at_clock(&self) {
        let tokio_start = self.now();
        let start = Instant::now();
        while start.elapsed() < Duration::from_nanos(200) {}
        let (tokio_end, end) = (self.now(), Instant::now());
        let apart = end.max(tokio_end) - end.min(tokio_end);
        let same = tokio_end > tokio_start && apart < Duration::from_millis(1);
        self.on_system_time.store(same, Ordering::Relaxed);
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
        self.look_at_clock();
        Box::pin(tokio::time::sleep_until(at.into()))
    }
}

#[cfg(all(test, feature = "tokio"))]
mod tests {
    use super::*;

    #[test]
    fn every_moment_is_another_tick() {
        let now = coarse_now();
        let moments = [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(1)];
        let ticks = moments.map(|later| tick(now + later));
        assert!(ticks.iter().all(|tick| *tick != 0), "which stands for no look yet");
        assert!(ticks[0] != ticks[1] && ticks[0] != ticks[2]);
    }
}
