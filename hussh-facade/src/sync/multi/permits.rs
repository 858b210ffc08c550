//! How many hosts are connected to at a time.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// So many may pass at a time; the others wait.
#[derive(Debug)]
pub(super) struct Permits {
    free: Mutex<usize>,
    changed: Condvar,
}

/// Its holder may connect, until it drops this.
#[derive(Debug)]
pub(super) struct Permit<'p>(&'p Permits);

impl Permits {
    pub(super) fn new(count: usize) -> Self {
        Self { free: Mutex::new(count), changed: Condvar::new() }
    }

    /// Waits for one, as long as it is wanted: those who have one are all bounded in time.
    pub(super) fn take(&self, wanted: impl Fn() -> bool) -> Option<Permit<'_>> {
        let mut free = self.lock();
        while wanted() {
            if *free > 0 {
                *free -= 1;
                return Some(Permit(self));
            }
            free = self.changed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// Lets those who wait look whether it is still wanted.
    pub(super) fn wake(&self) {
        // Whoever has looked and not begun to wait yet holds the lock.
        drop(self.lock());
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.0.lock() += 1;
        self.0.changed.notify_one();
    }
}
