//! What goes by the cheap clock, and what must not.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use pool_core::{Clock, Config, Event, KeyedConfig, KeyedPool, Observer, Pool, SystemClock};
use pool_model::{FakeBackend, ManualClock};

const MILLISECOND: Duration = Duration::from_millis(1);

/// A clock whose cheap reading stands still.
struct Lagging {
    clock: Arc<ManualClock>,
    start: Instant,
}

impl Clock for Lagging {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn coarse(&self) -> Instant {
        self.start
    }

    fn sleep_for(&self, until: Instant) -> Option<Duration> {
        self.clock.sleep_for(until)
    }

    fn subscribe(&self, on_jump: Waker) {
        self.clock.subscribe(on_jump);
    }
}

#[derive(Default)]
struct Held(Mutex<Vec<Duration>>);

impl Observer for Held {
    fn on_event(&self, event: &Event) {
        if let Event::Released { held, .. } = event {
            self.0.lock().unwrap().push(*held);
        }
    }
}

#[test]
fn an_observer_is_told_exact_times() {
    let clock = Arc::new(ManualClock::new());
    let held = Arc::new(Held::default());
    let pool = Pool::builder(FakeBackend::new())
        .clock(Arc::new(Lagging { start: clock.now(), clock: clock.clone() }))
        .observer(held.clone())
        .build();
    for _ in 0..2 {
        let session = pool.get().unwrap();
        clock.advance(3 * MILLISECOND);
        drop(session);
    }
    assert_eq!(*held.0.lock().unwrap(), [3 * MILLISECOND; 2]);
}

#[test]
fn a_short_timeout_is_never_cut_shorter() {
    let config = Config::builder().max_size(1).build().unwrap();
    let pool = Pool::new(FakeBackend::new(), config);
    let _held = pool.get().unwrap();
    for _ in 0..30 {
        let start = Instant::now();
        let error = pool.get_timeout(2 * MILLISECOND).unwrap_err();
        assert!(error.is_timeout(), "{error}");
        let waited = start.elapsed();
        assert!(waited >= 2 * MILLISECOND, "{waited:?}");
    }
}

#[test]
fn a_long_timeout_costs_no_look_at_the_dear_clock() {
    let clock = Arc::new(ManualClock::new());
    let config = Config::builder().max_size(1).build().unwrap();
    let pool = Pool::builder(FakeBackend::new())
        .config(config)
        .clock(Arc::new(Lagging { start: clock.now(), clock: clock.clone() }))
        .build();
    let held = pool.get().unwrap();
    clock.advance(5 * MILLISECOND);
    let waited = thread::scope(|scope| {
        let waiting = scope.spawn(|| pool.get_timeout(Duration::from_secs(1)).unwrap_err());
        while pool.stats().waiting == 0 {
            thread::yield_now();
        }
        // By the cheap clock its time began 5 ms ago.
        clock.advance(Duration::from_millis(995));
        waiting.join().unwrap()
    });
    assert!(waited.is_timeout(), "{waited}");
    drop(held);
}

/// Counts how often the dear clock is read on this thread.
struct Counting(thread::ThreadId, AtomicUsize);

impl Clock for Counting {
    fn now(&self) -> Instant {
        if thread::current().id() == self.0 {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
        Instant::now()
    }

    fn coarse(&self) -> Instant {
        SystemClock.coarse()
    }
}

#[test]
fn a_lease_of_a_keyed_pool_costs_no_look_at_the_dear_clock_unless_somebody_is_told() {
    let clock = Arc::new(Counting(thread::current().id(), AtomicUsize::new(0)));
    let per_key = Config::builder().idle_timeout(None).max_lifetime(None).build().unwrap();
    let config = KeyedConfig::new(per_key, 2).unwrap();
    let pool = KeyedPool::builder(config, |_: &u8| FakeBackend::new()).clock(clock.clone()).build();
    drop(pool.get(&1).unwrap());
    let before = clock.1.load(Ordering::Relaxed);
    drop(pool.get(&1).unwrap());
    assert_eq!(clock.1.load(Ordering::Relaxed), before);
}

#[test]
fn what_is_ready_costs_no_look_at_the_dear_clock_however_short_the_timeout() {
    let clock = Arc::new(Counting(thread::current().id(), AtomicUsize::new(0)));
    let config = Config::builder().idle_timeout(None).max_lifetime(None).build().unwrap();
    let pool = Pool::builder(FakeBackend::new()).config(config).clock(clock.clone()).build();
    // The hint that something is ready is there from the second one on.
    drop(pool.get().unwrap());
    drop(pool.get().unwrap());
    let before = clock.1.load(Ordering::Relaxed);
    drop(pool.get_timeout(MILLISECOND).unwrap());
    assert_eq!(clock.1.load(Ordering::Relaxed), before);
}
