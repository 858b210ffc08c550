//! The grid of logins: each method with each backend on each server, right and wrong, and how often
//! the server was asked.
//!
//! A right credential must get in without a refusal before it. A wrong one must be refused once, by
//! one session and by eight threads at once that want one from a pool. What a server has not got is
//! known here ([`Method::missing`]), and must fail without anything being tried.

mod backend;
mod cell;
mod fixture;
mod method;
mod server;

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context as _, Result};
use backend::Backend;
use cell::Cell;
use clap::Parser;
use conformance::suite::ServerKind;
use fixture::Fixture;
use method::Method;
use test_servers::agent::Agent;

/// Logs in by every method, with every backend, on every server; right and wrong.
#[derive(Parser)]
struct Arguments {
    /// Only methods with this in their name.
    #[arg(long)]
    method: Option<String>,
    /// Only this backend.
    #[arg(long, value_parser = Backend::ALL.map(Backend::name))]
    backend: Option<String>,
    /// Only this server.
    #[arg(long, value_parser = ServerKind::ALL.map(ServerKind::name))]
    server: Option<String>,
    /// How many cells are run at once.
    #[arg(long, default_value_t = 3)]
    jobs: usize,
}

/// Set once the environment is ours: `Auth::Auto` looks there for a home and an agent.
const OURS: &str = "HUSSH_AUTH_GRID";

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if std::env::var_os(OURS).is_none() {
        return in_own_environment();
    }
    let fixture = Fixture::new()?;
    let chosen: Vec<_> = Method::ALL
        .into_iter()
        .filter(|method| {
            arguments.method.as_deref().is_none_or(|part| method.name().contains(part))
        })
        .flat_map(|method| ServerKind::ALL.map(|place| (method, place)))
        .filter(|(_, place)| arguments.server.as_deref().is_none_or(|name| place.name() == name))
        .flat_map(|(method, place)| Backend::ALL.map(|backend| (method, place, backend)))
        .filter(|(.., backend)| {
            arguments.backend.as_deref().is_none_or(|name| backend.name() == name)
        })
        .collect();
    let (next, cells) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(|| {
                while let Some((method, place, backend)) =
                    chosen.get(next.fetch_add(1, Ordering::Relaxed)).copied()
                {
                    let cell = Cell::run(&fixture, method, place, backend);
                    cells.lock().expect("no panic before").push(cell);
                }
            });
        }
    });
    let cells = cells.into_inner().expect("no panic before");
    print(&chosen, &cells);
    let good = !cells.is_empty() && cells.iter().all(|cell| cell.outcome.is_ok());
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Starts this program again with a home and an agent made for it.
fn in_own_environment() -> Result<ExitCode> {
    let home = tempfile::tempdir()?;
    fixture::fill_home(home.path())?;
    // There, and with nothing in it: what `Auto` finds has to be in the home.
    let agent = Agent::start()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg0("auth").args(std::env::args_os().skip(1));
    command.env(OURS, "1").env("HOME", home.path()).env("SSH_AUTH_SOCK", agent.socket());
    let status = command.status().context("could not start again")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The grid as a table of Markdown, what there is not, and what went wrong.
fn print(chosen: &[(Method, ServerKind, Backend)], cells: &[Cell]) {
    let of = |method, place, backend| {
        cells
            .iter()
            .find(|cell| (cell.method, cell.place, cell.backend) == (method, place, backend))
    };
    let places: Vec<_> = ServerKind::ALL
        .into_iter()
        .filter(|place| chosen.iter().any(|(_, it, _)| it == place))
        .collect();
    let names: Vec<_> = places.iter().map(|place| place.name()).collect();
    println!("Refusals that the server counted: right / wrong / wrong from 8 threads at once.\n");
    println!("| method | backend | {} |", names.join(" | "));
    println!("|---|---|{}", "---|".repeat(places.len()));
    for method in Method::ALL {
        for backend in Backend::ALL {
            let row: Vec<_> =
                places.iter().filter_map(|place| of(method, *place, backend)).collect();
            if row.is_empty() {
                continue;
            }
            let shown: Vec<_> = row.iter().map(|cell| cell.shown()).collect();
            println!("| {} | {} | {} |", method.name(), backend.name(), shown.join(" | "));
        }
    }
    println!("\n– is not there, and was tried to no avail:");
    for method in Method::ALL {
        for place in &places {
            let tried = Backend::ALL.iter().any(|backend| of(method, *place, *backend).is_some());
            if let Some(why) = method.missing(*place).filter(|_| tried) {
                println!("* {} on {}: {why}", method.name(), place.name());
            }
        }
    }
    println!(
        "* Dropbear says nothing of keys that it refuses: there it is the connections that ended"
    );
    println!("  before anybody had logged in, marked c.");
    let failures: Vec<_> = cells.iter().filter_map(Cell::failure).collect();
    println!("\n{} cells, {} of them not as they must be", cells.len(), failures.len());
    for failure in failures {
        println!("  {failure}");
    }
}
