//! Where a pool's time comes from.

use std::task::Waker;
use std::time::{Duration, Instant};

/// The time, as a pool sees it. [`SystemClock`] is the one to use outside tests; a clock of your
/// own lets a test move time by hand.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Instant;

    /// How long a thread has to sleep to wake up at `until`; `None` where only the wakers given
    /// to [`subscribe`](Self::subscribe) can tell.
    fn sleep_for(&self, until: Instant) -> Option<Duration> {
        Some(until.saturating_duration_since(self.now()))
    }

    /// Asks to be woken whenever the time is set forward by hand.
    fn subscribe(&self, on_jump: Waker) {
        drop(on_jump);
    }
}

/// The monotonic clock of the system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }
}
