//! `cargo xtask faults` and `cargo xtask soak`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use crash_test::api::Api;
use crash_test::scenarios::{Report, SCENARIOS, child};
use crash_test::stage::Setup;
use crash_test::table::{Line, page};
use crash_test::{idle, soak};

#[derive(Parser)]
#[command(name = "cargo xtask faults", about = "What a borrower sees when things break")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Play the scenarios, and write FAULTS.md.
    Play {
        /// Print the table as JSON instead of a page.
        #[arg(long)]
        json: bool,
        /// Only the scenarios whose name contains this; FAULTS.md stays as it is.
        #[arg(long)]
        only: Option<String>,
        /// Shorter, with fewer offsets and dials.
        #[arg(long)]
        quick: bool,
        /// Where to write the page.
        #[arg(long)]
        page: Option<PathBuf>,
    },
    /// Borrow at random while random things break.
    Soak { minutes: f64 },
    /// Say what so many idle sessions cost.
    Idle { sessions: usize },
    #[command(hide = true)]
    IdleOne { api: String, sessions: usize },
    /// Be a server.
    #[command(hide = true)]
    Server,
    /// Play a part in a scenario that needs another process.
    #[command(hide = true)]
    Child { told: String },
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    match Cli::parse().command {
        Command::Play { json, only, quick, page } => play(json, only.as_deref(), quick, page),
        Command::Soak { minutes } => soak::soak(minutes),
        Command::Idle { sessions } => idle::measure_all(sessions),
        Command::IdleOne { api, sessions } => idle::measure(serde_json::from_str(&api)?, sessions),
        Command::Server => idle::server(),
        Command::Child { told } => child(&told),
    }
}

fn play(json: bool, only: Option<&str>, quick: bool, file: Option<PathBuf>) -> Result<()> {
    let setup = Setup { quick, program: std::env::current_exe()? };
    let wanted = |name: &str| only.is_none_or(|part| name.contains(part));
    let mut reports: Vec<Report> = Vec::new();
    for scenario in SCENARIOS.iter().filter(|scenario| wanted(scenario.name)) {
        eprintln!("==> {}", scenario.name);
        // Side by side: they wait most of the time.
        let playing = Api::ALL.map(|api| {
            let setup = setup.clone();
            thread::spawn(move || scenario.play(api, &setup))
        });
        for played in playing {
            let Ok(report) = played.join() else { bail!("{} panicked", scenario.name) };
            match &report.failure {
                Some(failure) => eprintln!("    {}: FAILED: {failure}", report.api),
                None => eprintln!("    {}: {}", report.api, report.outcome.saw),
            }
            reports.push(report);
        }
    }
    if json {
        let lines: Vec<_> = reports.iter().map(Line::from).collect();
        println!("{}", serde_json::to_string_pretty(&lines)?);
    } else {
        println!("{}", page(&reports, quick));
    }
    if let Some(file) = file.filter(|_| only.is_none()) {
        std::fs::write(file, page(&reports, quick))?;
    }
    let failed = reports.iter().filter(|report| report.failure.is_some()).count();
    if failed > 0 {
        bail!("{failed} of {} failed", reports.len());
    }
    if reports.is_empty() {
        bail!("no scenario of that name");
    }
    Ok(())
}
