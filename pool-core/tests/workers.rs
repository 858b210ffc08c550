//! How many threads work for a pool, and for how long. One test, as it counts the threads of its
//! process; it takes the five seconds for which those beyond the first stay without work.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use pool_core::{Config, ConfigBuilder, Guard, Pool};
use pool_model::{Behaviour, FakeBackend, ManualClock};

const SECOND: Duration = Duration::from_secs(1);

/// Far beyond what anything here takes.
const WATCHDOG: Duration = Duration::from_secs(40);

type Threads = BTreeSet<OsString>;

/// All threads of this process that the kernel knows, by number.
fn threads() -> Threads {
    let all = std::fs::read_dir("/proc/self/task").unwrap();
    all.map(|entry| entry.unwrap().file_name()).collect()
}

/// Whether all of these threads wait for something.
fn sleep(threads: &Threads) -> bool {
    threads.iter().all(|thread| {
        let stat = std::path::Path::new("/proc/self/task").join(thread).join("stat");
        let stat = std::fs::read_to_string(stat).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
    })
}

#[track_caller]
fn until(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < WATCHDOG, "what is waited for does not happen");
        thread::yield_now();
    }
}

/// A pool in which nothing is ever due, unless the settings say so, and its clock.
fn pool(settings: ConfigBuilder) -> (Pool<FakeBackend>, FakeBackend, Arc<ManualClock>) {
    let (backend, clock) = (FakeBackend::new(), Arc::new(ManualClock::new()));
    let config = settings.idle_timeout(None).max_lifetime(None).jitter(0.0).build().unwrap();
    let pool = Pool::builder(backend.clone()).config(config).clock(clock.clone()).build();
    (pool, backend, clock)
}

#[test]
fn one_worker_is_there_as_long_as_anything_is_open_and_more_only_while_they_are_needed() {
    let before = threads();
    let (burst, burst_backend, clock) =
        pool(Config::builder().keepalive_interval(Some(30 * SECOND)));
    assert_eq!(threads(), before, "where nothing is wanted none is started");
    let lent = [(); 3].map(|()| burst.get().unwrap());
    drop(lent);
    burst_backend.closes.always(Behaviour::Block);
    burst.evict_all();
    burst_backend.closes.wait_for_calls(3);
    // Three close a session each, and one is on watch.
    until(|| threads().len() >= before.len() + 4);
    burst_backend.closes.open(99);
    let of_burst = threads();
    let workers = of_burst.difference(&before).cloned().collect();
    until(|| burst.stats().closing == 0 && sleep(&workers));
    drop(burst.get().unwrap());
    burst.resize(5);
    assert_eq!(threads(), of_burst, "no more are started where there are some");

    // Those of a pool that was closed end at once, long before those that have nothing to do.
    let (closed, ..) = pool(Config::builder());
    drop(closed.get().unwrap());
    let of_closed: Threads = threads().difference(&of_burst).cloned().collect();
    assert!(!of_closed.is_empty());
    closed.close().unwrap();
    until(|| threads().is_disjoint(&of_closed));
    assert!(threads().is_superset(&of_burst));

    let (lending, lending_backend, _) = pool(Config::builder());
    let mut lent = lending.get().unwrap();
    let (empty, empty_backend, _) = pool(Config::builder());
    drop(empty.get().unwrap());
    empty.evict_all();
    until(|| empty_backend.truth.closed() == 1);

    // One keeps watch over the idle session, one over the session that is lent.
    until(|| threads().len() == before.len() + 2);
    clock.advance(30 * SECOND);
    until(|| burst_backend.keepalives.calls() == 1);
    Guard::mark_broken(&mut lent);
    drop(lent);
    until(|| lending_backend.truth.closed() == 1);
    drop(empty.get().unwrap());
    for pool in [burst, lending, empty] {
        pool.close().unwrap();
    }
    until(|| threads() == before);
}
