//! Developer commands: `cargo xtask test` is the one that must pass.

mod needs;
mod programs;
mod python;
mod rows;
mod run;
mod test;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer commands of this workspace")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check that everything needed is there, then format, lints, docs and all tests.
    Test,
    /// Only see to it that what the tests need is installed.
    Needs,
    /// Build and test `hussh` with each set of features that it can have.
    Rows {
        /// Build each from nothing, and say how long that takes.
        #[arg(long)]
        clean: bool,
    },
    /// Build the Python package, and check and test it.
    Python,
    /// Run the session conformance suite alone and print its grid: session by server.
    Conformance {
        /// Print it as `[{"session", "server", "passed", "failed"}]`.
        #[arg(long)]
        json: bool,
        /// What else the suite's program is told; see its `--help`.
        #[arg(last = true)]
        rest: Vec<String>,
    },
    /// Measure round trips of commands and dials, ours beside others'.
    Roundtrips {
        /// Print them as `[{"client", "what", "pace", "round_trips"}]`.
        #[arg(long)]
        json: bool,
        /// What else the program is told; see its `--help`.
        #[arg(last = true)]
        rest: Vec<String>,
    },
    /// Run every fuzz target.
    Fuzz {
        /// How long each target runs.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Test => test::all(),
        Command::Needs => needs::check(),
        Command::Rows { clean } => rows::all(clean),
        Command::Python => python::python(),
        Command::Conformance { json, rest } => programs::run("conformance", json, &rest),
        Command::Roundtrips { json, rest } => programs::run("roundtrips", json, &rest),
        Command::Fuzz { seconds } => test::fuzz(seconds),
    }
}
