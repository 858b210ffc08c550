//! What a pool of tasks asks of its runtime: alarms, wakers, and which clock it may go by.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use pool_core::{
    AsyncBackend, AsyncPool, BoxFuture, Clock, Config, ConfigBuilder, Runtime, SystemClock,
    TokioRuntime,
};
use pool_model::{Behaviour, Executor, FakeAsyncBackend, FakeBackend, FakeError, FakeSession};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// The test's runtime, with some of its parts replaced.
#[derive(Default)]
struct Spied {
    executor: Executor,
    /// What it calls itself, if that is not left out.
    id: Option<u64>,
    /// Tasks are kept, and not run.
    stands_still: bool,
    kept: Mutex<Vec<BoxFuture<()>>>,
    alarms: AtomicUsize,
    /// How often it was asked what it is called.
    asked: AtomicUsize,
    /// The next alarm rings at once.
    rings_early: AtomicBool,
    /// The wakers of its tasks, if they are to be counted.
    wakers: Option<Mutex<Vec<Weak<Forwards>>>>,
}

/// Wakes whoever was polled last.
#[derive(Default)]
struct Forwards(Mutex<Option<Waker>>);

impl Wake for Forwards {
    fn wake(self: Arc<Self>) {
        if let Some(waker) = self.0.lock().unwrap().take() {
            waker.wake();
        }
    }
}

impl Clock for Spied {
    fn now(&self) -> Instant {
        self.executor.now()
    }
}

impl Runtime for Spied {
    fn spawn(&self, mut task: BoxFuture<()>) -> bool {
        if self.stands_still {
            self.kept.lock().unwrap().push(task);
            return true;
        }
        let Some(wakers) = &self.wakers else { return self.executor.spawn(task) };
        let forwards = Arc::new(Forwards::default());
        wakers.lock().unwrap().push(Arc::downgrade(&forwards));
        self.executor.spawn(Box::pin(poll_fn(move |cx| {
            *forwards.0.lock().unwrap() = Some(cx.waker().clone());
            task.as_mut().poll(&mut Context::from_waker(&Waker::from(forwards.clone())))
        })))
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        self.alarms.fetch_add(1, Ordering::Relaxed);
        match self.rings_early.swap(false, Ordering::Relaxed) {
            true => Box::pin(std::future::ready(())),
            false => self.executor.sleep_until(at),
        }
    }

    fn id(&self) -> Option<u64> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.id
    }
}

/// As [`Spied`], and says nothing of where it is.
struct Nameless(Spied);

impl Clock for Nameless {
    fn now(&self) -> Instant {
        self.0.now()
    }
}

impl Runtime for Nameless {
    fn spawn(&self, task: BoxFuture<()>) -> bool {
        self.0.spawn(task)
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        self.0.sleep_until(at)
    }
}

fn pool(
    runtime: Arc<dyn Runtime>,
    backend: &FakeBackend,
    config: ConfigBuilder,
) -> AsyncPool<FakeAsyncBackend> {
    let config = config.idle_timeout(None).max_lifetime(None).jitter(0.0).build().unwrap();
    let backend = FakeAsyncBackend(backend.clone());
    AsyncPool::builder_on(runtime, backend).config(config).build()
}

fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

#[test]
fn an_acquire_minds_its_deadline_where_runtimes_have_no_names_and_the_driver_stands_still() {
    let spied = Spied { stands_still: true, ..Spied::default() };
    let executor = spied.executor.clone();
    let pool = pool(Arc::new(Nameless(spied)), &FakeBackend::new(), Config::builder());
    // The second one knows that there is a driver, and not where.
    for _ in 0..2 {
        let start = executor.now();
        let error = executor.block_on(pool.get_timeout(5 * SECOND)).unwrap_err();
        assert!(error.is_timeout() && executor.now() - start == 5 * SECOND);
    }
}

