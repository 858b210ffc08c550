//! Work on local files, which blocks whoever does it.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

/// Some work.
pub type Work = Box<dyn FnOnce() + Send>;

/// Has work done that blocks.
pub trait Offload: Send + Sync {
    /// Has it done, now or soon, by this thread or another. Work that is dropped undone is seen by
    /// whoever waits for it.
    fn run(&self, work: Work);
}

/// For threads: work is done by the one that asks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inline;

impl Offload for Inline {
    fn run(&self, work: Work) {
        work();
    }
}

struct Slot<T> {
    state: Mutex<(Option<T>, bool, Option<Waker>)>,
}

/// The end of the work: done, or dropped.
struct Done<T>(Arc<Slot<T>>);

impl<T> Drop for Done<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.1 = true;
        let waker = state.2.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

/// Does something that blocks, and waits for what it gives; `None` where it panicked or could not
/// be done any more.
pub(crate) async fn blocking<T: Send + 'static>(
    offload: &dyn Offload,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let slot = Arc::new(Slot { state: Mutex::new((None, false, None)) });
    let done = Done(Arc::clone(&slot));
    offload.run(Box::new(move || {
        let result = work();
        done.0.state.lock().unwrap_or_else(PoisonError::into_inner).0 = Some(result);
    }));
    poll_fn(|context| {
        let mut state = slot.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.1 {
            return Poll::Ready(state.0.take());
        }
        state.2 = Some(context.waker().clone());
        Poll::Pending
    })
    .await
}

impl fmt::Debug for dyn Offload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Offload")
    }
}
