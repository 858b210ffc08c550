//! The pool beside its peers, as tables: `cargo run --release -p benches --bin pool_table`.
//!
//! Every round takes each pool in turn, in random order, so that what else the machine does hits
//! all of them alike. A figure is the median of its rounds; a ratio is the median of the rounds'
//! ratios to ours.
#![forbid(unsafe_code)]

mod allocations;
mod contended;
mod fairness;
mod keyed;
mod scale;
mod spike;
mod table;
mod uncontended;

use std::alloc::System;

use clap::{Parser, ValueEnum};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use self::table::Table;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Measures the pool beside r2d2, bb8, deadpool and mobc.
#[derive(Debug, Parser)]
struct Options {
    /// Prints JSON instead of markdown.
    #[arg(long)]
    json: bool,
    /// Rounds of each measurement.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// What to measure; all of it if not given.
    #[arg(long, value_enum)]
    only: Vec<Topic>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Topic {
    Uncontended,
    Allocations,
    Contended,
    Fairness,
    Spike,
    Scale,
    Keyed,
}

impl Topic {
    fn tables(self, rounds: u32) -> Vec<Table> {
        match self {
            Self::Uncontended => uncontended::tables(rounds),
            Self::Allocations => allocations::tables(),
            Self::Contended => contended::tables(rounds),
            Self::Fairness => fairness::tables(rounds),
            Self::Spike => spike::tables(rounds),
            Self::Scale => scale::tables(rounds),
            Self::Keyed => keyed::tables(rounds),
        }
    }
}

fn main() -> serde_json::Result<()> {
    let options = Options::parse();
    let mut all = Vec::new();
    for topic in Topic::value_variants() {
        if options.only.is_empty() || options.only.contains(topic) {
            for table in topic.tables(options.rounds) {
                if !options.json {
                    println!("{table}");
                }
                all.push(table);
            }
        }
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&all)?);
    }
    Ok(())
}
