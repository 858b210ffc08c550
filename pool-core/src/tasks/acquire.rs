//! The future of an acquire.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::backend::{AsyncAdapter, AsyncBackend};
use super::driver;
use crate::acquire::Acquiring;
use crate::domain::{Domain, Machine, Single};
use crate::error::AcquireError;
use crate::guard::Guard;
use crate::locate::Locate;
use crate::runtime::BoxFuture;

/// The future of [`AsyncPool::get`](crate::AsyncPool::get), and of
/// [`AsyncKeyedPool::get`](crate::AsyncKeyedPool::get).
///
/// Cancel-safe: dropped at any point, it leaves the queue, loses no session and nobody's place;
/// a session promised to it goes to the next in line. It queues from its first poll on, and ends
/// at its deadline whatever becomes of the runtime that the pool works on.
#[must_use = "an acquire does nothing unless it is awaited"]
pub struct Acquire<B: AsyncBackend, D = Single<AsyncAdapter<B>>, L = ()>
where
    D: Domain<Backend = AsyncAdapter<B>>,
    L: Locate<D>,
{
    acquiring: Acquiring<D, L>,
    /// Its own alarm, where nobody on this runtime minds its deadline.
    alarm: Option<BoxFuture<()>>,
}

impl<B, D, L> Acquire<B, D, L>
where
    B: AsyncBackend,
    D: Domain<Backend = AsyncAdapter<B>>,
    L: Locate<D>,
{
    #[inline]
    pub(crate) fn new(acquiring: Acquiring<D, L>) -> Self {
        Self { acquiring, alarm: None }
    }

    /// Waits for the deadline by itself, unless the pool's driver does so on the same runtime.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.acquiring.deadline() else { return Poll::Pending };
        let Some(shared) = self.acquiring.shared() else { return Poll::Pending };
        let Some(runtime) = &shared.runtime else { return Poll::Pending };
        if self.alarm.is_none() {
            let driver = self.acquiring.driver_runtime();
            if driver.is_some() && driver == runtime.id() {
                return Poll::Pending;
            }
        }
        let alarm = self.alarm.get_or_insert_with(|| runtime.sleep_until(deadline));
        alarm.as_mut().poll(cx)
    }
}

impl<B, D, L> Future for Acquire<B, D, L>
where
    B: AsyncBackend,
    D: Domain<Backend = AsyncAdapter<B>>,
    L: Locate<D> + Unpin,
{
    type Output = Result<Guard<D>, AcquireError<B::Error>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(runtime) = this.acquiring.shared().and_then(|shared| shared.runtime.as_ref()) {
            ready!(runtime.poll_budget(cx));
        }
        let mut polled = this.acquiring.poll(|| cx.waker().clone());
        let shared = match &polled {
            Poll::Ready(Ok(guard)) => Some(Guard::domain(guard)),
            _ => this.acquiring.shared(),
        };
        if !this.acquiring.is_attended()
            && let Some(shared) = shared
            && let Err(error) = driver::ensure(shared)
            && polled.is_pending()
        {
            // A future that has ended may be kept: it must not keep its place.
            this.acquiring.cancel();
            return Poll::Ready(Err(AcquireError::NoWorker(error)));
        }
        while polled.is_pending() && this.poll_alarm(cx).is_ready() {
            if let Some(shared) = this.acquiring.shared() {
                shared.with(|state, now| state.machine.handle_timeout(now));
            }
            this.alarm = None;
            polled = this.acquiring.poll(|| cx.waker().clone());
            // Where the clock stands a little behind the alarm, it rings once more.
            if polled.is_pending() {
                cx.waker().wake_by_ref();
                break;
            }
        }
        polled
    }
}

impl<B, D, L> Unpin for Acquire<B, D, L>
where
    B: AsyncBackend,
    D: Domain<Backend = AsyncAdapter<B>>,
    L: Locate<D>,
{
}

impl<B, D, L> fmt::Debug for Acquire<B, D, L>
where
    B: AsyncBackend,
    D: Domain<Backend = AsyncAdapter<B>>,
    L: Locate<D>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire").finish_non_exhaustive()
    }
}
