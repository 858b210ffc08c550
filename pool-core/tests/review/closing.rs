//! Closes, and calls that hang: rows 19 to 21, 29, 31, and I40.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pool_core::{
    AsyncBackend, AsyncPool, Backend, Clock, ErrorKind, Interrupt, KillSwitch, Pool, Runtime,
};
use pool_model::{
    Behaviour, Executor, FakeAsyncBackend, FakeBackend, FakeError, FakeSession, Gate, ManualClock,
};

use crate::rig::{HOUR, SECOND, patient, poll_once, until, while_time_passes, within_watchdog};

/// Sessions that take a while to close, in the executor's time.
#[derive(Clone)]
struct SlowToClose {
    executor: Executor,
    takes: Duration,
    opened: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
}

impl SlowToClose {
    fn new(executor: &Executor, takes: Duration) -> Self {
        let executor = executor.clone();
        Self { executor, takes, opened: Arc::default(), closed: Arc::default() }
    }
}

impl AsyncBackend for SlowToClose {
    type Session = usize;
    type Error = FakeError;

    async fn connect(&self) -> Result<usize, FakeError> {
        Ok(self.opened.fetch_add(1, Ordering::SeqCst))
    }

    fn is_broken(&self, _: &mut usize) -> bool {
        false
    }

    async fn check(&self, _: &mut usize) -> Result<(), FakeError> {
        Ok(())
    }