#[test]
fn an_acquire_sets_one_alarm_of_its_own_and_none_where_the_driver_is_on_its_runtime() {
    let [driver_s, own] = [Some(7), None].map(|id| {
        let spied = Arc::new(Spied { id, ..Spied::default() });
        let pool = pool(spied.clone(), &FakeBackend::new(), Config::builder().max_size(1));
        let _lent = spied.executor.block_on(pool.get()).unwrap();
        let mut waiting = Box::pin(pool.get_timeout(5 * SECOND));
        assert!(poll_once(waiting.as_mut()).is_none());
        spied.executor.run();
        let alarms = spied.alarms.load(Ordering::Relaxed);
        for _ in 0..3 {
            assert!(poll_once(waiting.as_mut()).is_none());
        }
        assert_eq!(spied.alarms.load(Ordering::Relaxed), alarms);
        alarms
    });
    assert_eq!(own, driver_s + 1);
}

#[test]
fn an_acquire_looks_for_no_driver_where_there_is_one() {
    let spied = Arc::new(Spied { id: Some(7), ..Spied::default() });
    let pool = pool(spied.clone(), &FakeBackend::new(), Config::builder().max_size(1));
    drop(spied.executor.block_on(pool.get()).unwrap());
    let asked = || spied.asked.load(Ordering::Relaxed);
    let before = asked();
    let _lent = poll_once(pool.get()).unwrap().unwrap();
    assert_eq!(asked(), before, "what is ready needs none");
    let mut waiting = Box::pin(pool.get());
    assert!(poll_once(waiting.as_mut()).is_none());
    assert_eq!(asked(), before + 1, "by its deadline alone");
}

#[test]
fn an_alarm_that_rings_early_is_set_again() {
    // Only the driver sets one for a deadline.
    let spied = Arc::new(Spied { id: Some(7), ..Spied::default() });
    let backend = FakeBackend::new();
    let config = Config::builder().check_after_idle(Duration::MAX);
    let config = config.keepalive_interval(Some(30 * SECOND));
    let pool = pool(spied.clone(), &backend, config);
    drop(spied.executor.block_on(pool.get()).unwrap());
    spied.executor.run();
    spied.executor.advance(29 * SECOND);
    spied.rings_early.store(true, Ordering::Relaxed);
    drop(spied.executor.block_on(pool.get()).unwrap());
    spied.executor.advance(2 * SECOND);
    assert!(!spied.rings_early.load(Ordering::Relaxed), "it was set for 30 s later");
    assert_eq!(backend.keepalives.calls(), 0);
    spied.executor.advance(30 * SECOND);
    assert_eq!(backend.keepalives.calls(), 1);
}

#[test]
fn a_driver_that_has_ended_leaves_no_waker_behind() {
    let spied = Arc::new(Spied { wakers: Some(Mutex::default()), ..Spied::default() });
    let pool = pool(spied.clone(), &FakeBackend::new(), Config::builder());
    drop(spied.executor.block_on(pool.get()).unwrap());
    spied.executor.block_on(pool.close()).unwrap();
    spied.executor.run();
    let wakers = spied.wakers.as_ref().unwrap().lock().unwrap();
    let kept = wakers.iter().filter(|waker| waker.strong_count() > 0).count();
    assert_eq!((wakers.len(), kept, spied.executor.alive()), (3, 0, 0));
}

/// A connect that closes its own pool as it is polled, and hangs.
struct Suicidal(OnceLock<AsyncPool<Suicidal>>);

impl AsyncBackend for Suicidal {
    type Session = FakeSession;
    type Error = FakeError;

    async fn connect(&self) -> Result<FakeSession, FakeError> {
        let _ = poll_once(self.0.get().unwrap().close_timeout(HOUR));
        std::future::pending().await
    }

    fn is_broken(&self, _: &mut FakeSession) -> bool {
        false
    }

    async fn check(&self, _: &mut FakeSession) -> Result<(), FakeError> {
        Ok(())
    }
}

