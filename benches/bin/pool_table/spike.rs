//! The spike: a burst of requests finds a tenth of its sessions open, and opening one takes far
//! longer than the work does.

use std::time::{Duration, Instant};

use benches::load::{fill, fill_async, two_threads};
use benches::pools::{AsyncOurs, Bb8, Deadpool, Mobc, Numbers, Ours, R2d2, TaskPool, ThreadPool};
use tokio::runtime::Runtime;

use crate::table::{Figure, Subject, Table};

const IDLE: usize = 5;
const REQUESTS: usize = 50;
const WORK: Duration = Duration::from_millis(2);
const CONNECT: Duration = Duration::from_millis(150);
/// In which what takes no time has been done.
const SETTLING: Duration = Duration::from_millis(50);
/// In which a pool that still opens sessions begins another.
const ANOTHER: Duration = Duration::from_millis(200);

const FIGURES: [Figure; 2] = [
    Figure { title: "ms until all were served", digits: 1, ratio: true },
    Figure { title: "sessions opened, the 5 included", digits: 0, ratio: false },
];

pub(crate) fn tables(rounds: u32) -> Vec<Table> {
    let runtime = two_threads();
    let threads = vec![
        Subject::new(Ours::NAME, by_threads::<Ours>),
        Subject::new(R2d2::NAME, by_threads::<R2d2>),
    ];
    let tasks = vec![
        by_tasks::<AsyncOurs>(&runtime),
        by_tasks::<Deadpool>(&runtime),
        by_tasks::<Bb8>(&runtime),
        by_tasks::<Mobc>(&runtime),
    ];
    let title =
        "The spike: 5 idle of at most 50, 50 requests at once of 2 ms each, connects of 150 ms";
    let table = Table::new(title, &FIGURES);
    vec![table.group("sync", rounds, threads).group("async", rounds, tasks)]
}

fn by_threads<P: ThreadPool>() -> Vec<f64> {
    let numbers = Numbers::default();
    let pool = P::open(numbers.clone(), REQUESTS, Some(IDLE));
    std::thread::sleep(SETTLING);
    if numbers.opened() < IDLE as u64 {
        fill(&pool, IDLE);
    }
    numbers.set_delay(CONNECT);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..REQUESTS {
            scope.spawn(|| {
                let _lent = pool.take().unwrap();
                std::thread::sleep(WORK);
            });
        }
    });
    let time = start.elapsed();
    let mut opened = 0;
    while opened < numbers.opened() {
        opened = numbers.opened();
        std::thread::sleep(ANOTHER);
    }
    vec![time.as_secs_f64() * 1e3, opened as f64]
}

fn by_tasks<P: TaskPool>(runtime: &Runtime) -> Subject<'_> {
    Subject::new(P::NAME, || runtime.block_on(spike::<P>()))
}

async fn spike<P: TaskPool>() -> Vec<f64> {
    let numbers = Numbers::default();
    let pool = P::open(numbers.clone(), REQUESTS, Some(IDLE));
    tokio::time::sleep(SETTLING).await;
    if numbers.opened() < IDLE as u64 {
        fill_async(&pool, IDLE).await;
    }
    numbers.set_delay(CONNECT);
    let start = Instant::now();
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..REQUESTS {
        let pool = pool.clone();
        requests.spawn(async move {
            let _lent = pool.take().await.unwrap();
            tokio::time::sleep(WORK).await;
        });
    }
    requests.join_all().await;
    let time = start.elapsed();
    let mut opened = 0;
    while opened < numbers.opened() {
        opened = numbers.opened();
        tokio::time::sleep(ANOTHER).await;
    }
    vec![time.as_secs_f64() * 1e3, opened as f64]
}
