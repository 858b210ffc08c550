//! Somebody else's code (a backend's, an observer's, a waker's) may panic: here it harms nobody.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// Drops a waker, outside the lock: a panic of its owner's code must not cost the session that
/// came with it.
pub(crate) fn discard(waker: Option<Waker>) {
    if let Some(waker) = waker {
        quietly(|| drop(waker));
    }
}

/// Runs somebody else's code; `None` where it panicked.
pub(crate) fn quietly<R>(code: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(code)) {
        Ok(result) => Some(result),
        Err(payload) => {
            // The payload's own `Drop` may panic as well.
            if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                std::mem::forget(again);
            }
            None
        }
    }
}
