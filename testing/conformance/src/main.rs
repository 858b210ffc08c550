//! Prints the grid: which kind of session passes how many cases on which server.

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use clap::Parser;
use conformance::suite::{Report, ServerKind};
use conformance::{SESSIONS, cell};
use serde::Serialize;

/// Runs the session conformance suite over every kind of session, on every kind of server.
#[derive(Parser)]
struct Arguments {
    /// Print the grid as JSON.
    #[arg(long)]
    json: bool,
    /// Only this kind of session.
    #[arg(long, value_parser = SESSIONS)]
    session: Option<String>,
    /// Only this kind of server.
    #[arg(long, value_parser = ServerKind::ALL.map(ServerKind::name))]
    server: Option<String>,
    /// Only cases with this in their name.
    #[arg(long)]
    case: Option<String>,
    /// How many cells are run at once.
    #[arg(long, default_value_t = 3)]
    jobs: usize,
    /// Say how long each case took.
    #[arg(long)]
    times: bool,
}

/// A cell as JSON.
#[derive(Serialize)]
struct Cell<'a> {
    session: &'a str,
    server: &'a str,
    passed: usize,
    failed: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let reports = run_all(&arguments);
    for report in &reports {
        for outcome in &report.outcomes {
            let (cell, name) = (format!("{} on {}", report.session, report.server), outcome.name);
            match &outcome.result {
                Err(why) => eprintln!("FAILED {cell}: {name}: {why}"),
                Ok(()) if arguments.times => eprintln!("{:>8.2?} {cell}: {name}", outcome.elapsed),
                Ok(()) => {}
            }
        }
    }
    if arguments.json {
        let cells: Vec<_> = reports.iter().map(as_json).collect();
        println!("{}", serde_json::to_string_pretty(&cells).expect("plain data"));
    } else {
        print_grid(&reports);
    }
    let ran = reports.iter().any(|report| !report.outcomes.is_empty());
    let failed = reports.iter().any(|report| report.failures().next().is_some());
    if ran && !failed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// All cells that are asked for, in the order of the grid.
fn run_all(arguments: &Arguments) -> Vec<Report> {
    let chosen = |name: &str, choice: &Option<String>| choice.as_deref().is_none_or(|c| c == name);
    let cells: VecDeque<_> = SESSIONS
        .into_iter()
        .filter(|session| chosen(session, &arguments.session))
        .flat_map(|session| ServerKind::ALL.map(|place| (session, place)))
        .filter(|(_, place)| chosen(place.name(), &arguments.server))
        .enumerate()
        .collect();
    let (cells, reports) = (Mutex::new(cells), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let next = cells.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some((number, (session, place))) = next else { return };
                    if let Some(report) = cell(session, place, arguments.case.as_deref()) {
                        let mut reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
                        reports.push((number, report));
                    }
                }
            });
        }
    });
    let mut reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    reports.sort_by_key(|(number, _)| *number);
    reports.into_iter().map(|(_, report)| report).collect()
}

fn as_json(report: &Report) -> Cell<'_> {
    let passed = report.passed();
    let failed = report.outcomes.len() - passed;
    Cell { session: report.session, server: report.server, passed, failed }
}

fn print_grid(reports: &[Report]) {
    let mut servers: Vec<_> = ServerKind::ALL.map(ServerKind::name).to_vec();
    servers.retain(|server| reports.iter().any(|report| report.server == *server));
    print!("{:<16}", "passed/all");
    servers.iter().for_each(|server| print!("{server:>20}"));
    println!();
    for session in SESSIONS {
        let row: Vec<_> = reports.iter().filter(|report| report.session == session).collect();
        if row.is_empty() {
            continue;
        }
        print!("{session:<16}");
        for report in row {
            let elapsed: Duration = report.outcomes.iter().map(|outcome| outcome.elapsed).sum();
            let count = format!("{}/{}", report.passed(), report.outcomes.len());
            print!("{:>20}", format!("{count} in {:.0} s", elapsed.as_secs_f64()));
        }
        println!();
    }
}
