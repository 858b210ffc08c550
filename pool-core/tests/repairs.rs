//! One test for each bug found in the shell around the core.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use pool_core::{
    AcquireError, AsyncBackend, AsyncPool, CloseReason, Config, ErrorKind, Guard, Pool, Stats,
};
use pool_model::{
    Behaviour, Call, CallbackSpy, Executor, FakeAsyncBackend, FakeBackend, ManualClock, SpyBackend,
    audit,
};

const SECOND: Duration = Duration::from_secs(1);

type Fake = (FakeBackend, AsyncPool<FakeAsyncBackend>, Executor);

fn fake(max_size: usize) -> Fake {
    let (backend, executor) = (FakeBackend::new(), Executor::new());
    let config = Config::builder().max_size(max_size).build().unwrap();
    let fake = FakeAsyncBackend(backend.clone());
    let pool = AsyncPool::builder_on(executor.runtime(), fake).config(config).build();
    (backend, pool, executor)
}

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_runtime_that_ends_before_it_polled_a_job_leaves_no_slot_taken() {
    let (backend, pool, executor) = fake(2);
    let mut borrow = Box::pin(pool.get());
    assert!(poll_once(borrow.as_mut()).is_pending());
    // The driver has spawned the connect, and nobody has polled it.
    assert!(executor.step());
    assert_eq!((pool.stats().connecting, backend.connects.calls()), (1, 0));
    executor.shut_down();
    drop(borrow);
    let stats = pool.stats();
    assert_eq!((stats.open(), stats.hung()), (0, 0), "{stats:?}");
    audit(&stats, &backend.truth, &"ended");
}

#[test]
fn i28_the_waker_of_a_late_close_is_dropped_outside_the_lock() {
    let (_, pool, executor) = fake(1);
    executor.block_on(pool.close()).unwrap();
    let spy = CallbackSpy::default();
    let watched = pool.clone();
    spy.look_with(move || assert!(watched.stats().closed));
    let waker = spy.waker(Waker::noop().clone());
    let mut late = pin!(pool.close());
    assert!(late.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
    drop(waker);
    assert_eq!(spy.calls(Call::WakerDrop), 1);
}

#[test]
fn a_close_polled_many_times_keeps_one_waker() {
    let (_, pool, executor) = fake(1);
    let held = executor.block_on(pool.get()).unwrap();
    let spy = CallbackSpy::default();
    let waker = spy.waker(Waker::noop().clone());
    let mut close = Box::pin(pool.close());
    for _ in 0..10 {
        assert!(close.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    drop(held);
    executor.run();
    assert_eq!(spy.calls(Call::Wake), 1);
}

#[test]
fn i25_close_of_a_sync_pool_sees_its_deadline_on_a_clock_set_by_hand() {
    let clock = Arc::new(ManualClock::new());
    let pool = Pool::builder(FakeBackend::new()).clock(clock.clone()).build();
    let _held = pool.get().unwrap();
    thread::scope(|scope| {
        let closing = scope.spawn(|| pool.close_timeout(SECOND));
        while !closing.is_finished() {
            clock.advance(SECOND);
            thread::yield_now();
        }
        assert_eq!(closing.join().unwrap().unwrap_err().stats.lent, 1);
    });
}

#[test]
fn a_borrow_that_found_no_runtime_holds_no_place_though_it_is_kept() {
    let (_, pool, executor) = fake(1);
    let held = executor.block_on(pool.get()).unwrap();
    executor.shut_down();
    let mut kept = Box::pin(pool.get());
    assert!(matches!(poll_once(kept.as_mut()), Poll::Ready(Err(AcquireError::NoWorker(_)))));
    assert_eq!(pool.stats().waiting, 0);
    drop(held);
    assert!(pool.try_get().is_some());
    drop(kept);
}

#[test]
fn i26_dropping_the_last_handle_closes_idle_and_lent_sessions_properly() {
    let (backend, pool, executor) = fake(2);
    let held = executor.block_on(pool.get()).unwrap();
    drop(executor.block_on(pool.get()).unwrap());
    drop(pool);
    executor.run();
    assert_eq!((backend.truth.closed(), backend.truth.alive()), (1, 1));
    assert_eq!(held.id, 0, "a guard goes on");
    drop(held);
    executor.run();
    assert_eq!((backend.truth.closed(), backend.truth.alive()), (2, 0));
    assert_eq!(executor.alive(), 0, "and the driver ends");
}

#[test]
fn i26_a_runtime_that_ends_frees_a_pool_without_handles() {
    let (backend, pool, executor) = fake(1);
    drop(executor.block_on(pool.get()).unwrap());
    drop(pool);
    executor.shut_down();
    assert_eq!(backend.truth.alive(), 0);
}

fn released(break_it: impl FnOnce(&FakeBackend, &dyn Fn())) -> (Stats, u64) {
    let (backend, pool, executor) = fake(1);
    let mut session = executor.block_on(pool.get()).unwrap();
    session.mark_dirty();
    break_it(&backend, &session.killer());
    executor.block_on(pool.release(session));
    executor.run();
    (pool.stats(), backend.resets.calls())
}

#[test]
fn release_does_not_reset_what_is_broken() {
    let (stats, resets) = released(|_, kill| kill());
    assert_eq!((stats.counters.closed(CloseReason::Broken), resets), (1, 0));
}

#[test]
fn release_tells_a_failed_reset_from_an_interrupted_one() {
    let fail = Behaviour::Err(ErrorKind::Transient);
    let (stats, _) = released(|backend, _| backend.resets.next(fail));
    assert_eq!(stats.counters.closed(CloseReason::ResetFailed), 1);
    let (stats, _) = released(|backend, _| backend.resets.next(Behaviour::Block));
    assert_eq!(stats.counters.closed(CloseReason::Interrupted), 1);
}

#[test]
fn i07_release_closes_a_session_whose_needs_reset_panicked() {
    let (backend, executor) = (SpyBackend::default(), Executor::new());
    let pool = AsyncPool::builder_on(executor.runtime(), backend.clone()).build();
    let session = executor.block_on(pool.get()).unwrap();
    backend.spy.panic_in(Call::NeedsReset, backend.spy.calls(Call::NeedsReset) + 1);
    executor.block_on(pool.release(session));
    assert_eq!(pool.stats().counters.closed(CloseReason::Panicked), 1);
}

#[test]
fn f3_the_last_guard_drops_a_pool_whose_sessions_panic_without_panicking() {
    let (backend, executor) = (SpyBackend::default(), Executor::new());
    let pool = AsyncPool::builder_on(executor.runtime(), backend.clone()).build();
    let session = executor.block_on(pool.get()).unwrap();
    executor.shut_down();
    drop(pool);
    backend.spy.panic_in(Call::SessionDrop, 1);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(session))).is_ok());
    assert_eq!((backend.spy.calls(Call::SessionDrop), backend.fake.truth.alive()), (1, 0));
}

