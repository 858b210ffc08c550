//! The future of a borrow.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::backend::{AsyncBackend, Tasks};
use super::driver;
use super::pool::AsyncPooled;
use crate::acquire::Acquiring;
use crate::error::AcquireError;

/// The future of [`AsyncPool::get`](crate::AsyncPool::get).
///
/// Cancel-safe: dropped at any point, it leaves the queue, loses no session and nobody's place;
/// a session promised to it goes to the next in line. It queues from its first poll on.
#[must_use = "a borrow does nothing unless it is awaited"]
pub struct Acquire<B: AsyncBackend> {
    acquiring: Acquiring<Tasks<B>>,
}

impl<B: AsyncBackend> Acquire<B> {
    pub(super) fn new(acquiring: Acquiring<Tasks<B>>) -> Self {
        Self { acquiring }
    }

    /// Polls once without a task to wake.
    pub(super) fn try_now(mut self) -> Option<AsyncPooled<B>> {
        match self.acquiring.poll(|| std::task::Waker::noop().clone()) {
            Poll::Ready(result) => result.ok(),
            Poll::Pending => None,
        }
    }
}

impl<B: AsyncBackend> Future for Acquire<B> {
    type Output = Result<AsyncPooled<B>, AcquireError<B::Error>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let polled = this.acquiring.poll(|| cx.waker().clone());
        if polled.is_pending()
            && !this.acquiring.is_attended()
            && let Some(shared) = this.acquiring.shared()
            && let Err(error) = driver::ensure(shared)
        {
            // A future that has ended may be kept: it must not keep its place.
            this.acquiring.cancel();
            return Poll::Ready(Err(AcquireError::NoWorker(error)));
        }
        polled
    }
}

impl<B: AsyncBackend> fmt::Debug for Acquire<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire").finish_non_exhaustive()
    }
}
