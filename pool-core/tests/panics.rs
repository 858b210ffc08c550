//! I27 and I28: every call of somebody else's code looks at the pool, and panics once at each
//! number; the pool goes on with its books in order.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use pool_core::{AsyncPool, AsyncPooled, Backend, Config, ErrorKind, Guard, Pool, Pooled, Stats};
use pool_model::{Behaviour, Call, Executor, ManualClock, SpyBackend, SpySession, audit};

const SECOND: Duration = Duration::from_secs(1);
const SIZE: usize = 3;

/// Told panics need no backtrace.
fn hush() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let payload = info.payload();
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or(payload.downcast_ref::<&str>().copied());
            if !text.is_some_and(|text| text.contains("as told")) {
                hook(info);
            }
        }));
    });
}

fn config() -> Config {
    let hours = 3600 * SECOND;
    Config::builder()
        .max_size(SIZE)
        .min_idle(1)
        .acquire_timeout(Some(10_000 * hours))
        .connect_timeout(10_000 * hours)
        .check_timeout(10_000 * hours)
        .reset_timeout(10_000 * hours)
        .close_timeout(10_000 * hours)
        .max_lifetime(Some(hours))
        .idle_timeout(None)
        .keepalive_interval(Some(30 * SECOND))
        .seed(Some(1))
        .build()
        .unwrap()
}

/// What the script needs of either front.
trait Front {
    type Guard: std::ops::DerefMut<Target = SpySession>;

    fn get(&self) -> Self::Guard;
    fn detach(&self, guard: Self::Guard);
    /// Returns a session and waits for what follows, where the front can.
    fn release(&self, guard: Self::Guard);
    fn settle(&self);
    fn advance(&self, by: Duration);
    /// Lets three borrowers queue behind a held session, one of them giving up.
    fn contend(&self);
    fn add(&self, session: SpySession) -> Result<(), SpySession>;
    fn retain(&self, keep: &mut dyn FnMut(&mut SpySession) -> bool);
    fn evict_all(&self);
    fn resize(&self, size: usize);
    fn close(&self);
    fn stats(&self) -> Stats;
}

struct Async {
    executor: Executor,
    backend: SpyBackend,
    pool: AsyncPool<SpyBackend>,
}

impl Async {
    fn new() -> Self {
        let executor = Executor::new();
        let backend = SpyBackend::default();
        let builder = AsyncPool::builder_on(executor.runtime(), backend.clone()).config(config());
        let pool = builder.observer(Arc::new(backend.spy.clone())).build();
        let watched = pool.clone();
        backend.spy.look_with(move || assert!(watched.stats().max_size <= SIZE));
        Self { executor, backend, pool }
    }
}

impl Front for Async {
    type Guard = AsyncPooled<SpyBackend>;

    fn get(&self) -> Self::Guard {
        self.executor.block_on(self.pool.get()).unwrap()
    }

    fn detach(&self, guard: Self::Guard) {
        drop(Guard::detach(guard));
    }

    fn release(&self, guard: Self::Guard) {
        self.executor.block_on(self.pool.release(guard));
    }

    fn settle(&self) {
        self.executor.run();
    }

    fn advance(&self, by: Duration) {
        self.executor.advance(by);
    }

    fn contend(&self) {
        let held: Vec<_> = (0..SIZE).map(|_| self.get()).collect();
        let spy = &self.backend.spy;
        let waker = spy.waker(Waker::noop().clone());
        let mut gone = Box::pin(self.pool.get());
        let polled = pin!(&mut gone).poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        let pool = self.pool.clone();
        let (cloned, outer) = (spy.clone(), self.executor.clone());
        outer.start(async move {
            let mut get = Box::pin(pool.get());
            let guard = std::future::poll_fn(|cx| {
                let waker = cloned.waker(cx.waker().clone());
                let polled = get.as_mut().poll(&mut Context::from_waker(&waker));
                drop(waker);
                polled
            });
            drop(guard.await);
        });
        self.executor.run();
        drop(waker);
        drop(gone);
        drop(held);
        self.executor.run();
    }