/// Its errors look at the pool when they are dropped.
struct Fussy {
    fake: FakeAsyncBackend,
    look: Arc<OnceLock<AsyncPool<Fussy>>>,
}

#[derive(Debug, thiserror::Error)]
#[error("fussy")]
struct FussyError {
    kind: ErrorKind,
    look: Arc<OnceLock<AsyncPool<Fussy>>>,
}

impl std::fmt::Debug for Fussy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fussy")
    }
}

impl Drop for FussyError {
    fn drop(&mut self) {
        if let Some(pool) = self.look.get() {
            assert!(pool.stats().max_size > 0);
        }
    }
}

impl AsyncBackend for Fussy {
    type Session = pool_model::FakeSession;
    type Error = FussyError;

    async fn connect(&self) -> Result<Self::Session, FussyError> {
        let connected = self.fake.connect().await;
        connected.map_err(|error| FussyError { kind: error.0, look: Arc::clone(&self.look) })
    }

    fn is_broken(&self, session: &mut Self::Session) -> bool {
        self.fake.is_broken(session)
    }

    async fn check(&self, session: &mut Self::Session) -> Result<(), FussyError> {
        let checked = self.fake.check(session).await;
        checked.map_err(|error| FussyError { kind: error.0, look: Arc::clone(&self.look) })
    }

    fn classify(&self, error: &FussyError) -> ErrorKind {
        error.kind
    }
}

#[test]
fn i28_errors_are_dropped_outside_the_lock() {
    let (backend, executor) = (FakeBackend::new(), Executor::new());
    let look = Arc::new(OnceLock::new());
    let fussy = Fussy { fake: FakeAsyncBackend(backend.clone()), look: Arc::clone(&look) };
    let pool = AsyncPool::builder_on(executor.runtime(), fussy).build();
    look.set(pool.clone()).unwrap();
    let err = |kind| backend.connects.next(Behaviour::Err(kind));
    for _ in 0..3 {
        // Replaced by another, forgotten at a success, by `evict_all` and with a cancelled borrow.
        err(ErrorKind::Transient);
        err(ErrorKind::Transient);
        drop(executor.block_on(pool.get()).unwrap());
        pool.evict_all();
        executor.run();
        err(ErrorKind::Permanent);
        let mut borrow = Box::pin(pool.get());
        assert!(poll_once(borrow.as_mut()).is_pending());
        executor.run();
        pool.evict_all();
        drop(borrow);
        drop(executor.block_on(pool.get()).unwrap());
        pool.evict_all();
    }
    executor.block_on(pool.close()).unwrap();
    assert_eq!(backend.truth.alive(), 0);
}

/// Notes what the observer knew when it woke.
struct Informed {
    observer: CallbackSpy,
    known: AtomicU64,
}

impl Wake for Informed {
    fn wake(self: Arc<Self>) {
        self.known.store(self.observer.calls(Call::Observer), Ordering::SeqCst);
    }
}

#[test]
fn an_observer_hears_of_a_return_before_the_next_borrower_wakes() {
    let (observer, executor) = (CallbackSpy::default(), Executor::new());
    let builder = AsyncPool::builder_on(executor.runtime(), FakeAsyncBackend::default());
    let config = Config::builder().max_size(1).build().unwrap();
    let pool = builder.config(config).observer(Arc::new(observer.clone())).build();
    let held = executor.block_on(pool.get()).unwrap();
    let informed = Arc::new(Informed { observer: observer.clone(), known: AtomicU64::new(0) });
    let waker = Waker::from(Arc::clone(&informed));
    let mut next = Box::pin(pool.get());
    assert!(next.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(held);
    // Connected, acquired, released.
    assert_eq!(informed.known.load(Ordering::SeqCst), 3);
}

#[test]
fn f3_a_guard_outlives_everything() {
    let (backend, pool, executor) = fake(1);
    let session = executor.block_on(pool.get()).unwrap();
    drop(pool);
    executor.shut_down();
    drop(executor);
    drop(Guard::detach(session));
    assert_eq!(backend.truth.alive(), 0);
}
