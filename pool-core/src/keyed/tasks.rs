//! The keyed pool for tasks.

use std::fmt;
use std::future::{Future, poll_fn};
use std::hash::Hash;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::hub::{Bell, Due, Hub};
use super::{KeyedConfig, KeyedStats};
use crate::acquire::Acquiring;
use crate::error::{AcquireError, DrainTimeout};
use crate::stats::Stats;
use crate::tasks::{AsyncBackend, AsyncPooled, BoxFuture, Runtime, Tasks, run};

/// A pool per key, for tasks; see [`KeyedConfig`]. Clones are handles to the same pools; when the
/// last one goes, all of them close without waiting.
pub struct AsyncKeyedPool<K, B>
where
    K: Eq + Hash + Clone + Send + 'static,
    B: AsyncBackend,
{
    handle: Arc<Handle<K, B>>,
}

struct Handle<K, B>
where
    K: Eq + Hash + Clone + Send + 'static,
    B: AsyncBackend,
{
    hub: Arc<Hub<K, Tasks<B>>>,
    seat: Arc<Seat>,
    runtime: Arc<dyn Runtime>,
}

/// Where the one driver sits, if there is one.
#[derive(Default)]
struct Seat {
    taken: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

struct SeatBell(Arc<Seat>);

impl Bell for SeatBell {
    fn ring(&self) {
        let waker = self.0.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<K, B> AsyncKeyedPool<K, B>
where
    K: Eq + Hash + Clone + Send + 'static,
    B: AsyncBackend,
{
    /// Pools on tokio whose backends are made by `backend` when a key is first used. Nothing is
    /// opened yet.
    #[cfg(feature = "tokio")]
    pub fn new(config: KeyedConfig, backend: impl Fn(&K) -> B + Send + Sync + 'static) -> Self {
        Self::new_on(Arc::new(crate::TokioRuntime::default()), config, backend)
    }

    /// As `new`, on a runtime of your choice.
    pub fn new_on(
        runtime: Arc<dyn Runtime>,
        config: KeyedConfig,
        backend: impl Fn(&K) -> B + Send + Sync + 'static,
    ) -> Self {
        let seat = Arc::new(Seat::default());
        let bell = Box::new(SeatBell(Arc::clone(&seat)));
        let clock = Arc::clone(&runtime);
        let of_key = Arc::clone(&runtime);
        let make =
            Box::new(move |key: &K| Tasks { backend: backend(key), runtime: Arc::clone(&of_key) });
        let hub = Arc::new(Hub::new(make, config, clock, bell));
        Self { handle: Arc::new(Handle { hub, seat, runtime }) }
    }

    /// Borrows a session for that key, waiting at most `acquire_timeout` from the first poll on.
    /// Cancel-safe, as [`Acquire`](crate::Acquire) is.
    ///
    /// # Errors
    ///
    /// As [`Pool::get`](crate::Pool::get).
    #[track_caller]
    pub fn get(
        &self,
        key: &K,
    ) -> impl Future<Output = Result<AsyncPooled<B>, AcquireError<B::Error>>> + Send + 'static + use<K, B>
    {
        let timeout = self.handle.hub.config().per_key.acquire_timeout;
        self.acquire(key, timeout, Location::caller())
    }

    /// Borrows a session for that key, waiting at most that long from the first poll on.
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`Pool::get`](crate::Pool::get).
    #[track_caller]
    pub fn get_timeout(
        &self,
        key: &K,
        timeout: Duration,
    ) -> impl Future<Output = Result<AsyncPooled<B>, AcquireError<B::Error>>> + Send + 'static + use<K, B>
    {
        self.acquire(key, Some(timeout), Location::caller())
    }

    /// The counts over all keys.
    pub fn stats(&self) -> KeyedStats {
        self.handle.hub.stats()
    }

    /// The counts of one key, if it is known.
    pub fn stats_of(&self, key: &K) -> Option<Stats> {
        self.handle.hub.known(key).map(|shared| shared.stats())
    }

    /// Closes all pools, and waits until their sessions are closed, those lent included: at most
    /// `close_timeout` in all.
    ///
    /// # Errors
    ///
    /// [`DrainTimeout`] with the counts of a key that still had sessions open.
    pub async fn close(&self) -> Result<(), DrainTimeout> {
        let hub = &self.handle.hub;
        let deadline = hub.clock.now().checked_add(hub.config().per_key.close_timeout);
        hub.close();
        let mut sleep = deadline.map(|at| self.handle.runtime.sleep_until(at));
        while let Some(shared) = hub.still_open() {
            poll_fn(|cx| {
                let stats = shared.undrained(cx.waker().clone());
                let Some(stats) = stats else { return Poll::Ready(Ok(())) };
                if let Err(error) = self.handle.ensure() {
                    tracing::debug!(%error, "no driver");
                }
                match sleep.as_mut().map(|sleep| sleep.as_mut().poll(cx)) {
                    Some(Poll::Ready(())) => {
                        Poll::Ready(Err(DrainTimeout { stats: Box::new(stats) }))
                    }
                    _ => Poll::Pending,
                }
            })
            .await?;
        }
        Ok(())
    }

    fn acquire(
        &self,
        key: &K,
        timeout: Option<Duration>,
        site: &'static Location<'static>,
    ) -> impl Future<Output = Result<AsyncPooled<B>, AcquireError<B::Error>>> + Send + 'static + use<K, B>
    {
        let pin = self.handle.hub.pin(key);
        let handle = Arc::clone(&self.handle);
        let mut acquiring = Acquiring::new(Arc::clone(&pin.shared), timeout, site);
        async move {
            let _pin = pin;
            poll_fn(|cx| {
                let polled = acquiring.poll(|| cx.waker().clone());
                if polled.is_pending()
                    && let Err(error) = handle.ensure()
                {
                    return Poll::Ready(Err(AcquireError::NoWorker(error)));
                }
                polled
            })
            .await
        }
    }
}

impl<K, B> Handle<K, B>
where
    K: Eq + Hash + Clone + Send + 'static,
    B: AsyncBackend,
{
    /// Starts the driver if there is none. One that ended with its runtime is replaced.
    fn ensure(&self) -> io::Result<()> {
        if self.seat.taken.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let driver = Driver {
            hub: Arc::clone(&self.hub),
            seat: Arc::clone(&self.seat),
            runtime: Arc::clone(&self.runtime),
            sleep: None,
        };
        if self.runtime.spawn(Box::pin(driver)) {
            Ok(())
        } else {
            Err(io::Error::other("an async pool has to be used within its runtime"))
        }
    }
}

/// The one driver of all keys. It ends when the pools are closed and drained.
struct Driver<K, B>
where
    K: Eq + Hash + Clone + Send + 'static,
    B: AsyncBackend,
{
    hub: Arc<Hub<K, Tasks<B>>>,
    seat: Arc<Seat>,
    runtime: Arc<dyn Runtime>,
    sleep: Option<(Instant, BoxFuture<()>)>,
}

impl<K, B> Future for Driver<K, B>
where
    K: Eq + Hash + Clone + Send + 'static,
    B: AsyncBackend,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            // Before the look, so that no ring is missed.
            let waker = Some(cx.waker().clone());
            let replaced = std::mem::replace(
                &mut *this.seat.waker.lock().unwrap_or_else(PoisonError::into_inner),
                waker,
            );
            drop(replaced);
            while let Some(jobs) = this.hub.turn() {
                for job in jobs {
                    let done = Done { hub: Arc::clone(&this.hub), member: job.member };
                    // In this order, so that the core has its answer before it is looked at.
                    let both = (run(job.shared, job.task), done);
                    this.runtime.spawn(Box::pin(async move {
                        let (job, _done) = both;
                        job.await;
                    }));
                }
            }
            if this.hub.is_closed() && this.hub.still_open().is_none() {
                return Poll::Ready(());
            }
            match this.hub.next_due() {
                Due::Now => continue,
                Due::Never => return Poll::Pending,
                Due::At(at) => {
                    if this.sleep.as_ref().map(|(set, _)| *set) != Some(at) {
                        this.sleep = Some((at, this.runtime.sleep_until(at)));
                    }
                }
            }
            match this.sleep.as_mut().map(|(_, sleep)| sleep.as_mut().poll(cx)) {
                Some(Poll::Ready(())) => this.sleep = None,
                _ => return Poll::Pending,
            }
        }
    }
}

