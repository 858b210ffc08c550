//! What pooled sessions save, as a table and a chart:
//! `cargo run --release -p benches --bin savings -- --draw`.
//!
//! Every round takes each way to run a command in turn, in random order, so that what else the
//! machine does hits all of them alike. A figure is the median of its rounds; a ratio is the median
//! of the rounds' ratios.
#![forbid(unsafe_code)]

mod chart;
mod draw;
mod measure;
mod report;

use std::path::Path;

use anyhow::Result;
use clap::Parser;

use self::measure::Scene;

/// Measures commands with a connection each, on a held connection and through a pool.
#[derive(Debug, Parser)]
struct Options {
    /// Prints JSON instead of markdown.
    #[arg(long)]
    json: bool,
    /// Puts the tables into README.md and benches/README.md, and draws benches/savings.svg.
    #[arg(long)]
    draw: bool,
    /// Leaves out the clients in Python, which are installed from PyPI otherwise.
    #[arg(long)]
    no_peers: bool,
    /// Rounds of each measurement.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only servers and distances whose name has this in it, such as `sshd` or `50 ms`.
    #[arg(long, default_value = "")]
    only: String,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let mut found = Vec::new();
    for scene in Scene::all().into_iter().filter(|scene| scene.name().contains(&options.only)) {
        let peers = (!options.no_peers).then(|| root.join("target/peers"));
        let measured = scene.measure(options.rounds, peers.as_deref())?;
        if !options.json {
            println!("{}", report::full(&measured));
        }
        found.push(measured);
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    }
    if options.draw {
        draw::draw(root, &found)?;
    }
    Ok(())
}