#[test]
fn a_connect_that_is_given_up_while_it_is_polled_ends_at_once() {
    let executor = Executor::new();
    let config = Config::builder().connect_timeout(HOUR).build().unwrap();
    let backend = Suicidal(OnceLock::new());
    let pool = AsyncPool::builder_on(executor.runtime(), backend).config(config).build();
    assert!(pool.backend().0.set(pool.clone()).is_ok());
    assert!(poll_once(pool.get()).is_none());
    executor.run();
    assert!(poll_once(pool.close()).is_some_and(|closed| closed.is_ok()));
    assert_eq!(pool.stats().hung(), 0, "its future was dropped");
}

#[test]
fn whoever_exchanges_a_lease_keeps_its_place_and_no_better_one() {
    let (executor, backend) = (Executor::new(), FakeBackend::new());
    let config = Config::builder().max_size(3).check_after_idle(Duration::MAX);
    let pool = pool(executor.runtime(), &backend, config);
    let lent = [(); 3].map(|()| executor.block_on(pool.get()).unwrap());
    let killers: Vec<_> = lent.iter().map(|session| session.killer()).collect();
    let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(pool.get_timeout(HOUR))).collect();
    for one in &mut waiting {
        assert!(poll_once(one.as_mut()).is_none());
    }
    drop(lent);
    let third = waiting.pop().unwrap();
    let third = poll_once(third).unwrap().unwrap();
    backend.connects.always(Behaviour::Block);
    // The first two find theirs broken, and wait again in their places.
    for (session, kill) in killers.iter().enumerate() {
        if session as u64 != third.id {
            kill();
        }
    }
    for one in &mut waiting {
        assert!(poll_once(one.as_mut()).is_none());
    }
    let mut third = Box::pin(pool.exchange(third));
    assert!(poll_once(third.as_mut()).is_none());
    let first = poll_once(waiting[0].as_mut()).expect("what came back is for the first");
    executor.run();
    backend.connects.open(1);
    executor.run();
    assert!(poll_once(third.as_mut()).is_none(), "the second came before");
    let second = poll_once(waiting[1].as_mut()).expect("the next one is for the second");
    drop((first, second));
}

#[tokio::test]
async fn a_session_that_is_added_comes_back_where_there_is_no_room() {
    let backend = FakeBackend::new();
    let pool = AsyncPool::new(
        FakeAsyncBackend(backend.clone()),
        Config::builder().max_size(1).build().unwrap(),
    );
    let session = || pool_core::Backend::connect(&backend).unwrap();
    pool.add(session()).unwrap();
    assert_eq!(pool.add(session()).unwrap_err().id, 1);
    assert_eq!(pool.stats().idle, 1);
    assert!(pool.try_get().is_some());
}

#[test]
fn runtimes_of_tokio_have_names_and_elsewhere_there_is_none() {
    let named = TokioRuntime::default();
    let runtimes = [(); 2].map(|()| tokio::runtime::Builder::new_current_thread().build().unwrap());
    let [one, other] = runtimes.each_ref().map(|runtime| runtime.block_on(async { named.id() }));
    assert!(one.is_some() && other.is_some() && one != other);
    assert_eq!(runtimes[0].block_on(async { named.id() }), one);
    assert_eq!(named.id(), None);
}

#[tokio::test]
async fn the_cheap_clock_is_used_where_time_is_the_system_s() {
    let runtime = TokioRuntime::default();
    // Both have to be read in one tick, once.
    let same = (0..1000).any(|_| runtime.coarse() == SystemClock.coarse());
    assert!(same);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_stands_still_is_not_taken_for_the_system_s() {
    let runtime = TokioRuntime::default();
    drop(runtime.sleep_until(runtime.now()));
    for _ in 0..3 {
        runtime.coarse();
        tokio::time::advance(10 * SECOND).await;
        assert_eq!(runtime.coarse(), runtime.now());
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_set_forward_and_goes_on_is_not_taken_for_the_system_s() {
    tokio::time::advance(10 * SECOND).await;
    tokio::time::resume();
    let runtime = TokioRuntime::default();
    drop(runtime.sleep_until(runtime.now()));
    assert!(runtime.now() - runtime.coarse() < SECOND);
}
