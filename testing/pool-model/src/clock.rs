//! A clock that moves only when a test says so.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use pool_core::Clock;

/// A clock that moves only when a test says so.
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<(Instant, Vec<Waker>)>,
}

impl ManualClock {
    /// Starts at the present.
    pub fn new() -> Self {
        Self { state: Mutex::new((Instant::now(), Vec::new())) }
    }

    /// Moves on, and wakes whoever sleeps towards a deadline.
    pub fn advance(&self, by: Duration) {
        let sleepers = {
            let mut state = self.state();
            state.0 += by;
            state.1.clone()
        };
        for sleeper in sleepers {
            sleeper.wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, (Instant, Vec<Waker>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        self.state().0
    }

    fn sleep_for(&self, _until: Instant) -> Option<Duration> {
        None
    }

    fn subscribe(&self, on_jump: Waker) {
        self.state().1.push(on_jump);
    }
}
