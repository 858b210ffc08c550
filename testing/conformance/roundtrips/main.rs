//! How many round trips a command and a dial take: ours, the crates below, and OpenSSH.
//!
//! Each client talks to a real sshd through a proxy that adds so much to the round trip; what
//! counts is how much longer everything takes for each added millisecond. Fixed costs, such as
//! starting a process at either end, fall out of that slope.

mod clients;
mod measure;

use std::process::ExitCode;
use std::thread;

use anyhow::{Context as _, Result};
use clap::Parser;
use clients::Entry;
use measure::{Line, Pace, Row};

/// Measures round trips of warm commands and of dials.
#[derive(Parser)]
struct Arguments {
    /// Print `[{"client", "what", "pace", "round_trips"}]`.
    #[arg(long)]
    json: bool,
    /// Only clients with this in their name.
    #[arg(long)]
    client: Option<String>,
    /// Commands for each delay; dials are half of that.
    #[arg(long, default_value_t = 7)]
    samples: usize,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let wanted = |name: &str| arguments.client.as_deref().is_none_or(|part| name.contains(part));
    let chosen: Vec<_> = clients::ALL.into_iter().filter(|(name, _)| wanted(name)).collect();
    let mut rows = Vec::new();
    // Two at a time: they wait for their proxies, each for its own.
    for pair in chosen.chunks(2) {
        let samples = arguments.samples;
        let results: Vec<_> = thread::scope(|scope| {
            let pair: Vec<_> =
                pair.iter().map(|entry| scope.spawn(move || measure_one(entry, samples))).collect();
            let join = |one: thread::ScopedJoinHandle<'_, _>| match one.join() {
                Ok(rows) => rows,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            pair.into_iter().map(join).collect()
        });
        for result in results {
            rows.extend(result?);
        }
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        measure::print(&rows);
    }
    Ok(if rows.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// All rows of one client, on a line of its own.
fn measure_one((name, client): &Entry, samples: usize) -> Result<Vec<Row>> {
    let line = Line::start()?;
    let client = client(&line)?;
    let mut rows = Vec::new();
    let mut add =
        |what, pace, round_trips| rows.push(Row { client: name, what, pace, round_trips });
    for pace in [Pace::BackToBack, Pace::Paced] {
        let round_trips = measure::warm(&line, &*client, pace, samples);
        add("warm exec", Some(pace), round_trips.with_context(|| format!("{name}, warm"))?);
    }
    let dials = measure::dial(&line, &*client, samples.div_ceil(2));
    let (dial, first) = dials.with_context(|| format!("{name}, dial"))?;
    add("dial", None, dial);
    add("dial + first exec", None, first);
    Ok(rows)
}