    async fn close(&self, _: usize) {
        self.executor.sleep_until(self.executor.now() + self.takes).await;
        self.closed.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn row_19_a_hundred_slow_closes_stop_no_connect_and_none_is_given_up_before_it_started() {
    let executor = Executor::new();
    let backend = SlowToClose::new(&executor, 4 * SECOND);
    let config = patient().max_size(100).build().unwrap();
    let pool = AsyncPool::builder_on(executor.runtime(), backend.clone()).config(config).build();
    let leases: Vec<_> = (0..100).map(|_| executor.block_on(pool.get()).unwrap()).collect();
    drop(leases);
    pool.evict_all();
    let start = executor.now();
    // As soon as the first close has made a place.
    let _first = executor.block_on(pool.get_timeout(5 * SECOND)).unwrap();
    assert!(executor.now() - start <= 4 * SECOND);
    // Later than any close that had waited for its turn from the start could have been given up.
    executor.advance(6 * SECOND);
    let _second = executor.block_on(pool.get_timeout(5 * SECOND)).unwrap();
    assert!(executor.now() - start <= 10 * SECOND);
    for _ in 0..200 {
        executor.advance(SECOND);
        assert_eq!(pool.stats().hung(), 0);
    }
    assert_eq!(backend.closed.load(Ordering::SeqCst), 100);
}

#[test]
fn row_20_a_pool_that_says_it_is_closed_has_closed_all_its_sessions() {
    let executor = Executor::new();
    let backend = SlowToClose::new(&executor, 3 * SECOND);
    let pool = AsyncPool::builder_on(executor.runtime(), backend.clone())
        .config(patient().max_size(10).max_connecting(10).build().unwrap())
        .build();
    let leases: Vec<_> = (0..10).map(|_| executor.block_on(pool.get()).unwrap()).collect();
    drop(leases);
    let start = executor.now();
    let closed = executor.block_on(pool.close_timeout(60 * SECOND));
    assert_eq!(closed.map(|closed| closed.hung), Ok(0));
    assert_eq!(backend.closed.load(Ordering::SeqCst), 10);
    assert_eq!(executor.now() - start, 6 * SECOND, "eight at once");
}

/// Acquires of sessions whose checks hang, until one is served.
fn served_in_spite_of(backend: &FakeBackend, hang: impl FnOnce(&FakeBackend)) -> Option<Duration> {
    let clock = Arc::new(ManualClock::new());
    let config = patient().max_size(30).build().unwrap();
    let pool = Pool::builder(backend.clone()).config(config).clock(clock.clone()).build();
    let leases: Vec<_> = (0..12).map(|_| pool.get().unwrap()).collect();
    drop(leases);
    clock.advance(2 * SECOND);
    hang(backend);
    let time = Arc::clone(&clock);
    let served = while_time_passes(&clock, move || {
        // Twelve of them have to be found out, each by somebody who waits.
        for _ in 0..12 {
            std::mem::forget(pool.get().unwrap());
        }
        // Whatever hangs is given up by then.
        let later = time.now() + 60 * SECOND;
        until(|| time.now() >= later);
        std::mem::forget(pool.get().unwrap());
    });
    backend.checks.open(100);
    backend.closes.open(100);
    served.map(|(_, took)| took)
}

#[test]
fn row_21_twelve_hung_checks_on_threads_stop_no_connect() {
    let backend = FakeBackend::new();
    let took = served_in_spite_of(&backend, |backend| backend.checks.always(Behaviour::Block));
    assert!(took.is_some(), "nobody is served while the threads hang");
}

#[test]
fn row_21_hung_closes_on_threads_stop_no_connect() {
    let backend = FakeBackend::new();
    let took = served_in_spite_of(&backend, |backend| {
        backend.checks.always(Behaviour::Err(ErrorKind::Transient));
        backend.closes.always(Behaviour::Block);
    });
    assert!(took.is_some(), "nobody is served while the threads hang");
}

#[test]
fn row_29_a_connect_that_comes_back_after_the_close_is_closed_on_threads() {
    let backend = FakeBackend::new();
    backend.connects.next(Behaviour::Block);
    let pool = Pool::new(backend.clone(), patient().build().unwrap());
    assert!(pool.get_timeout(Duration::ZERO).is_err(), "opens in the background");
    backend.connects.wait_for_calls(1);
    assert_eq!(pool.close().map(|closed| closed.hung), Ok(1));
    backend.connects.open(1);
    until(|| backend.truth.closed() == 1);
    assert_eq!(backend.truth.alive(), 0);
    until(|| pool.stats().orphans + pool.stats().hung() == 0);
}

#[test]
fn row_29_a_connect_that_ends_as_the_pool_closes_leaves_no_session_behind() {
    for connected_first in [true, false] {
        connects_as_the_pool_closes(connected_first);
    }
}

fn connects_as_the_pool_closes(connected_first: bool) {
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    backend.0.connects.always(Behaviour::Block);
    let pool = AsyncPool::builder_on(executor.runtime(), backend.clone())
        .config(patient().build().unwrap())
        .build();
    let waiting = pool.get();
    let mut waiting = Box::pin(waiting);
    assert!(poll_once(waiting.as_mut()).is_none());
    executor.run();
    // The connect has its answer, but its task was not polled since.
    if connected_first {
        backend.0.connects.open(1);
    }
    let closed = executor.block_on(pool.close());
    backend.0.connects.open(1);
    executor.run();
    assert!(closed.is_ok());
    assert_eq!(backend.0.truth.alive(), 0);
    assert_eq!(pool.stats().open() + pool.stats().orphans, 0);
}

/// A connect into a black hole, which a thread can be freed of by its interrupt, or not.
#[derive(Clone)]
struct BlackHole {
    inner: FakeBackend,
    with_interrupt: bool,
}

impl Backend for BlackHole {
    type Session = ();
    type Error = FakeError;

    fn connect(&self) -> Result<(), FakeError> {
        Backend::connect(&self.inner).map(drop)
    }

    fn connect_interruptible(&self, interrupt: &Interrupt) -> Result<(), FakeError> {
        if self.with_interrupt {
            let gate = self.inner.connects.clone();
            interrupt.on_interrupt(move || gate.open(1));
        }
        self.connect()
    }

    fn kill_switch(&self, (): &mut ()) -> Option<KillSwitch> {
        None
    }

    fn is_broken(&self, (): &mut ()) -> bool {
        false
    }

    fn check(&self, (): &mut ()) -> Result<(), FakeError> {
        Ok(())
    }
}

#[test]
fn i40_a_pool_whose_only_connect_is_in_a_black_hole_closes_at_once_on_threads() {
    for with_interrupt in [false, true] {
        let inner = FakeBackend::new();
        inner.connects.always(Behaviour::BlockErr(ErrorKind::Transient));
        let backend = BlackHole { inner: inner.clone(), with_interrupt };
        // Virtual time stands still, so whatever waits for a deadline waits for ever.
        let clock = Arc::new(ManualClock::new());
        let config = patient().build().unwrap();
        let pool = Pool::builder(backend).config(config).clock(clock).build();
        assert!(pool.get_timeout(Duration::ZERO).is_err());
        inner.connects.wait_for_calls(1);
        let other = pool.clone();
        let closed = within_watchdog(move || other.close());
        assert!(matches!(closed, Some(Ok(_))), "interrupt: {with_interrupt}: {closed:?}");
        if with_interrupt {
            until(|| inner.connects.blocked() == 0 && pool.stats().hung() == 0);
        } else {
            assert_eq!((inner.connects.blocked(), pool.stats().hung_connects), (1, 1));
        }
        inner.connects.open(9);
    }
}

#[test]
fn i40_a_pool_whose_only_connect_is_in_a_black_hole_closes_at_once_on_tasks() {
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    backend.0.connects.always(Behaviour::Block);
    let config = patient().connect_timeout(HOUR).close_timeout(5 * SECOND).build().unwrap();
    let pool = AsyncPool::builder_on(executor.runtime(), backend.clone()).config(config).build();
    let mut waiting = Box::pin(pool.get());
    assert!(poll_once(waiting.as_mut()).is_none());
    executor.run();
    let start = executor.now();
    executor.block_on(pool.close()).unwrap();
    assert_eq!(executor.now() - start, Duration::ZERO);
    executor.run();
    assert_eq!((backend.0.connects.blocked(), pool.stats().hung()), (0, 0), "it was dropped");
    assert!(matches!(poll_once(waiting), Some(Err(pool_core::AcquireError::Closed))));
}

/// Keepalives, resets and closes that hang can be ended from outside.
struct Killable(FakeBackend);

impl Backend for Killable {
    type Session = FakeSession;
    type Error = FakeError;

    fn connect(&self) -> Result<FakeSession, FakeError> {
        Backend::connect(&self.0)
    }

    fn kill_switch(&self, _: &mut FakeSession) -> Option<KillSwitch> {
        let gates = [&self.0.keepalives, &self.0.resets, &self.0.closes].map(Gate::clone);
        Some(Box::new(move || {
            let hanging = gates.iter().filter(|gate| gate.blocked() > 0);
            hanging.for_each(|gate| gate.open(1));
        }))
    }

    fn is_broken(&self, _: &mut FakeSession) -> bool {
        false
    }

    fn check(&self, session: &mut FakeSession) -> Result<(), FakeError> {
        Backend::check(&self.0, session)
    }

    fn keepalive(&self, session: &mut FakeSession) -> Result<(), FakeError> {
        Backend::keepalive(&self.0, session)
    }

    fn needs_reset(&self, session: &mut FakeSession) -> bool {
        Backend::needs_reset(&self.0, session)
    }

    fn reset(&self, session: &mut FakeSession) -> Result<(), FakeError> {
        Backend::reset(&self.0, session)
    }

    fn close(&self, session: FakeSession) {
        Backend::close(&self.0, session);
    }
}

#[test]
fn i39_what_hangs_on_a_thread_is_ended_by_its_kill_switch_at_its_deadline() {
    let (backend, clock) = (FakeBackend::new(), Arc::new(ManualClock::new()));
    let config = patient().keepalive_interval(Some(30 * SECOND)).jitter(0.0).build().unwrap();
    let pool = Pool::builder(Killable(backend.clone())).config(config).clock(clock.clone()).build();
    let ends = |gate: &Gate, begin: &dyn Fn()| {
        gate.next(Behaviour::Block);
        begin();
        until(|| gate.blocked() == 1);
        assert_eq!(pool.stats().hung(), 0);
        clock.advance(5 * SECOND);
        until(|| gate.blocked() == 0 && pool.stats().hung() == 0 && pool.stats().closing == 0);
    };
    let borrow = || pool.get().unwrap();
    drop(borrow());
    ends(&backend.keepalives, &|| clock.advance(30 * SECOND));
    ends(&backend.resets, &|| borrow().mark_dirty());
    drop(borrow());
    ends(&backend.closes, &|| pool.evict_all());
}

#[test]
fn row_31_a_keepalive_under_way_costs_no_connect() {
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    let config = patient().keepalive_interval(Some(30 * SECOND)).jitter(0.0).build().unwrap();
    let pool = AsyncPool::builder_on(executor.runtime(), backend.clone()).config(config).build();
    drop(executor.block_on(pool.get()).unwrap());
    backend.0.keepalives.next(Behaviour::Block);
    executor.advance(30 * SECOND);
    assert_eq!(pool.stats().checking, 1);
    let mut waiting = Box::pin(pool.get());
    assert!(poll_once(waiting.as_mut()).is_none());
    executor.run();
    backend.0.keepalives.open(1);
    executor.run();
    assert_eq!(poll_once(waiting).map(|lease| lease.unwrap().id), Some(0));
    assert_eq!(backend.0.truth.created(), 1);
}
