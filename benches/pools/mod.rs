//! Our pool and its peers over the same session, a number, and in the same mode: nothing is
//! checked at a borrow, a deadline covers the wait, statistics are kept.

mod ours;
mod peers;

use std::fmt::Debug;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Ours for threads.
pub type Ours = pool_core::Pool<Numbers>;
/// Ours for tasks.
pub type AsyncOurs = pool_core::AsyncPool<Numbers>;
/// The peer for threads.
pub type R2d2 = r2d2::Pool<Numbers>;
/// A peer for tasks.
pub type Deadpool = deadpool::managed::Pool<Numbers>;
/// A peer for tasks.
pub type Bb8 = bb8::Pool<Numbers>;
/// A peer for tasks.
pub type Mobc = mobc::Pool<Numbers>;

/// A pool that threads borrow from.
pub trait ThreadPool: Clone + Send + Sync + 'static {
    /// How tables call it.
    const NAME: &'static str;
    /// A session on loan.
    type Lent: Deref<Target = u64>;
    /// Why there is none.
    type Error: Debug;

    /// A new pool. Without `min_idle` it opens as many as it likes.
    fn open(numbers: Numbers, size: usize, min_idle: Option<usize>) -> Self;
    /// Borrows, as a user of that pool would.
    fn take(&self) -> Result<Self::Lent, Self::Error>;
}

/// A pool that tasks borrow from.
pub trait TaskPool: Clone + Send + Sync + 'static {
    /// How tables call it.
    const NAME: &'static str;
    /// A session on loan.
    type Lent<'a>: Deref<Target = u64> + Send
    where
        Self: 'a;
    /// Why there is none.
    type Error: Debug + Send;

    /// A new pool, within the runtime. `min_idle` is left out where a pool has no such thing.
    fn open(numbers: Numbers, size: usize, min_idle: Option<usize>) -> Self;
    /// The pool's own future, so that nothing is between it and the clock.
    fn take(&self) -> impl Future<Output = Result<Self::Lent<'_>, Self::Error>> + Send;
}

/// The backend of all: opens numbers, at once unless a delay is set.
#[derive(Debug, Clone, Default)]
pub struct Numbers(Arc<Opening>);

#[derive(Debug, Default)]
struct Opening {
    begun: AtomicU64,
    delay_micros: AtomicU64,
}

impl Numbers {
    /// How many sessions were begun to be opened.
    pub fn opened(&self) -> u64 {
        self.0.begun.load(Ordering::Relaxed)
    }

    /// How long opening one takes from now on.
    pub fn set_delay(&self, delay: Duration) {
        self.0.delay_micros.store(delay.as_micros() as u64, Ordering::Relaxed);
    }

    fn begin(&self) -> (u64, Duration) {
        let delay = Duration::from_micros(self.0.delay_micros.load(Ordering::Relaxed));
        (self.0.begun.fetch_add(1, Ordering::Relaxed), delay)
    }

    fn connect(&self) -> u64 {
        let (number, delay) = self.begin();
        if !delay.is_zero() {
            std::thread::sleep(delay);
        }
        number
    }

    async fn connect_async(&self) -> u64 {
        let (number, delay) = self.begin();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        number
    }
}