    fn add(&self, session: SpySession) -> Result<(), SpySession> {
        self.pool.add(session)
    }

    fn retain(&self, keep: &mut dyn FnMut(&mut SpySession) -> bool) {
        self.pool.retain(keep);
    }

    fn evict_all(&self) {
        self.pool.evict_all();
    }

    fn resize(&self, size: usize) {
        self.pool.resize(size);
    }

    fn close(&self) {
        let waker = self.backend.spy.waker(Waker::noop().clone());
        let polled = pin!(self.pool.close()).poll(&mut Context::from_waker(&waker));
        drop(waker);
        if polled.is_pending() {
            self.executor.block_on(self.pool.close()).unwrap();
        }
        // One that comes late finds the pool drained, and its waker unneeded.
        let waker = self.backend.spy.waker(Waker::noop().clone());
        let mut late = pin!(self.pool.close());
        assert!(late.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
    }

    fn stats(&self) -> Stats {
        self.pool.stats()
    }
}

struct Sync {
    clock: Arc<ManualClock>,
    pool: Pool<SpyBackend>,
}

impl Sync {
    fn new() -> (Self, SpyBackend) {
        let clock = Arc::new(ManualClock::new());
        let backend = SpyBackend::default();
        let builder = Pool::builder(backend.clone()).config(config()).clock(clock.clone());
        let pool = builder.observer(Arc::new(backend.spy.clone())).build();
        let watched = pool.clone();
        backend.spy.look_with(move || assert!(watched.stats().max_size <= SIZE));
        (Self { clock, pool }, backend)
    }

    /// Yields until something is so; where nothing but a backoff holds it up, time passes.
    fn until(&self, what: impl Fn() -> bool) {
        while !what() {
            let s = self.pool.stats();
            let busy = s.connecting + s.checking + s.resetting + s.closing + s.reserved;
            if busy == 0 && s.open() < s.max_size {
                self.clock.advance(SECOND / 100);
            }
            thread::yield_now();
        }
    }
}

impl Front for Sync {
    type Guard = Pooled<SpyBackend>;

    fn get(&self) -> Self::Guard {
        thread::scope(|scope| {
            let borrower = scope.spawn(|| self.pool.get().unwrap());
            self.until(|| borrower.is_finished());
            borrower.join().unwrap()
        })
    }

    fn detach(&self, guard: Self::Guard) {
        drop(Guard::detach(guard));
    }

    fn release(&self, guard: Self::Guard) {
        drop(guard);
        self.settle();
    }

    fn settle(&self) {
        self.until(|| {
            let s = self.pool.stats();
            s.connecting + s.checking + s.resetting + s.closing + s.reserved + s.waiting == 0
        });
    }

    fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.settle();
    }

    fn contend(&self) {
        let held: Vec<_> = (0..SIZE).map(|_| self.get()).collect();
        thread::scope(|scope| {
            let waiting: Vec<_> = (0..3).map(|_| scope.spawn(|| drop(self.pool.get()))).collect();
            self.until(|| self.pool.stats().waiting == 3);
            drop(held);
            for borrower in waiting {
                self.until(|| borrower.is_finished());
                borrower.join().unwrap();
            }
        });
    }

    fn add(&self, session: SpySession) -> Result<(), SpySession> {
        self.pool.add(session)
    }

    fn retain(&self, keep: &mut dyn FnMut(&mut SpySession) -> bool) {
        self.pool.retain(keep);
    }

    fn evict_all(&self) {
        self.pool.evict_all();
    }

    fn resize(&self, size: usize) {
        self.pool.resize(size);
    }

    fn close(&self) {
        self.pool.close_timeout(Duration::MAX).unwrap();
    }

    fn stats(&self) -> Stats {
        self.pool.stats()
    }
}

