//! Asking for a session, and what the pool says of it: rows 26 to 28, and what users of other pools
//! look for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use pool_core::{
    AcquireError, AsyncPool, Backend, Clock, Config, ConfigBuilder, Event, Guard, Observer, Pool,
};
use pool_model::{Executor, FakeAsyncBackend, FakeBackend, ManualClock};

use crate::log;
use crate::rig::{HOUR, SECOND, poll_once, until};

fn patient() -> ConfigBuilder {
    Config::builder().acquire_timeout(Some(HOUR)).max_lifetime(None).idle_timeout(None)
}

fn pool(
    executor: &Executor,
    backend: &FakeAsyncBackend,
    config: ConfigBuilder,
) -> AsyncPool<FakeAsyncBackend> {
    let config = config.seed(Some(7)).build().unwrap();
    AsyncPool::builder_on(executor.runtime(), backend.clone()).config(config).build()
}

#[derive(Default)]
struct Seen(Mutex<Vec<Event>>);

impl Observer for Seen {
    fn on_event(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Seen {
    fn count(&self, kind: impl Fn(&Event) -> bool) -> usize {
        self.0.lock().unwrap().iter().filter(|event| kind(event)).count()
    }
}

#[test]
fn row_26_check_after_idle_zero_checks_at_every_lease_after_a_use() {
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    let pool = pool(&executor, &backend, patient().check_after_idle(Duration::ZERO));
    for _ in 0..200 {
        drop(executor.block_on(pool.get()).unwrap());
    }
    assert_eq!(backend.0.checks.calls(), 199);
}

#[test]
fn row_26_check_after_idle_zero_checks_what_is_handed_on_to_a_waiter_too() {
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    let pool = pool(&executor, &backend, patient().max_size(1).check_after_idle(Duration::ZERO));
    let lease = executor.block_on(pool.get()).unwrap();
    let mut waiting = Box::pin(pool.get());
    assert!(poll_once(waiting.as_mut()).is_none());
    drop(lease);
    executor.run();
    assert!(poll_once(waiting).is_some_and(|served| served.is_ok()));
    assert_eq!(backend.0.checks.calls(), 1);
}

#[test]
fn row_27_a_session_replaced_unseen_was_neither_acquired_nor_released() {
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    let seen = Arc::new(Seen::default());
    let pool = AsyncPool::builder_on(executor.runtime(), backend.clone())
        .config(patient().build().unwrap())
        .observer(seen.clone())
        .build();
    executor.block_on(pool.get()).unwrap().killer()();
    let killer = {
        let lease = executor.block_on(pool.get()).unwrap();
        lease.killer()
    };
    killer();
    drop(executor.block_on(pool.get()).unwrap());
    assert_eq!(pool.stats().counters.replaced, 1);
    assert_eq!(seen.count(|event| matches!(event, Event::Acquired { .. })), 3);
    assert_eq!(seen.count(|event| matches!(event, Event::Released { .. })), 3);
}

/// I5 at rest.
#[track_caller]
fn adds_up(pool: &AsyncPool<FakeAsyncBackend>) {
    let stats = pool.stats();
    let c = stats.counters;
    let ended = c.served + c.timed_out + c.cancelled + c.failed + c.refused_closed + c.overloaded;
    assert_eq!(c.acquires, ended + stats.waiting as u64, "{c:?}");
}

#[test]
fn a_try_get_that_meets_a_broken_session_is_counted_once_or_not_at_all() {
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    let pool = pool(&executor, &backend, patient());
    let leases = [(); 2].map(|()| executor.block_on(pool.get()).unwrap());
    let killers = [leases[0].killer(), leases[1].killer()];
    drop(leases);
    killers[0]();
    drop(pool.try_get());
    adds_up(&pool);
    killers[1]();
    assert!(pool.try_get().is_none());
    adds_up(&pool);
}

#[test]
fn an_exchange_is_counted_as_the_acquire_that_it_is() {
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    let pool = pool(&executor, &backend, patient());
    let mut lease = executor.block_on(pool.get()).unwrap();
    Guard::mark_broken(&mut lease);
    let lease = executor.block_on(pool.exchange(lease)).unwrap();
    assert_eq!(lease.id, 1);
    adds_up(&pool);
}

#[test]
fn row_28_whoever_never_waits_finds_a_session_the_next_time() {
    let zero = Duration::ZERO;
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    let tasks = pool(&executor, &backend, patient());
    assert!(matches!(executor.block_on(tasks.get_timeout(zero)), Err(AcquireError::TimedOut(_))));
    executor.run();
    assert_eq!(executor.block_on(tasks.get_timeout(zero)).unwrap().id, 0);
    assert_eq!(backend.0.truth.created(), 1);

    let backend = FakeBackend::new();
    let threads =
        Pool::new(backend.clone(), patient().acquire_timeout(Some(zero)).build().unwrap());
    assert!(threads.get().is_err_and(|error| error.is_timeout()));
    until(|| threads.stats().idle == 1);
    assert_eq!(threads.get().unwrap().id, 0);
}

#[test]
fn row_28_a_try_get_that_finds_nothing_is_counted_nowhere_and_opens_nothing() {
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    let pool = pool(&executor, &backend, patient());
    let before = pool.stats();
    assert!(pool.try_get().is_none());
    executor.run();
    assert_eq!((pool.stats(), backend.0.connects.calls()), (before, 0));
}

/// Counts what is asked of it: a measure of work that is no time.
struct Counting {
    inner: ManualClock,
    readings: Arc<AtomicUsize>,
}

impl Clock for Counting {
    fn now(&self) -> std::time::Instant {
        self.readings.fetch_add(1, Ordering::SeqCst);
        self.inner.now()
    }

    fn sleep_for(&self, until: std::time::Instant) -> Option<Duration> {
        self.inner.sleep_for(until)
    }

    fn subscribe(&self, on_jump: Waker) {
        self.inner.subscribe(on_jump);
    }
}

/// Sessions that were silent for too long, and how many calls of the backend and the clock one
/// `try_get` costs.
fn cost_of_a_try_get(sessions: usize) -> (u64, usize) {
    let backend = FakeBackend::new();
    let readings = Arc::new(AtomicUsize::new(0));
    let clock = Arc::new(Counting { inner: ManualClock::new(), readings: Arc::clone(&readings) });
    let config = patient().max_size(sessions).max_connecting(sessions).build().unwrap();
    let pool = Pool::builder(backend.clone()).config(config).clock(clock.clone()).build();
    for _ in 0..sessions {
        pool.add(Backend::connect(&backend).unwrap()).unwrap();
    }
    // A moment in the past for all of them, so that none can be lent without a check.
    clock.inner.advance(2 * SECOND);
    until(|| pool.stats().idle == sessions);
    let once = || {
        let (probes, before) = (backend.probes.calls(), readings.load(Ordering::SeqCst));
        assert!(pool.try_get().is_none());
        (backend.probes.calls() - probes, readings.load(Ordering::SeqCst) - before)
    };
    // A worker may read the clock meanwhile, as it was set forward.
    (0..20).map(|_| once()).min().unwrap()
}

#[test]
fn row_28_a_try_get_costs_the_same_at_ten_and_at_ten_thousand_sessions() {
    assert_eq!(cost_of_a_try_get(10), cost_of_a_try_get(10_000));
}

#[test]
fn as_many_wait_as_may_and_one_more_is_told_at_once() {
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    let pool = pool(&executor, &backend, patient().max_size(1).max_waiters(Some(2)));
    let lease = executor.block_on(pool.get()).unwrap();
    let mut waiting = [(); 2].map(|()| Box::pin(pool.get()));
    for acquire in &mut waiting {
        assert!(poll_once(acquire.as_mut()).is_none());
    }
    let refused = poll_once(pool.get());
    assert!(matches!(refused, Some(Err(AcquireError::Overloaded { waiting: 2 }))), "{refused:?}");
    drop(lease);
    let [first, second] = waiting;
    drop(executor.block_on(first).unwrap());
    drop(executor.block_on(second).unwrap());
    assert_eq!(pool.stats().counters.overloaded, 1);
    adds_up(&pool);
}

#[test]
fn nobody_could_ever_be_served_where_nobody_may_wait() {
    let error = Config::builder().max_waiters(Some(0)).build().unwrap_err();
    assert_eq!(error.field(), "max_waiters");
}

#[test]
fn a_slow_acquire_is_logged_with_how_long_and_for_what_it_waited() {
    log::keep();
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    let config = patient().max_size(1).slow_acquire(Some(SECOND));
    let pool = pool(&executor, &backend, config);
    let lease = executor.block_on(pool.get()).unwrap();
    let line = line!() + 1;
    let mut waiting = Box::pin(pool.get());
    assert!(poll_once(waiting.as_mut()).is_none());
    executor.advance(3 * SECOND);
    drop(lease);
    drop(executor.block_on(waiting).unwrap());
    let site = format!("asking.rs:{line}:");
    let lines = log::lines(&["WARN", &site]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("3s") && lines[0].contains("Return"), "{lines:?}");

    let lease = executor.block_on(pool.get()).unwrap();
    let line = line!() + 1;
    let mut waiting = Box::pin(pool.get());
    assert!(poll_once(waiting.as_mut()).is_none());
    executor.advance(SECOND);
    drop(lease);
    drop(executor.block_on(waiting).unwrap());
    let lines = log::lines(&["WARN", &format!("asking.rs:{line}:")]);
    assert_eq!(lines.len(), 0, "no longer than it may: {lines:?}");
}

#[test]
fn a_lease_that_is_out_for_long_is_logged_once_with_the_line_that_acquired_it() {
    log::keep();
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    let seen = Arc::new(Seen::default());
    let config = patient().leak_after(Some(60 * SECOND)).build().unwrap();
    let pool = AsyncPool::builder_on(executor.runtime(), backend)
        .config(config)
        .observer(seen.clone())
        .build();
    let line = line!() + 1;
    let lease = executor.block_on(pool.get()).unwrap();
    executor.advance(HOUR);
    drop(lease);
    let site = format!("asking.rs:{line}:");
    let lines = log::lines(&["WARN", &site]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let long = |event: &Event| {
        matches!(event, Event::HeldLong { site, held, .. }
            if site.line() == line && *held == 60 * SECOND)
    };
    assert_eq!(seen.count(long), 1);
    // One that comes back in time is not.
    let line = line!() + 1;
    let lease = executor.block_on(pool.get()).unwrap();
    executor.advance(59 * SECOND);
    drop(lease);
    executor.advance(HOUR);
    assert_eq!(log::lines(&["WARN", &format!("asking.rs:{line}:")]), Vec::<String>::new());
}
