//! What many keys cost.

use std::hint::black_box;
use std::time::Instant;

use benches::pools::Numbers;
use pool_core::{Config, KeyedConfig, KeyedPool};

use crate::table::{Figure, Subject, Table, median};

const CHECKOUTS: u64 = 2_000;
/// How many sessions `evict_all` finds.
const SESSIONS: usize = 1_000;

pub(crate) fn tables(rounds: u32) -> Vec<Table> {
    vec![checkouts(rounds), evictions(rounds)]
}

/// Aim: with 10,000 keys at most twice what it takes with one.
fn checkouts(rounds: u32) -> Table {
    let nanos = Figure { title: "ns", digits: 0, ratio: true };
    let subjects = vec![known("1 key", 1), known("100 keys", 100), known("10,000 keys", 10_000)];
    Table::new("Checkout and return under one of many keys, one session each", &[nanos])
        .group("keyed", rounds, subjects)
}

fn pool(keys: usize, per_key: usize) -> KeyedPool<usize, Numbers> {
    let per_key = Config::builder().max_size(per_key).build().unwrap_or_default();
    let config = KeyedConfig::new(per_key, keys * SESSIONS).unwrap_or_else(|_| unreachable!());
    KeyedPool::new(config, |_: &usize| Numbers::default())
}

fn known(name: &'static str, keys: usize) -> Subject<'static> {
    let pool = pool(keys, 1);
    for key in 0..keys {
        drop(black_box(pool.get(&key).unwrap()));
    }
    let mut key = 0;
    Subject::new(name, move || {
        let begun = Instant::now();
        for _ in 0..CHECKOUTS {
            // Not the same ones again and again, which the caches would know.
            key = (key + 7) % keys;
            drop(black_box(pool.get(&key).unwrap()));
        }
        vec![begun.elapsed().as_nanos() as f64 / CHECKOUTS as f64]
    })
}

/// What the caller of `evict_all` waits, not the closes.
fn evictions(rounds: u32) -> Table {
    let micros = Figure { title: "µs", digits: 0, ratio: false };
    let time = |keys: usize| {
        let one = |_| {
            let pool = pool(keys, SESSIONS / keys);
            let sessions = (0..SESSIONS).map(|n| pool.get(&(n % keys)).unwrap());
            drop(sessions.collect::<Vec<_>>());
            let begun = Instant::now();
            pool.evict_all();
            let time = begun.elapsed();
            drop(pool);
            time.as_nanos() as f64 / 1e3
        };
        median((0..rounds).map(one).collect())
    };
    Table::new("evict_all on 1,000 idle sessions", &[micros])
        .row("of one key", vec![time(1)])
        .row("of 1,000 keys", vec![time(1_000)])
}