/// Goes through every method of the backend more than once. What panics in the caller's own code
/// (its predicate, its detached session) is the caller's to catch.
fn script(front: &impl Front, backend: &SpyBackend) {
    let transient = Behaviour::Err(ErrorKind::Transient);
    let fake = &backend.fake;
    let caught = |code: &mut dyn FnMut()| drop(catch_unwind(AssertUnwindSafe(code)));
    for _ in 0..2 {
        let (mut one, two) = (front.get(), front.get());
        one.mark_dirty();
        drop((one, two));
        front.settle();
        let mut dirty = front.get();
        dirty.mark_dirty();
        front.release(dirty);
        // A check before a borrow, and one that fails, so that the others are swept.
        front.advance(2 * SECOND);
        drop(front.get());
        drop((front.get(), front.get(), front.get()));
        fake.checks.next(transient);
        front.advance(2 * SECOND);
        drop(front.get());
        front.advance(40 * SECOND);
        front.advance(40 * SECOND);
        // A killed session is replaced, and its successor's connect fails first.
        let victim = front.get();
        let kill = victim.killer();
        drop(victim);
        kill();
        fake.connects.next(transient);
        drop((front.get(), front.get(), front.get()));
        front.contend();
        caught(&mut || {
            front.retain(&mut |session| {
                backend.spy.note(Call::Predicate);
                !session.id.is_multiple_of(3)
            });
        });
        caught(&mut || front.detach(front.get()));
        caught(&mut || {
            let Ok(extra) = Backend::connect(backend) else { return };
            drop(front.add(extra));
        });
        front.resize(1);
        front.settle();
        front.resize(SIZE);
        front.evict_all();
        front.settle();
    }
}

fn verify(front: &impl Front, backend: &SpyBackend, context: &dyn std::fmt::Debug) {
    backend.spy.disarm();
    front.settle();
    let all: Vec<_> = (0..SIZE).map(|_| front.get()).collect();
    drop(all);
    front.settle();
    audit(&front.stats(), &backend.fake.truth, context);
    front.close();
    audit(&front.stats(), &backend.fake.truth, context);
    assert_eq!(front.stats().open(), 0, "{context:?}");
    assert_eq!(backend.fake.truth.alive(), 0, "{context:?}");
}

#[test]
fn i28_every_callback_may_look_at_the_pool() {
    let front = Async::new();
    script(&front, &front.backend);
    verify(&front, &front.backend, &"async");
    for call in Call::ALL {
        assert!(front.backend.spy.calls(call) > 1, "{call:?} is never called");
    }
    let (front, backend) = Sync::new();
    script(&front, &backend);
    verify(&front, &backend, &"sync");
    for call in Call::ALL {
        // Parked threads have wakers of the pool's own.
        let foreign = !matches!(call, Call::Wake | Call::WakerDrop);
        assert!(!foreign || backend.spy.calls(call) > 1, "{call:?} is never called");
    }
}

#[test]
fn i27_a_panic_in_any_call_leaves_an_async_pool_usable() {
    hush();
    let calm = Async::new();
    script(&calm, &calm.backend);
    for call in Call::ALL {
        for number in 1..=calm.backend.spy.calls(call) {
            let front = Async::new();
            front.backend.spy.panic_in(call, number);
            let played = catch_unwind(AssertUnwindSafe(|| script(&front, &front.backend)));
            // A borrower's own waker may be dropped within its own poll.
            let own = call == Call::WakerDrop;
            assert!(own || played.is_ok(), "{call:?} number {number} reaches the borrower");
            verify(&front, &front.backend, &("async", call, number));
        }
    }
}

#[test]
fn i27_a_panic_in_any_call_leaves_a_sync_pool_usable() {
    hush();
    let (calm, backend) = Sync::new();
    script(&calm, &backend);
    for call in Call::ALL {
        for number in 1..=backend.spy.calls(call) {
            let (front, backend) = Sync::new();
            backend.spy.panic_in(call, number);
            let played = catch_unwind(AssertUnwindSafe(|| script(&front, &backend)));
            assert!(played.is_ok(), "{call:?} number {number} reaches the borrower");
            verify(&front, &backend, &("sync", call, number));
        }
    }
}
