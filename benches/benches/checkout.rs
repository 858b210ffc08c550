//! Checkout and return, nobody else around: ours beside r2d2, bb8, deadpool and mobc.

use benches::pools::{ours, peers};
use criterion::{Criterion, criterion_group, criterion_main};

const SIZE: u32 = 10;

fn sync(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("uncontended/sync");
    let pool = ours::sync_pool(SIZE as usize, Default::default());
    group.bench_function("ours", |bencher| bencher.iter(|| *pool.get().unwrap()));
    let pool = peers::r2d2(SIZE, Default::default());
    group.bench_function("r2d2", |bencher| bencher.iter(|| *pool.get().unwrap()));
    group.finish();
}

fn tasks(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut group = criterion.benchmark_group("uncontended/async");
    let _inside = runtime.enter();
    macro_rules! bench {
        ($name:literal, $pool:expr) => {
            let pool = $pool;
            group.bench_function($name, |bencher| {
                bencher.iter_custom(|rounds| {
                    runtime.block_on(async {
                        let start = std::time::Instant::now();
                        for _ in 0..rounds {
                            std::hint::black_box(*pool.get().await.unwrap());
                        }
                        start.elapsed()
                    })
                });
            });
        };
    }
    bench!("ours", ours::async_pool(SIZE as usize, Default::default()));
    bench!("deadpool", peers::deadpool(SIZE as usize, Default::default()));
    bench!("bb8", peers::bb8(SIZE, Default::default()));
    bench!("mobc", peers::mobc(u64::from(SIZE), Default::default()));
    group.finish();
}

criterion_group!(checkout, sync, tasks);
criterion_main!(checkout);
