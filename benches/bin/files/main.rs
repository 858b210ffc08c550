//! Files up and down, beside OpenSSH's `sftp` and `scp`, in one run against one sshd:
//! `cargo run --release -p benches --bin files`.
//!
//! Every round takes each way in turn. A figure is the median of its rounds, in seconds; for `sftp`
//! and `scp`, which log in each time, one that does nothing is taken off. What the client's own
//! process burns is in CPU seconds; it has the proxy of a distant server in it.
#![forbid(unsafe_code)]

mod tools;
mod ways;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use benches::ssh::{Kind, Place};
use clap::Parser;

use self::tools::Scene;
use self::ways::{Russh, Ssh2, Tools, Way};

/// Measures file transfers.
#[derive(Debug, Parser)]
struct Options {
    /// Rounds of each measurement.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Added round trip, in milliseconds; may be given more than once.
    #[arg(long, default_values_t = [0, 50])]
    round_trip: Vec<u64>,
    /// Only rows whose name has this in it.
    #[arg(long, default_value = "")]
    only: String,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Row {
    /// A file of 100 MB.
    LargeUp,
    /// The same back.
    LargeDown,
    /// A directory of 1,000 files of 1 kB.
    SmallUp,
    /// The same back.
    SmallDown,
    /// 300 times `stat`, one after another.
    Stat,
}

const ROWS: [(Row, &str); 5] = [
    (Row::LargeUp, "100 MB up"),
    (Row::LargeDown, "100 MB down"),
    (Row::SmallUp, "1,000 x 1 kB up"),
    (Row::SmallDown, "1,000 x 1 kB down"),
    (Row::Stat, "300 x stat"),
];

fn main() -> Result<()> {
    let options = Options::parse();
    for round_trip in &options.round_trip {
        let place = Place::start(Kind::Sshd, Duration::from_millis(*round_trip))?;
        let scene = Scene::new(&place)?;
        let ways: [Box<dyn Way>; 4] = [
            Box::new(Ssh2::connect(&scene)?),
            Box::new(Russh::connect(&scene)?),
            Box::new(Tools::sftp(&scene)),
            Box::new(Tools::scp(&scene)),
        ];
        let mut taken: BTreeMap<(Row, usize), Vec<(f64, f64)>> = BTreeMap::new();
        let rows = ROWS.iter().filter(|(_, name)| name.contains(&options.only));
        for _ in 0..options.rounds {
            for (row, _) in rows.clone() {
                for (number, way) in ways.iter().enumerate() {
                    if let Some(time) = scene.time(&**way, *row)? {
                        taken.entry((*row, number)).or_default().push(time);
                    }
                }
            }
        }
        println!("\n{round_trip} ms away; seconds (CPU seconds of our process), medians\n");
        println!("| | ssh2 | russh, tasks | sftp | scp |\n|---|---|---|---|---|");
        for (row, name) in rows {
            let cells = (0..ways.len()).map(|number| match taken.get(&(*row, number)) {
                None => "–".into(),
                Some(times) if number < 2 => {
                    let wall = median(times.iter().map(|time| time.0));
                    format!("{wall:.3} ({:.2})", median(times.iter().map(|time| time.1)))
                }
                Some(times) => format!("{:.3}", median(times.iter().map(|time| time.0))),
            });
            println!("| {name} | {} |", cells.collect::<Vec<_>>().join(" | "));
        }
    }
    println!("\nmost memory of this process: {}", tools::peak_memory());
    Ok(())
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
