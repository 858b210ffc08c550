//! The task that does for an async pool, of one key or of many, what time and the core ask for.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Instant;

use super::backend::{AsyncAdapter, AsyncBackend};
use super::job::{self, Job};
use crate::domain::{Domain, Machine};
use crate::panics::{discard, quietly};
use crate::runtime::{BoxFuture, Runtime};
use crate::shared::Shared;

/// Starts the driver if there is none. One that ended with its runtime is replaced.
pub(crate) fn ensure<D, B>(shared: &Arc<Shared<D>>) -> std::io::Result<()>
where
    D: Domain<Backend = AsyncAdapter<B>>,
    B: AsyncBackend,
{
    let Some(runtime) = &shared.runtime else {
        return Err(std::io::Error::other("an async pool has a runtime"));
    };
    let here = runtime.id();
    {
        let mut state = shared.lock();
        if state.workers > 0 {
            return Ok(());
        }
        (state.workers, state.driver_runtime) = (1, here);
    }
    let driver = Driver {
        shared: Arc::downgrade(shared),
        runtime: Arc::clone(runtime),
        sleep: None,
        finished: false,
    };
    if runtime.spawn(Box::pin(driver)) {
        Ok(())
    } else {
        Err(std::io::Error::other("an async pool has to be used within its runtime"))
    }
}

/// Sees to it that what the core wants done is done. Outside the runtime it is done from the next
/// acquire on.
pub(crate) fn wake_driver<D, B>(shared: &Arc<Shared<D>>)
where
    D: Domain<Backend = AsyncAdapter<B>>,
    B: AsyncBackend,
{
    let needed = shared.lock().needs_worker(shared.clock.now());
    if needed && let Err(error) = ensure(shared) {
        quietly(|| tracing::debug!(%error, "no driver yet"));
    }
}

struct Driver<D: Domain> {
    /// Weak, so that a forgotten pool goes away.
    shared: Weak<Shared<D>>,
    runtime: Arc<dyn Runtime>,
    sleep: Option<(Instant, BoxFuture<()>)>,
    finished: bool,
}

impl<D, B> Future for Driver<D>
where
    D: Domain<Backend = AsyncAdapter<B>>,
    B: AsyncBackend,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            let Some(shared) = this.shared.upgrade() else { return Poll::Ready(()) };
            let waker = cx.waker().clone();
            let mut jobs = Vec::new();
            let (due, finished, unneeded, _itself) = shared.with(|state, now| {
                state.machine.handle_timeout(now);
                while let Some((key, task)) = state.machine.poll_task(now) {
                    let interrupt = Shared::new_interrupt(state, key, &task);
                    let place = D::place(&state.places, key);
                    jobs.push(Job { key, place, task, interrupt });
                }
                let due = state.machine.poll_timeout();
                let finished = state.machine.is_drained();
                let mut itself = None;
                if finished {
                    state.workers = 0;
                    itself = state.itself.take();
                }
                state.armed = due;
                // While it runs, it needs no waker of its own.
                let replaced = if jobs.is_empty() && !finished {
                    state.driver.replace(waker)
                } else {
                    Some(waker)
                };
                (due, finished, replaced, itself)
            });
            discard(unneeded);
            let none = jobs.is_empty();
            for job in jobs {
                this.runtime.spawn(Box::pin(job::run(Arc::clone(&shared), job)));
            }
            if finished {
                this.finished = true;
                return Poll::Ready(());
            }
            if !none {
                continue;
            }
            if this.sleep.as_ref().map(|(at, _)| *at) != due {
                this.sleep = due.map(|at| (at, this.runtime.sleep_until(at)));
            }
            match this.sleep.as_mut().map(|(_, sleep)| sleep.as_mut().poll(cx)) {
                Some(Poll::Ready(())) => this.sleep = None,
                _ => return Poll::Pending,
            }
        }
    }
}

impl<D: Domain> Drop for Driver<D> {
    fn drop(&mut self) {
        let Some(shared) = self.shared.upgrade().filter(|_| !self.finished) else { return };
        let (driver, waiting, _itself) = shared.with(|state, _| {
            (state.workers, state.armed, state.driver_runtime) = (0, None, None);
            (state.driver.take(), state.take_wakers(), state.itself.take())
        });
        discard(driver);
        // The runtime is going down. Borrowers that live on another one start a driver there.
        for waker in waiting {
            quietly(|| waker.wake());
        }
    }
}
