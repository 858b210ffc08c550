//! Developer commands: `cargo xtask test` is the one that must pass.

mod needs;
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
        Command::Fuzz { seconds } => test::fuzz(seconds),
    }
}
