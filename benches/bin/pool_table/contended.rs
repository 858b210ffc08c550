//! More borrowers than sessions: throughput, waits, and how evenly the borrowers are served.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use benches::load::{fill, fill_async, one_thread, two_threads};
use benches::pools::{AsyncOurs, Bb8, Deadpool, Mobc, Numbers, Ours, R2d2, TaskPool, ThreadPool};
use tokio::runtime::Runtime;

use crate::table::{Figure, Subject, Table};

const FIGURES: [Figure; 4] = [
    Figure { title: "checkouts, k/s", digits: 0, ratio: true },
    Figure { title: "p50 wait, µs", digits: 1, ratio: false },
    Figure { title: "p99 wait, µs", digits: 1, ratio: true },
    Figure { title: "least / best served", digits: 2, ratio: false },
];

/// How long a round of threads lasts: 64 of them need some slices of the two cores each.
const LONG_ROUND: Duration = Duration::from_millis(60);
/// How long a round of tasks lasts: often the machine turns to nothing else meanwhile.
const SHORT_ROUND: Duration = Duration::from_millis(30);
/// In return there are more of those.
const MORE: u32 = 2;
/// In which all tasks get to work, so that none is behind only because it was started last.
const RUN_UP: Duration = Duration::from_millis(3);
/// What the tasks are doing.
const RUNNING_UP: u8 = 0;
const COUNTING: u8 = 1;
const STOPPED: u8 = 2;
/// One wait in so many is timed, as looking at the clock costs as much as a checkout.
const SAMPLE: u64 = 8;

pub(crate) fn tables(rounds: u32) -> Vec<Table> {
    let mut threads = Table::new("Threads that take and return", &FIGURES);
    for (borrowers, sessions) in [(2, 10), (8, 10), (64, 10), (64, 8)] {
        let subjects =
            vec![by_threads::<Ours>(borrowers, sessions), by_threads::<R2d2>(borrowers, sessions)];
        threads = threads.group(&format!("{borrowers} on {sessions}"), rounds, subjects);
    }
    vec![
        threads,
        tasks("Tasks on two threads, `yield_now` while held", &two_threads(), rounds),
        tasks("Tasks on one thread, `yield_now` while held", &one_thread(), rounds),
    ]
}

fn tasks(title: &str, runtime: &Runtime, rounds: u32) -> Table {
    let mut table = Table::new(title, &FIGURES);
    for (borrowers, sessions) in [(2, 10), (8, 10), (64, 10), (64, 8), (64, 1)] {
        let subjects = vec![
            by_tasks::<AsyncOurs>(runtime, borrowers, sessions),
            by_tasks::<Deadpool>(runtime, borrowers, sessions),
            by_tasks::<Bb8>(runtime, borrowers, sessions),
            by_tasks::<Mobc>(runtime, borrowers, sessions),
        ];
        table = table.group(&format!("{borrowers} on {sessions}"), rounds * MORE, subjects);
    }
    table
}

/// What one borrower got.
#[derive(Default)]
struct Tally {
    served: u64,
    /// In nanoseconds.
    waits: Vec<u64>,
}

impl Tally {
    fn new() -> Self {
        Self { served: 0, waits: Vec::with_capacity(1 << 14) }
    }

    fn end(&mut self, began: Option<Instant>) {
        self.waited(began);
        self.served += 1;
    }

    fn waited(&mut self, began: Option<Instant>) {
        self.waits.extend(began.map(|began| began.elapsed().as_nanos() as u64));
    }
}

fn by_threads<P: ThreadPool>(borrowers: usize, sessions: usize) -> Subject<'static> {
    let pool = P::open(Numbers::default(), sessions, None);
    fill(&pool, sessions);
    until_served(P::NAME, move || {
        let (stop, barrier) = (AtomicBool::new(false), Barrier::new(borrowers + 1));
        std::thread::scope(|scope| {
            let borrow = || {
                let mut tally = Tally::new();
                barrier.wait();
                while !stop.load(Ordering::Relaxed) {
                    let began = tally.served.is_multiple_of(SAMPLE).then(Instant::now);
                    let lent = pool.take().unwrap();
                    tally.end(began);
                    black_box(*lent);
                }
                tally
            };
            let at_work: Vec<_> = (0..borrowers).map(|_| scope.spawn(borrow)).collect();
            barrier.wait();
            let start = Instant::now();
            std::thread::sleep(LONG_ROUND);
            stop.store(true, Ordering::Relaxed);
            let time = start.elapsed();
            summary(time, at_work.into_iter().map(|thread| thread.join().unwrap()).collect())
        })
    })
}

fn by_tasks<P: TaskPool>(runtime: &Runtime, borrowers: usize, sessions: usize) -> Subject<'_> {
    let pool = runtime.block_on(async {
        let pool = P::open(Numbers::default(), sessions, None);
        fill_async(&pool, sessions).await;
        pool
    });
    until_served(P::NAME, move || {
        let phase = Arc::new(AtomicU8::new(RUNNING_UP));
        runtime.block_on(async {
            let borrow = |pool: P, phase: Arc<AtomicU8>| async move {
                let mut tally = Tally::new();
                for turn in 0_u64.. {
                    let began = turn.is_multiple_of(SAMPLE).then(Instant::now);
                    let lent = pool.take().await.unwrap();
                    // A wait counts when it ends, however long ago it began, or those of the
                    // starved would count for nothing.
                    match phase.load(Ordering::Relaxed) {
                        RUNNING_UP => {}
                        COUNTING => tally.end(began),
                        _ => {
                            tally.waited(began);
                            break;
                        }
                    }
                    tokio::task::yield_now().await;
                    black_box(*lent);
                }
                tally
            };
            let at_work: Vec<_> = (0..borrowers)
                .map(|_| tokio::spawn(borrow(pool.clone(), Arc::clone(&phase))))
                .collect();
            let timer = std::thread::spawn(move || {
                std::thread::sleep(RUN_UP);
                phase.store(COUNTING, Ordering::Relaxed);
                let start = Instant::now();
                std::thread::sleep(SHORT_ROUND);
                phase.store(STOPPED, Ordering::Relaxed);
                start.elapsed()
            });
            let mut tallies = Vec::with_capacity(borrowers);
            for task in at_work {
                tallies.push(task.await.unwrap());
            }
            summary(timer.join().unwrap(), tallies)
        })
    })
}

fn until_served<'a>(
    name: &'static str,
    mut round: impl FnMut() -> Option<Vec<f64>> + 'a,
) -> Subject<'a> {
    Subject::new(name, move || {
        loop {
            if let Some(found) = round() {
                return found;
            }
        }
    })
}

/// `None` where the machine was so busy with something else that nobody was served.
fn summary(time: Duration, mut tallies: Vec<Tally>) -> Option<Vec<f64>> {
    let served = || tallies.iter().map(|tally| tally.served as f64);
    let all: f64 = served().sum();
    let (least, best) = served().fold((f64::MAX, 0.0), |(least, best): (f64, f64), served| {
        (least.min(served), best.max(served))
    });
    let mut waits: Vec<_> = tallies.iter_mut().flat_map(|tally| tally.waits.drain(..)).collect();
    if waits.is_empty() {
        return None;
    }
    waits.sort_unstable();
    let percentile = |share: usize| waits[(waits.len() - 1) * share / 100] as f64 / 1e3;
    Some(vec![all / time.as_secs_f64() / 1e3, percentile(50), percentile(99), least / best])
}
