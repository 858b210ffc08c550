//! Work that may wait for a file or a human, apart from the tasks.

use std::cell::Cell;

use tokio::task::{self, JoinHandle};

thread_local! {
    /// This thread's tasks do such work themselves.
    static IN_TASKS: Cell<bool> = const { Cell::new(false) };
}

/// Whether tasks of this thread do by themselves what else is given to other threads: reading files,
/// asking humans. For simulations, whose every step has its place in one order.
#[doc(hidden)]
pub fn block_in_tasks(block: bool) {
    IN_TASKS.set(block);
}

/// As [`tokio::task::spawn_blocking`].
pub(crate) fn spawn_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    if IN_TASKS.get() {
        return task::spawn(async { work() });
    }
    task::spawn_blocking(work)
}
