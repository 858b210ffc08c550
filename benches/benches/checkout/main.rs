//! Checkout and return: ours beside r2d2, bb8, deadpool and mobc, in one process.
//!
//! Criterion measures one pool after the other; for ratios on a noisy machine see the binary
//! `pool_table`, which takes them in turn.

use std::time::Duration;

use benches::load::{
    alone, alone_async, crowd, crowd_async, fill, fill_async, one_thread, two_threads,
};
use benches::pools::{AsyncOurs, Bb8, Deadpool, Mobc, Numbers, Ours, R2d2, TaskPool, ThreadPool};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use tokio::runtime::Runtime;

const SESSIONS: usize = 10;

type Group<'a> = BenchmarkGroup<'a, WallTime>;

fn uncontended(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("uncontended/sync");
    by_one_thread::<Ours>(&mut group);
    by_one_thread::<R2d2>(&mut group);
    group.finish();

    let runtime = one_thread();
    let mut group = criterion.benchmark_group("uncontended/async");
    by_one_task::<AsyncOurs>(&mut group, &runtime);
    by_one_task::<Deadpool>(&mut group, &runtime);
    by_one_task::<Bb8>(&mut group, &runtime);
    by_one_task::<Mobc>(&mut group, &runtime);
    group.finish();
}

fn by_one_thread<P: ThreadPool>(group: &mut Group<'_>) {
    let pool = P::open(Numbers::default(), SESSIONS, None);
    fill(&pool, SESSIONS);
    group.bench_function(P::NAME, |bencher| {
        bencher.iter_custom(|checkouts| alone(&pool, checkouts));
    });
}

fn by_one_task<P: TaskPool>(group: &mut Group<'_>, runtime: &Runtime) {
    let pool = opened::<P>(runtime, SESSIONS);
    group.bench_function(P::NAME, |bencher| {
        bencher.iter_custom(|checkouts| runtime.block_on(alone_async(&pool, checkouts)));
    });
}

/// Nothing is done with the session.
fn threads(criterion: &mut Criterion) {
    for threads in [2, 8, 64] {
        let mut group = criterion.benchmark_group(format!("{threads} threads on 10"));
        by_threads::<Ours>(&mut group, threads);
        by_threads::<R2d2>(&mut group, threads);
        group.finish();
    }
}

fn by_threads<P: ThreadPool>(group: &mut Group<'_>, threads: u64) {
    let pool = P::open(Numbers::default(), SESSIONS, None);
    fill(&pool, SESSIONS);
    group.bench_function(P::NAME, |bencher| {
        bencher.iter_custom(|checkouts| crowd(&pool, threads, checkouts));
    });
}

/// Each holds its session while all others that can run do so.
fn tasks(criterion: &mut Criterion) {
    let runtime = two_threads();
    for (tasks, sessions) in [(2, 10), (8, 10), (64, 10), (64, 8), (64, 1)] {
        let mut group = criterion.benchmark_group(format!("{tasks} tasks on {sessions}"));
        by_tasks::<AsyncOurs>(&mut group, &runtime, tasks, sessions);
        by_tasks::<Deadpool>(&mut group, &runtime, tasks, sessions);
        by_tasks::<Bb8>(&mut group, &runtime, tasks, sessions);
        by_tasks::<Mobc>(&mut group, &runtime, tasks, sessions);
        group.finish();
    }
}

fn by_tasks<P: TaskPool>(group: &mut Group<'_>, runtime: &Runtime, tasks: u64, sessions: usize) {
    let pool = opened::<P>(runtime, sessions);
    group.bench_function(P::NAME, |bencher| {
        bencher.iter_custom(|checkouts| runtime.block_on(crowd_async(&pool, tasks, checkouts)));
    });
}

fn opened<P: TaskPool>(runtime: &Runtime, sessions: usize) -> P {
    runtime.block_on(async {
        let pool = P::open(Numbers::default(), sessions, None);
        fill_async(&pool, sessions).await;
        pool
    })
}

fn quick() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500))
}

criterion_group! {
    name = checkout;
    config = quick();
    targets = uncontended, threads, tasks
}
criterion_main!(checkout);
