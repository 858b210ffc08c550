//! Borrowers at work: the loads that both the criterion targets and the tables measure.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use crate::pools::{TaskPool, ThreadPool};

/// A runtime on one thread.
pub fn one_thread() -> Runtime {
    built(Builder::new_current_thread().enable_all())
}

/// A runtime with two worker threads.
pub fn two_threads() -> Runtime {
    built(Builder::new_multi_thread().worker_threads(2).enable_all())
}

fn built(builder: &mut Builder) -> Runtime {
    builder.build().unwrap_or_else(|error| panic!("no runtime: {error}"))
}

/// Borrows that many at once, so that they are open afterwards.
pub fn fill<P: ThreadPool>(pool: &P, sessions: usize) {
    drop((0..sessions).map(|_| pool.take().unwrap()).collect::<Vec<_>>());
}

/// Borrows that many at once, so that they are open afterwards.
pub async fn fill_async<P: TaskPool>(pool: &P, sessions: usize) {
    let mut held = Vec::with_capacity(sessions);
    for _ in 0..sessions {
        held.push(pool.take().await.unwrap());
    }
}

/// The time of that many checkouts, one after the other.
pub fn alone<P: ThreadPool>(pool: &P, checkouts: u64) -> Duration {
    let start = Instant::now();
    for _ in 0..checkouts {
        black_box(*pool.take().unwrap());
    }
    start.elapsed()
}

/// The time of that many checkouts, one after the other.
pub async fn alone_async<P: TaskPool>(pool: &P, checkouts: u64) -> Duration {
    let start = Instant::now();
    for _ in 0..checkouts {
        black_box(*pool.take().await.unwrap());
    }
    start.elapsed()
}

/// The time in which that many threads together make that many checkouts.
pub fn crowd<P: ThreadPool>(pool: &P, threads: u64, checkouts: u64) -> Duration {
    let barrier = Barrier::new(threads as usize + 1);
    std::thread::scope(|scope| {
        let at_work: Vec<_> = (0..threads)
            .map(|index| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    alone(pool, share(checkouts, threads, index));
                })
            })
            .collect();
        barrier.wait();
        let start = Instant::now();
        for thread in at_work {
            thread.join().unwrap();
        }
        start.elapsed()
    })
}

/// The time in which that many tasks together make that many checkouts, each of which yields.
pub async fn crowd_async<P: TaskPool>(pool: &P, tasks: u64, checkouts: u64) -> Duration {
    let start = Instant::now();
    let at_work: Vec<_> = (0..tasks)
        .map(|index| {
            let pool = pool.clone();
            tokio::spawn(async move {
                for _ in 0..share(checkouts, tasks, index) {
                    let lent = pool.take().await.unwrap();
                    tokio::task::yield_now().await;
                    black_box(*lent);
                }
            })
        })
        .collect();
    for task in at_work {
        task.await.unwrap();
    }
    start.elapsed()
}

fn share(all: u64, among: u64, index: u64) -> u64 {
    all / among + u64::from(index < all % among)
}
