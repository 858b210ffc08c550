//! What pooled SSH sessions save: the same commands with a connection each and through a pool.
//!
//! ```text
//! cargo run --release --example handshake_savings
//! cargo run --release --example handshake_savings -- --round-trip 20
//! cargo run --release --example handshake_savings -- --sshd --commands 500 --connections 8
//! cargo run --release --example handshake_savings -- --host deploy@myserver.example.com
//! ```
//!
//! It needs no server: it starts one inside its own process. Both halves run on the same threads.
#![forbid(unsafe_code)]

mod arguments;
mod half;
mod login;
mod own;
mod progress;
mod report;
mod server;
mod stage;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;

use arguments::{Arguments, Ask};
use half::Work;
use report::Report;
use stage::Stage;

fn main() -> ExitCode {
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(Ask::Help(text)) => return finish(report::print(&text), ExitCode::FAILURE),
        Err(Ask::Nonsense(sentence)) => return finish(Err(sentence), ExitCode::from(2)),
    };
    let stage = match Stage::watch() {
        Ok(stage) => stage,
        Err(error) => return finish(Err(error), ExitCode::FAILURE),
    };
    let result = measure(&arguments, &stage);
    stage.clear();
    finish(result.and_then(|report| report.show(arguments.json)), ExitCode::FAILURE)
}

fn measure(arguments: &Arguments, stage: &Stage) -> Result<Report> {
    let login = stage.open(arguments)?;
    let work = Work {
        command: arguments.command.clone(),
        commands: arguments.commands,
        threads: arguments.threads(),
    };
    let before = stage.counted(0)?;
    let mut fresh = half::fresh(&login, &work)?;
    let between = stage.counted(work.commands)?;
    let mut pooled = half::pooled(&login, &work, arguments.connections)?;
    let after = stage.counted(2 * work.commands)?;
    // The server's own figures, where it is one of ours.
    if let (Some(before), Some(between), Some(after)) = (before, between, after) {
        fresh.handshakes = between.saturating_sub(before);
        pooled.handshakes = after.saturating_sub(between);
    }
    Ok(Report {
        server: stage.server_name()?,
        server_counted: before.is_some(),
        connections: arguments.connections,
        work,
        fresh,
        pooled,
    })
}

/// Says in one sentence what went wrong.
fn finish(result: Result<()>, failure: ExitCode) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    // With nowhere to say it, the exit code has to do.
    let _ = writeln!(std::io::stderr(), "handshake_savings: {error}");
    failure
}
