//! A hundred thousand borrows, cancelled at random on a runtime of several threads.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use pool_core::{AsyncPool, Config};
use pool_model::{FakeAsyncBackend, FakeBackend, audit, draw};

const TASKS: u64 = 20;
const CANCELLED: u64 = 100_000;
const SIZE: usize = 4;

/// A future, dropped after so many polls. Every poll is asked for at once.
async fn polled_at_most<F: Future>(polls: u64, future: F) -> Option<F::Output> {
    let (mut future, mut left) = (pin!(future), polls);
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

#[test]
fn a_hundred_thousand_cancelled_borrows_leave_every_session_lendable() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    let backend = FakeBackend::new();
    let config = Config::builder().max_size(SIZE).acquire_timeout(None).build().unwrap();
    let fake = FakeAsyncBackend(backend.clone());
    let served = Arc::new(AtomicU64::new(0));
    runtime.block_on(async {
        let pool = AsyncPool::new(fake, config);
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let (pool, mut seed) = (pool.clone(), task);
                let served = Arc::clone(&served);
                tokio::spawn(async move {
                    let mut cancelled = 0;
                    while cancelled < CANCELLED / TASKS {
                        let most = if draw(&mut seed, 4) == 0 { 40 } else { 4 };
                        let polls = draw(&mut seed, most);
                        let Some(got) = polled_at_most(polls, pool.get()).await else {
                            cancelled += 1;
                            continue;
                        };
                        let mut session = got.unwrap();
                        served.fetch_add(1, Ordering::Relaxed);
                        session.use_it(|| ());
                        for _ in 0..draw(&mut seed, 4) {
                            tokio::task::yield_now().await;
                        }
                        match draw(&mut seed, 64) {
                            0 => session.killer()(),
                            1 => session.mark_dirty(),
                            _ => {}
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let mut all = Vec::new();
        for _ in 0..SIZE {
            all.push(pool.get().await.unwrap());
        }
        assert!(pool.try_get().is_none());
        drop(all);
        pool.close_timeout(Duration::MAX).await.unwrap();
        let stats = pool.stats();
        audit(&stats, &backend.truth, &"cancelled");
        assert_eq!((stats.waiting, stats.open()), (0, 0));
        let counters = stats.counters;
        let served = served.load(Ordering::Relaxed);
        assert_eq!(counters.cancelled, CANCELLED);
        assert_eq!(counters.served, served + SIZE as u64);
        // Asking for what is ready this moment, in vain, counts nowhere.
        assert_eq!(counters.acquires, CANCELLED + served + SIZE as u64);
        assert!(served > 1000, "{counters:?}");
    });
    assert_eq!(backend.truth.alive(), 0);
    assert!(backend.truth.most_alive() <= SIZE as i64);
}
