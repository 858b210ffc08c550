//! What ten thousand sessions cost.

use std::hint::black_box;
use std::time::{Duration, Instant};

use benches::load::{alone, alone_async, fill, fill_async, one_thread};
use benches::pools::{AsyncOurs, Bb8, Deadpool, Mobc, Numbers, Ours, R2d2, TaskPool, ThreadPool};
use pool_core::Config;
use pool_core::core::{Core, Task};
use tokio::runtime::Runtime;

use crate::ALLOCATOR;
use crate::table::{Figure, Subject, Table, median};

const SESSIONS: usize = 10_000;
/// How many of them are due in a tick that finds work: 1 %.
const DUE: usize = 100;
const CHECKOUTS: u64 = 10_000;

const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn tables(rounds: u32) -> Vec<Table> {
    vec![ticks(rounds), memory(), half_lent(rounds)]
}

/// The core's share of a maintenance tick: what runs under the pool's lock.
fn ticks(rounds: u32) -> Table {
    let keepalives = Config::builder()
        .max_size(SESSIONS)
        .max_maintaining(DUE)
        .keepalive_interval(Some(30 * SECOND))
        .max_lifetime(None)
        .idle_timeout(None);
    let expiry = Config::builder()
        .max_size(SESSIONS)
        .max_maintaining(DUE)
        .idle_timeout(None)
        .max_lifetime(Some(30 * SECOND));
    let micros = Figure { title: "µs", digits: 2, ratio: false };
    let mut table = Table::new("A maintenance tick over 10,000 idle sessions", &[micros]);
    for (kind, builder) in [("keepalives", keepalives), ("expiry", expiry)] {
        let config = builder.build().unwrap_or_default();
        let time = |now: Duration, work: bool| {
            median((0..rounds).map(|_| tick(&config, now, work)).collect())
        };
        table = table
            .row(format!("{kind}: none due"), vec![time(20 * SECOND, false)])
            .row(format!("{kind}: 1 % due, found and queued"), vec![time(30 * SECOND, false)])
            .row(format!("{kind}: 1 % due, done and booked"), vec![time(30 * SECOND, true)]);
    }
    table
}

/// One percent of the sessions is ten seconds older than the others, and so due at 30 s.
fn tick(config: &Config, now: Duration, work: bool) -> f64 {
    let mut core = Core::<u64, ()>::new(config.clone(), false);
    let start = Instant::now();
    let later = start + 10 * SECOND;
    for index in 0..SESSIONS {
        let at = if index < DUE { start } else { later };
        assert_eq!(core.add(index as u64, at), Ok(()));
    }
    let now = start + now;
    core.handle_timeout(now - SECOND); // finds nothing, and has the caches warm
    let begun = Instant::now();
    core.handle_timeout(now);
    if work {
        while let Some(task) = core.poll_task(now) {
            match task {
                Task::Check { slot, session, .. } => core.checked(slot, Some(session), true, now),
                Task::Close { slot, session, .. } => {
                    black_box(session);
                    core.closed(slot, now);
                }
                task => unreachable!("{task:?} is nobody's wish"),
            }
        }
    }
    let time = begun.elapsed();
    let found = core.stats().counters;
    if work && now >= start + 30 * SECOND {
        assert_eq!(found.keepalives + found.closed_total(), DUE as u64);
    }
    time.as_nanos() as f64 / 1e3
}

fn memory() -> Table {
    let bytes = Figure { title: "bytes", digits: 0, ratio: false };
    Table::new("Memory per idle slot at 10,000, beyond the session's own 8 bytes", &[bytes])
        .row("sync: ours", vec![bytes_by_threads::<Ours>()])
        .row("sync: r2d2", vec![bytes_by_threads::<R2d2>()])
        .row("async: ours", vec![bytes_by_tasks::<AsyncOurs>()])
        .row("async: deadpool", vec![bytes_by_tasks::<Deadpool>()])
        .row("async: bb8", vec![bytes_by_tasks::<Bb8>()])
        .row("async: mobc", vec![bytes_by_tasks::<Mobc>()])
}

fn bytes_by_threads<P: ThreadPool>() -> f64 {
    let before = allocated();
    let pool = P::open(Numbers::default(), SESSIONS, None);
    fill(&pool, SESSIONS);
    let bytes = per_slot(before);
    drop(pool);
    // Its threads may take a while to end, and the next pool is not to be credited with it.
    std::thread::sleep(SECOND);
    bytes
}

fn bytes_by_tasks<P: TaskPool>() -> f64 {
    // A runtime of its own, which ends with all that it runs.
    one_thread().block_on(async {
        let before = allocated();
        let pool = P::open(Numbers::default(), SESSIONS, None);
        fill_async(&pool, SESSIONS).await;
        // What goes back by way of a task has come when the tasks have run.
        tokio::time::sleep(Duration::from_millis(50)).await;
        per_slot(before)
    })
}

/// Bytes that are allocated now.
fn allocated() -> isize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as isize - stats.bytes_deallocated as isize
}

fn per_slot(before: isize) -> f64 {
    (allocated() - before) as f64 / SESSIONS as f64 - size_of::<u64>() as f64
}

fn half_lent(rounds: u32) -> Table {
    let runtime = one_thread();
    let sync = vec![busy_threads::<Ours>(), busy_threads::<R2d2>()];
    let tasks = vec![
        busy_tasks::<AsyncOurs>(&runtime),
        busy_tasks::<Deadpool>(&runtime),
        busy_tasks::<Bb8>(&runtime),
        busy_tasks::<Mobc>(&runtime),
    ];
    let nanos = Figure { title: "ns", digits: 0, ratio: true };
    let table = Table::new("Checkout and return with 10,000 sessions, half of them lent", &[nanos]);
    table.group("sync", rounds, sync).group("async", rounds, tasks)
}

fn busy_threads<P: ThreadPool>() -> Subject<'static> {
    let pool = P::open(Numbers::default(), SESSIONS, None);
    fill(&pool, SESSIONS);
    let held: Vec<_> = (0..SESSIONS / 2).map(|_| pool.take().unwrap()).collect();
    Subject::new(P::NAME, move || {
        black_box(&held);
        vec![alone(&pool, CHECKOUTS).as_nanos() as f64 / CHECKOUTS as f64]
    })
}

fn busy_tasks<P: TaskPool>(runtime: &Runtime) -> Subject<'_> {
    let pool = runtime.block_on(async {
        let pool = P::open(Numbers::default(), SESSIONS, None);
        fill_async(&pool, SESSIONS).await;
        // Lent for as long as the process lives: some of the peers' guards borrow their pool.
        for _ in 0..SESSIONS / 2 {
            std::mem::forget(pool.take().await.unwrap());
        }
        pool
    });
    Subject::new(P::NAME, move || {
        let time = runtime.block_on(alone_async(&pool, CHECKOUTS));
        vec![time.as_nanos() as f64 / CHECKOUTS as f64]
    })
}
