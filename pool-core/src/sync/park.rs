//! Lets a thread wait as if it were a task.

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use super::primitives::thread::{self, Thread};
use super::primitives::thread_local;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

thread_local! {
    static WAKER: Waker = new_waker();
}

fn new_waker() -> Waker {
    Waker::from(Arc::new(Unpark(thread::current())))
}

/// A waker that ends [`park`] on this thread.
pub(super) fn waker() -> Waker {
    // In the destructor of another thread-local, ours may be gone.
    WAKER.try_with(Waker::clone).unwrap_or_else(|_| new_waker())
}

/// Waits to be woken, at most that long where a time is given. May wake for no reason.
pub(super) fn park(at_most: Option<Duration>) {
    match at_most {
        #[cfg(not(loom))]
        Some(time) => thread::park_timeout(time),
        // Loom knows no time.
        _ => thread::park(),
    }
}
