//! Allocations per checkout, by everything in the process.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use benches::load::{alone, alone_async, fill, fill_async, one_thread};
use benches::pools::{AsyncOurs, Bb8, Deadpool, Mobc, Numbers, Ours, R2d2, TaskPool, ThreadPool};
use tokio::runtime::Runtime;

use crate::ALLOCATOR;
use crate::table::{Figure, Table};

const CHECKOUTS: u64 = 20_000;
const SESSIONS: usize = 8;
const BORROWERS: usize = 64;

const FIGURES: [Figure; 2] = [
    Figure { title: "nobody waits", digits: 3, ratio: false },
    Figure { title: "64 at work on 8, so 56 wait", digits: 3, ratio: false },
];

pub(crate) fn tables() -> Vec<Table> {
    let runtime = one_thread();
    let table = Table::new("Allocations per checkout and return", &FIGURES)
        .row("sync: ours", by_threads::<Ours>())
        .row("sync: r2d2", by_threads::<R2d2>())
        .row("async: ours", by_tasks::<AsyncOurs>(&runtime))
        .row("async: deadpool", by_tasks::<Deadpool>(&runtime))
        .row("async: bb8", by_tasks::<Bb8>(&runtime))
        .row("async: mobc", by_tasks::<Mobc>(&runtime));
    vec![table]
}

/// Allocations so far, those that grow something included.
fn allocations() -> usize {
    let stats = ALLOCATOR.stats();
    stats.allocations + stats.reallocations
}

fn by_threads<P: ThreadPool>() -> Vec<f64> {
    let pool = P::open(Numbers::default(), SESSIONS, None);
    fill(&pool, SESSIONS);
    alone(&pool, CHECKOUTS);
    let before = allocations();
    alone(&pool, CHECKOUTS);
    let nobody_waits = (allocations() - before) as f64 / CHECKOUTS as f64;

    let (stop, served) = (AtomicBool::new(false), AtomicU64::new(0));
    let barrier = Barrier::new(BORROWERS + 1);
    let held: Vec<_> = (0..SESSIONS).map(|_| pool.take().unwrap()).collect();
    let crowded = std::thread::scope(|scope| {
        for _ in 0..BORROWERS {
            scope.spawn(|| {
                barrier.wait();
                while !stop.load(Ordering::Relaxed) {
                    drop(pool.take().unwrap());
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // What a thread needs to wait is made once, so that each has waited before we count.
        barrier.wait();
        std::thread::sleep(Duration::from_millis(50));
        drop(held);
        let until = |count| {
            while served.load(Ordering::Relaxed) < count {
                std::thread::sleep(Duration::from_millis(1));
            }
            (allocations(), served.load(Ordering::Relaxed))
        };
        let (before, from) = until(CHECKOUTS);
        let (after, to) = until(from + CHECKOUTS);
        stop.store(true, Ordering::Relaxed);
        (after - before) as f64 / (to - from) as f64
    });
    vec![nobody_waits, crowded]
}

fn by_tasks<P: TaskPool>(runtime: &Runtime) -> Vec<f64> {
    runtime.block_on(async {
        let pool = P::open(Numbers::default(), SESSIONS, None);
        fill_async(&pool, SESSIONS).await;
        alone_async(&pool, CHECKOUTS).await;
        let before = allocations();
        alone_async(&pool, CHECKOUTS).await;
        let nobody_waits = (allocations() - before) as f64 / CHECKOUTS as f64;

        let served = Arc::new(AtomicU64::new(0));
        let mut at_work = tokio::task::JoinSet::new();
        for _ in 0..BORROWERS {
            let (pool, served) = (pool.clone(), Arc::clone(&served));
            at_work.spawn(async move {
                loop {
                    let _lent = pool.take().await.unwrap();
                    tokio::task::yield_now().await;
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let until = async |count| {
            while served.load(Ordering::Relaxed) < count {
                tokio::task::yield_now().await;
            }
            (allocations(), served.load(Ordering::Relaxed))
        };
        let (before, from) = until(CHECKOUTS).await;
        let (after, to) = until(from + CHECKOUTS).await;
        at_work.shutdown().await;
        vec![nobody_waits, (after - before) as f64 / (to - from) as f64]
    })
}
