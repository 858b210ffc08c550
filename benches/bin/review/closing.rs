//! Slow closes, and a promise that nobody collects: in an executor's time.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use pool_core::{AsyncBackend, AsyncPool, Clock, Config, Runtime};
use pool_model::{Executor, FakeError};

use crate::{Figure, SECOND, seconds};

/// Sessions that take a while to close.
#[derive(Clone)]
struct Slow {
    executor: Executor,
    takes: Duration,
    closed: Arc<AtomicUsize>,
}

impl AsyncBackend for Slow {
    type Session = ();
    type Error = FakeError;

    async fn connect(&self) -> Result<(), FakeError> {
        Ok(())
    }

    fn is_broken(&self, (): &mut ()) -> bool {
        false
    }

    async fn check(&self, (): &mut ()) -> Result<(), FakeError> {
        Ok(())
    }

    async fn close(&self, (): ()) {
        self.executor.sleep_until(self.executor.now() + self.takes).await;
        self.closed.fetch_add(1, Ordering::SeqCst);
    }
}

/// A pool with so many idle sessions.
fn filled(sessions: usize, takes: Duration) -> (Executor, AsyncPool<Slow>, Slow) {
    let executor = Executor::new();
    let slow = Slow { executor: executor.clone(), takes, closed: Arc::default() };
    let config = Config::builder().max_size(sessions);
    let config = config.check_after_idle(Duration::MAX).build().expect("it is in range");
    let pool = AsyncPool::builder_on(executor.runtime(), slow.clone()).config(config).build();
    let leases: Vec<_> = (0..sessions).map(|_| executor.block_on(pool.get())).collect();
    drop(leases);
    (executor, pool, slow)
}

pub(crate) fn figures() -> Vec<Figure> {
    let mut figures = Vec::new();

    let (executor, pool, slow) = filled(100, 4 * SECOND);
    pool.evict_all();
    let mut leases = Vec::new();
    for (moment, what) in [
        (0, "`evict_all` of 100 sessions that take 4 s to close: a borrower at once"),
        (10, "the same: a borrower who comes 10 s later"),
    ] {
        executor.advance(SECOND * moment);
        let start = executor.now();
        let lease = executor.block_on(pool.get_timeout(600 * SECOND));
        let waited = seconds(executor.now() - start);
        let value = if lease.is_ok() { waited } else { format!("not within {waited}") };
        figures.push(("19", what, value));
        leases.push(lease);
    }
    executor.advance(600 * SECOND);
    let closed = slow.closed.load(Ordering::SeqCst);
    figures.push(("19", "the same: sessions that were closed in the end", closed.to_string()));

    let (executor, pool, slow) = filled(10, 3 * SECOND);
    let start = executor.now();
    let answer = executor.block_on(pool.close_timeout(60 * SECOND));
    let answer = if answer.is_ok() { "`Ok`" } else { "`Err`" };
    let closed = slow.closed.load(Ordering::SeqCst);
    let took = seconds(executor.now() - start);
    let value = format!("{answer} after {took} with {closed} closed");
    figures.push(("20", "`close_timeout(60 s)` of 10 sessions that take 3 s each", value));

    let (executor, pool, _) = filled(1, Duration::ZERO);
    let lease = executor.block_on(pool.get());
    let mut cx = Context::from_waker(Waker::noop());
    let mut forgotten = Box::pin(pool.get_timeout(SECOND));
    let mut second = Box::pin(pool.get_timeout(10 * SECOND));
    let waiting = forgotten.as_mut().poll(&mut cx).is_pending();
    let waiting = waiting && second.as_mut().poll(&mut cx).is_pending();
    drop(lease);
    let start = executor.now();
    let served = waiting && executor.block_on(pin!(second)).is_ok();
    let waited = seconds(executor.now() - start);
    let value = if served { waited } else { format!("not within {waited}") };
    figures.push(("23", "one behind a future with a 1 s deadline that nobody polls", value));
    figures
}
