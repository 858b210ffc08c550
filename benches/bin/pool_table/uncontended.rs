//! Checkout and return with nobody else around.

use benches::load::{alone, alone_async, fill, fill_async, one_thread};
use benches::pools::{AsyncOurs, Bb8, Deadpool, Mobc, Numbers, Ours, R2d2, TaskPool, ThreadPool};
use tokio::runtime::Runtime;

use crate::table::{Figure, Subject, Table};

const SESSIONS: usize = 10;
/// So few that most rounds are over before the machine turns to something else.
const CHECKOUTS: u64 = 2_000;
/// In return there are many rounds.
const MORE: u32 = 50;

const NANOS: Figure = Figure { title: "ns", digits: 0, ratio: true };

pub(crate) fn tables(rounds: u32) -> Vec<Table> {
    let runtime = one_thread();
    let sync = vec![by_one_thread::<Ours>(), by_one_thread::<R2d2>()];
    let tasks = vec![
        by_one_task::<AsyncOurs>(&runtime),
        by_one_task::<Deadpool>(&runtime),
        by_one_task::<Bb8>(&runtime),
        by_one_task::<Mobc>(&runtime),
    ];
    let table = Table::new("Uncontended checkout and return, pools of 10", &[NANOS]);
    vec![table.group("sync", rounds * MORE, sync).group("async", rounds * MORE, tasks)]
}

fn by_one_thread<P: ThreadPool>() -> Subject<'static> {
    let pool = P::open(Numbers::default(), SESSIONS, None);
    fill(&pool, SESSIONS);
    Subject::new(P::NAME, move || {
        vec![alone(&pool, CHECKOUTS).as_nanos() as f64 / CHECKOUTS as f64]
    })
}

fn by_one_task<P: TaskPool>(runtime: &Runtime) -> Subject<'_> {
    let pool = runtime.block_on(async {
        let pool = P::open(Numbers::default(), SESSIONS, None);
        fill_async(&pool, SESSIONS).await;
        pool
    });
    Subject::new(P::NAME, move || {
        let time = runtime.block_on(alone_async(&pool, CHECKOUTS));
        vec![time.as_nanos() as f64 / CHECKOUTS as f64]
    })
}
