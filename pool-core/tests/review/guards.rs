//! What a borrower may say and ask of its lease.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pool_core::{AsyncPool, CloseReason, Guard};
use pool_model::{Executor, FakeAsyncBackend, FakeError};

use crate::rig::{Lines, SECOND, patient, poll_once, pool, tasks, yield_once};

#[test]
fn a_guard_knows_its_session_s_number_age_and_uses() {
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    let pool = pool(&executor, &backend, patient().check_after_idle(Duration::MAX));
    let first = executor.block_on(pool.get()).unwrap();
    let other = executor.block_on(pool.get()).unwrap();
    assert_ne!(Guard::id(&first), Guard::id(&other));
    assert!(!Guard::same_session(&first, &other));
    assert_eq!((Guard::uses(&first), Guard::age(&first)), (0, Duration::ZERO));
    let id = Guard::id(&first);
    drop(first);
    executor.advance(60 * SECOND);
    let again = executor.block_on(pool.get()).unwrap();
    assert_eq!((Guard::id(&again), Guard::uses(&again), Guard::age(&again)), (id, 1, 60 * SECOND));
}

#[test]
fn a_use_that_was_cut_off_is_lent_to_nobody() {
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    let pool = pool(&executor, &backend, patient().max_size(1));
    // Comes to its end.
    executor.block_on(async {
        let mut lease = pool.get().await.unwrap();
        let scope = Guard::scope(&mut lease);
        yield_once().await;
        scope.done();
    });
    assert_eq!(executor.block_on(pool.get()).unwrap().id, 0);
    // Is cancelled in between.
    let mut task = Box::pin(async {
        let mut lease = pool.get().await.unwrap();
        let scope = Guard::scope(&mut lease);
        std::future::pending::<()>().await;
        scope.done();
    });
    assert!(poll_once(task.as_mut()).is_none());
    drop(task);
    assert_eq!(executor.block_on(pool.get()).unwrap().id, 1);
    assert_eq!(pool.stats().counters.closed(CloseReason::Interrupted), 1);
}

#[test]
fn a_scope_does_not_undo_what_was_marked_before() {
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    let pool = pool(&executor, &backend, patient());
    let mut lease = executor.block_on(pool.get()).unwrap();
    Guard::mark_broken(&mut lease);
    Guard::scope(&mut lease).done();
    drop(lease);
    assert_eq!(executor.block_on(pool.get()).unwrap().id, 1);
}

#[test]
fn whoever_is_refused_gets_another_lease_before_all_who_came_later() {
    let (executor, lines) = (Executor::new(), Lines::default());
    let pool = tasks(&executor, &lines, 2, patient().max_size(1));
    let first = executor.block_on(pool.get()).unwrap();
    let refused = executor.block_on(pool.get()).unwrap();
    let mut later = Box::pin(pool.get());
    assert!(poll_once(later.as_mut()).is_none());
    Guard::refused(&refused);
    let mut exchanged = Box::pin(pool.exchange(refused));
    assert!(poll_once(exchanged.as_mut()).is_none());
    assert_eq!(pool.leases_per_session(), 1);
    drop(first);
    executor.run();
    assert!(poll_once(later.as_mut()).is_none());
    assert!(poll_once(exchanged).is_some_and(|served| served.is_ok()));
    assert_eq!(pool.stats().counters.refusals, 1);
}

#[test]
fn a_reset_that_a_release_waited_for_is_not_asked_for_again() {
    /// Always says that a session needs a reset.
    #[derive(Clone, Default)]
    struct Fussy(Arc<AtomicUsize>);
    impl pool_core::AsyncBackend for Fussy {
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
        fn needs_reset(&self, (): &mut ()) -> bool {
            true
        }
        async fn reset(&self, (): &mut ()) -> Result<(), FakeError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    }
    let (executor, backend) = (Executor::new(), Fussy::default());
    let config = patient().build().unwrap();
    let pool = AsyncPool::builder_on(executor.runtime(), backend.clone()).config(config).build();
    let lease = executor.block_on(pool.get()).unwrap();
    executor.block_on(pool.release(lease));
    assert_eq!(pool.stats().idle, 1, "it is ready for the next borrower");
    executor.run();
    assert_eq!(backend.0.load(Ordering::SeqCst), 1);
}
