//! The hog: it returns its session and takes again at once, while others queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use benches::load::{one_thread, two_threads};
use benches::pools::{AsyncOurs, Bb8, Deadpool, Mobc, Numbers, Ours, R2d2, TaskPool, ThreadPool};
use tokio::runtime::Runtime;

use crate::table::{Figure, Subject, Table};

/// Where the hog stops.
const BOUND: usize = 100_000;
/// How long the others get to queue.
const QUEUEING: Duration = Duration::from_millis(5);

pub(crate) fn tables(rounds: u32) -> Vec<Table> {
    let title = "The hog: its checkouts of the only session before all who were queued are served";
    let overtakes = Figure { title: "checkouts (stopped at 100,000)", digits: 0, ratio: false };
    let mut table = Table::new(title, &[overtakes]);
    for queued in [1, 64] {
        let subjects = vec![by_threads::<Ours>(queued), by_threads::<R2d2>(queued)];
        table = table.group(&format!("threads, {queued} queued"), rounds, subjects);
    }
    for (place, runtime) in [("two threads", two_threads()), ("one thread", one_thread())] {
        for queued in [1, 64] {
            let subjects = vec![
                by_tasks::<AsyncOurs>(&runtime, queued),
                by_tasks::<Deadpool>(&runtime, queued),
                by_tasks::<Bb8>(&runtime, queued),
                by_tasks::<Mobc>(&runtime, queued),
            ];
            table = table.group(&format!("tasks on {place}, {queued} queued"), rounds, subjects);
        }
    }
    vec![table]
}

fn by_threads<P: ThreadPool>(queued: usize) -> Subject<'static> {
    let pool = P::open(Numbers::default(), 1, None);
    Subject::new(P::NAME, move || {
        let unserved = AtomicUsize::new(queued);
        let mut held = Some(pool.take().unwrap());
        std::thread::scope(|scope| {
            for _ in 0..queued {
                scope.spawn(|| {
                    let lent = pool.take().unwrap();
                    unserved.fetch_sub(1, Ordering::SeqCst);
                    drop(lent);
                });
            }
            std::thread::sleep(QUEUEING);
            let mut checkouts = 0;
            while checkouts < BOUND {
                drop(held.take());
                held = Some(pool.take().unwrap());
                if unserved.load(Ordering::SeqCst) == 0 {
                    break;
                }
                checkouts += 1;
            }
            drop(held);
            vec![checkouts as f64]
        })
    })
}

fn by_tasks<P: TaskPool>(runtime: &Runtime, queued: usize) -> Subject<'_> {
    let pool = runtime.block_on(async { P::open(Numbers::default(), 1, None) });
    Subject::new(P::NAME, move || vec![runtime.block_on(hog(&pool, queued)) as f64])
}

async fn hog<P: TaskPool>(pool: &P, queued: usize) -> usize {
    let unserved = Arc::new(AtomicUsize::new(queued));
    let mut held = Some(pool.take().await.unwrap());
    let mut others = tokio::task::JoinSet::new();
    for _ in 0..queued {
        let (pool, unserved) = (pool.clone(), Arc::clone(&unserved));
        others.spawn(async move {
            let lent = pool.take().await.unwrap();
            unserved.fetch_sub(1, Ordering::SeqCst);
            drop(lent);
        });
    }
    tokio::time::sleep(QUEUEING).await;
    let mut checkouts = 0;
    while checkouts < BOUND {
        drop(held.take());
        held = Some(pool.take().await.unwrap());
        if unserved.load(Ordering::SeqCst) == 0 {
            break;
        }
        checkouts += 1;
    }
    drop(held);
    others.join_all().await;
    checkouts
}
