//! Developer commands: `cargo xtask test` is the one that must pass.

mod deny;
mod faults;
mod features;
mod ghsa;
mod memory;
mod programs;
mod python;
mod run;
mod setup;
mod simulate;
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
    Setup,
    /// Build and test `hussh` with each set of features that it can have.
    Features {
        /// Build each from nothing, and say how long that takes.
        #[arg(long)]
        clean: bool,
    },
    /// Break whatever can break, and write what a borrower saw of it to FAULTS.md.
    Faults {
        /// Print the table as JSON.
        #[arg(long)]
        json: bool,
        /// Only the scenarios whose name contains this; FAULTS.md stays as it is.
        #[arg(long)]
        only: Option<String>,
        /// Shorter, with fewer offsets and dials.
        #[arg(long)]
        quick: bool,
        /// Instead, keep so many idle sessions and say what they cost.
        #[arg(long, value_name = "SESSIONS", conflicts_with_all = ["json", "only", "quick"])]
        idle: Option<usize>,
    },
    /// Borrow at random while random things break, and say what was lost and what grew.
    Soak {
        /// How long.
        #[arg(long, default_value_t = 10.0)]
        minutes: f64,
    },
    /// Play runs over a simulated network; see testing/simulation/README.md.
    Simulate {
        /// Instead, play so many seeds of each deliberately broken variant, and print which rule
        /// catches it in how many.
        #[arg(long, value_name = "SEEDS")]
        broken: Option<u64>,
        /// Only the broken variants whose name contains this.
        #[arg(long, requires = "broken")]
        only: Option<String>,
        /// What else the program is told, such as `--seeds N`, `--seed S`, `--minutes M`, `--trace`
        /// and `--shrink`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
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
    /// Log in by every method, with every backend, on every server, right and wrong, and print what
    /// the servers counted as a table.
    Auth {
        /// What else the program is told; see its `--help`.
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
    /// Measure how long 60 connections at once take, by how many may be under way at once.
    Startups {
        /// Print them as `[{"session", "gate", "logged_in", "of", "seconds", "turned_away"}]`.
        #[arg(long)]
        json: bool,
        /// What else the program is told; see its `--help`.
        #[arg(last = true)]
        rest: Vec<String>,
    },
    /// Print what is agreed on with servers under each policy (`crypto`), or what hostile servers
    /// cost in memory and time (`bounds`).
    Wire {
        /// Which of the two, and what else the program is told.
        rest: Vec<String>,
    },
    /// Break pool-core in every way that cargo-mutants knows, and say what no test notices.
    #[command(disable_help_flag = true)]
    Mutants {
        /// What the program is told; see its `--help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Check licences, sources and banned crates of all dependencies.
    Deny {
        /// Instead, compare them with these copies of advisory databases, RustSec's or GitHub's;
        /// nobody is asked.
        #[arg(long, value_name = "DIR")]
        advisories: Vec<std::path::PathBuf>,
    },
    /// Watch the calls into libssh2 with valgrind, which takes some minutes.
    Memory {
        /// Words that the tests are filtered by.
        only: Vec<String>,
    },
    /// Run every fuzz target, or one.
    Fuzz {
        /// Only the target of this name.
        #[arg(long)]
        only: Option<String>,
        /// How long each target runs.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Test => test::all(),
        Command::Setup => setup::check(),
        Command::Features { clean } => features::all(clean),
        Command::Faults { idle: Some(sessions), .. } => {
            faults::run(&["idle".into(), sessions.to_string()])
        }
        Command::Faults { json, only, quick, idle: None } => {
            let page = run::root().join("testing/crash-test/FAULTS.md").display().to_string();
            let mut arguments = vec!["play".into(), "--page".into(), page];
            arguments.extend(json.then(|| "--json".into()));
            arguments.extend(quick.then(|| "--quick".into()));
            arguments.extend(only.into_iter().flat_map(|name| ["--only".into(), name]));
            faults::run(&arguments)
        }
        Command::Soak { minutes } => faults::run(&["soak".into(), minutes.to_string()]),
        Command::Simulate { broken: Some(seeds), only, .. } => {
            simulate::broken(seeds, only.as_deref().unwrap_or_default())
        }
        Command::Simulate { rest, .. } => simulate::run(&rest),
        Command::Python => python::python(),
        Command::Conformance { json, rest } => {
            programs::run("conformance", "conformance", json, &rest)
        }
        Command::Auth { rest } => programs::run("conformance", "auth", false, &rest),
        Command::Roundtrips { json, rest } => {
            programs::run("conformance", "roundtrips", json, &rest)
        }
        Command::Startups { json, rest } => programs::run("conformance", "startups", json, &rest),
        Command::Wire { rest } => programs::run("conformance", "wire", false, &rest),
        Command::Mutants { rest } => programs::run("mutants", "mutants", false, &rest),
        Command::Deny { advisories } if advisories.is_empty() => deny::check(),
        Command::Deny { advisories } => {
            advisories.iter().try_for_each(|database| match ghsa::is_copy(database) {
                true => ghsa::check(database),
                false => deny::advisories(database),
            })
        }
        Command::Memory { only } => memory::check(&only),
        Command::Fuzz { seconds, only } => test::fuzz(seconds, only.as_deref()),
    }
}
