//! The task that does for an async pool what time and the core ask for.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Instant;

use super::backend::{AsyncBackend, Tasks};
use super::job;
use super::runtime::BoxFuture;
use crate::shared::{Shared, discard, quietly};

/// Starts the driver if there is none. One that ended with its runtime is replaced.
pub(super) fn ensure<B: AsyncBackend>(shared: &Arc<Shared<Tasks<B>>>) -> std::io::Result<()> {
    {
        let mut state = shared.lock();
        if state.workers > 0 {
            return Ok(());
        }
        state.workers = 1;
    }
    let driver = Driver { shared: Arc::downgrade(shared), sleep: None, finished: false };
    if shared.probe.runtime.spawn(Box::pin(driver)) {
        Ok(())
    } else {
        Err(std::io::Error::other("an async pool has to be used within its runtime"))
    }
}

struct Driver<B: AsyncBackend> {
    /// Weak, so that a forgotten pool goes away.
    shared: Weak<Shared<Tasks<B>>>,
    sleep: Option<(Instant, BoxFuture<()>)>,
    finished: bool,
}

impl<B: AsyncBackend> Future for Driver<B> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            let Some(shared) = this.shared.upgrade() else { return Poll::Ready(()) };
            let waker = cx.waker().clone();
            let mut tasks = Vec::new();
            let (due, finished, unneeded, _itself) = shared.with(|state, now| {
                state.core.handle_timeout(now);
                tasks.extend(std::iter::from_fn(|| state.core.poll_task(now)));
                let due = state.core.poll_timeout();
                let finished = state.core.is_drained();
                let mut itself = None;
                if finished {
                    state.workers = 0;
                    itself = state.itself.take();
                }
                state.armed = due;
                // While it runs, it needs no waker of its own.
                let replaced = if tasks.is_empty() && !finished {
                    state.driver.replace(waker)
                } else {
                    Some(waker)
                };
                (due, finished, replaced, itself)
            });
            discard(unneeded);
            if finished {
                this.finished = true;
                return Poll::Ready(());
            }
            if !tasks.is_empty() {
                for task in tasks {
                    shared.probe.runtime.spawn(Box::pin(job::run(Arc::clone(&shared), task)));
                }
                continue;
            }
            if this.sleep.as_ref().map(|(at, _)| *at) != due {
                this.sleep = due.map(|at| (at, shared.probe.runtime.sleep_until(at)));
            }
            match this.sleep.as_mut().map(|(_, sleep)| sleep.as_mut().poll(cx)) {
                Some(Poll::Ready(())) => this.sleep = None,
                _ => return Poll::Pending,
            }
        }
    }
}

impl<B: AsyncBackend> Drop for Driver<B> {
    fn drop(&mut self) {
        let Some(shared) = self.shared.upgrade().filter(|_| !self.finished) else { return };
        let (driver, waiting, _itself) = {
            let mut state = shared.lock();
            (state.workers, state.armed) = (0, None);
            (state.driver.take(), state.take_wakers(), state.itself.take())
        };
        discard(driver);
        // The runtime is going down. Borrowers that live on another one start a driver there.
        for waker in waiting {
            quietly(|| waker.wake());
        }
    }
}
