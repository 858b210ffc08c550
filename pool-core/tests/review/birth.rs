//! Sessions that are no good from the start, and errors that stay: row 22, and what was suspected
//! of the breaker.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pool_core::{AcquireError, AsyncBackend, AsyncPool, Clock, ErrorKind};
use pool_model::{Behaviour, Executor, FakeAsyncBackend, FakeError};

use crate::rig::{HOUR, SECOND, patient, poll_once, pool};

/// A load balancer without anybody behind it: accepts, and hangs up.
#[derive(Clone, Default)]
struct HangsUp(Arc<AtomicUsize>);

/// Far beyond what the pool may do in the time that the test gives it.
const MANY: usize = 10_000;

impl AsyncBackend for HangsUp {
    type Session = ();
    type Error = FakeError;

    async fn connect(&self) -> Result<(), FakeError> {
        // Where nothing slows it down, the test has to end all the same.
        if self.0.fetch_add(1, Ordering::SeqCst) >= MANY {
            return std::future::pending().await;
        }
        Ok(())
    }

    fn is_broken(&self, (): &mut ()) -> bool {
        true
    }

    async fn check(&self, (): &mut ()) -> Result<(), FakeError> {
        Ok(())
    }
}

#[test]
fn row_22_sessions_that_are_broken_at_birth_are_opened_with_backoff() {
    let executor = Executor::new();
    let backend = HangsUp::default();
    let config = patient().seed(Some(7)).build().unwrap();
    let pool = AsyncPool::builder_on(executor.runtime(), backend.clone()).config(config).build();
    let borrower = pool.clone();
    executor.start(async move { drop(borrower.get_timeout(10 * SECOND).await) });
    executor.advance(SECOND);
    let first_second = backend.0.load(Ordering::SeqCst);
    executor.advance(9 * SECOND);
    let ten_seconds = backend.0.load(Ordering::SeqCst);
    // 50 ms doubled each time, drawn from the upper half.
    assert!((3..=6).contains(&first_second), "{first_second} connects in a second");
    assert!(ten_seconds <= 12, "{ten_seconds} connects in ten seconds");
}

#[test]
fn a_permanent_error_after_many_passing_ones_waits_no_longer_than_one_alone() {
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    for _ in 0..8 {
        backend.0.connects.next(Behaviour::Err(ErrorKind::Transient));
    }
    backend.0.connects.next(Behaviour::Err(ErrorKind::Permanent));
    // Small delays before, so that they don't hide the breaker's.
    let config = patient().backoff_max(SECOND / 20).breaker_delay(SECOND);
    let pool = pool(&executor, &backend, config);
    assert!(matches!(executor.block_on(pool.get()), Err(AcquireError::Connect(_))));
    assert_eq!(backend.0.connects.calls(), 9);
    // The first permanent error: between half and all of twice the unit.
    executor.advance(2 * SECOND);
    drop(executor.block_on(pool.get()).unwrap());
    assert_eq!(backend.0.connects.calls(), 10);
}

#[test]
fn row_28_after_a_permanent_error_those_who_never_wait_have_a_session_opened_too() {
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    backend.0.connects.next(Behaviour::Err(ErrorKind::Permanent));
    let pool = pool(&executor, &backend, patient());
    assert!(executor.block_on(pool.get()).is_err());
    executor.advance(HOUR);
    let zero = std::time::Duration::ZERO;
    assert!(matches!(executor.block_on(pool.get_timeout(zero)), Err(AcquireError::TimedOut(_))));
    executor.run();
    assert!(executor.block_on(pool.get_timeout(zero)).is_ok());
}

#[test]
fn after_a_permanent_error_is_over_a_pool_can_be_warmed() {
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    backend.0.connects.next(Behaviour::Err(ErrorKind::Permanent));
    let pool = pool(&executor, &backend, patient());
    assert!(executor.block_on(pool.get()).is_err());
    executor.advance(HOUR);
    executor.block_on(pool.warm(2, 60 * SECOND)).unwrap();
    assert_eq!(pool.stats().idle, 2);
}

#[test]
fn a_pool_that_never_had_a_session_says_at_once_that_nobody_is_there() {
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    backend.0.connects.always(Behaviour::Err(ErrorKind::Unreachable));
    let eager = pool(&executor, &backend, patient());
    let start = executor.now();
    assert!(matches!(executor.block_on(eager.get()), Err(AcquireError::Connect(_))));
    assert_eq!((executor.now(), backend.0.connects.calls()), (start, 1));
    let stubborn = pool(&executor, &backend, patient().fail_fast(false));
    let refused = executor.block_on(stubborn.get_timeout(10 * SECOND));
    assert!(matches!(refused, Err(AcquireError::TimedOut(_))));

    // One that had a session goes on trying.
    let backend = FakeAsyncBackend::default();
    let proven = pool(&executor, &backend, patient());
    executor.block_on(proven.get()).unwrap().killer()();
    backend.0.connects.next(Behaviour::Err(ErrorKind::Unreachable));
    drop(executor.block_on(proven.get()).unwrap());
    assert_eq!(backend.0.connects.calls(), 3);
}

#[test]
fn a_newcomer_learns_of_a_permanent_error_without_a_connect() {
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    backend.0.connects.always(Behaviour::Err(ErrorKind::Permanent));
    let pool = pool(&executor, &backend, patient());
    assert!(executor.block_on(pool.get()).is_err());
    assert!(matches!(poll_once(pool.get()), Some(Err(AcquireError::Connect(_)))));
    assert_eq!(backend.0.connects.calls(), 1);
}