impl<K, B> Drop for Driver<K, B>
where
    K: Eq + Hash + Clone + Send + 'static,
    B: AsyncBackend,
{
    fn drop(&mut self) {
        self.seat.taken.store(false, Ordering::Release);
    }
}

/// Reports the end of a job, however it ends.
struct Done<K, B>
where
    K: Eq + Hash + Clone + Send + 'static,
    B: AsyncBackend,
{
    hub: Arc<Hub<K, Tasks<B>>>,
    member: u64,
}

impl<K, B> Drop for Done<K, B>
where
    K: Eq + Hash + Clone + Send + 'static,
    B: AsyncBackend,
{
    fn drop(&mut self) {
        self.hub.job_done(self.member);
    }
}

impl<K, B> Drop for Handle<K, B>
where
    K: Eq + Hash + Clone + Send + 'static,
    B: AsyncBackend,
{
    fn drop(&mut self) {
        self.hub.close();
    }
}

impl<K, B> Clone for AsyncKeyedPool<K, B>
where
    K: Eq + Hash + Clone + Send + 'static,
    B: AsyncBackend,
{
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle) }
    }
}

impl<K, B> fmt::Debug for AsyncKeyedPool<K, B>
where
    K: Eq + Hash + Clone + Send + 'static,
    B: AsyncBackend,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncKeyedPool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
