//! Commands whose output is handed on while they run.

use std::time::Instant;

use hussh::{Command, Error, Output, PartialOutput, SshError};

use crate::operation::{Collected, Desk};
use crate::session::Carrier;
use crate::value::Value;

/// Runs a command to its end; its output goes to the desk as it comes, and is collected as well
/// where somebody wants to keep it.
pub(crate) async fn run(
    carrier: &Carrier,
    command: &Command,
    desk: &Desk,
    keep: bool,
) -> Result<Value, Error> {
    let start = Instant::now();
    let process = carrier.spawn(command).await?;
    let mut collected = Collected::default();
    loop {
        match process.read().await {
            Ok(Some(chunk)) => {
                if keep && let Err(limit) = collected.add(&chunk, command.output_limit(None)) {
                    // Dropped before its end, it is stopped.
                    let (stdout, stderr) = collected.into_bytes();
                    let partial = Box::new(PartialOutput { stdout, stderr });
                    let target = carrier.target().clone();
                    return Err(SshError::OutputLimit { target, limit, partial }.into());
                }
                desk.put(chunk).await;
            }
            Ok(None) => break,
            Err(error) => return Err(with_output(error, collected)),
        }
    }
    match process.wait().await {
        Ok(status) => {
            let (stdout, stderr) = collected.into_bytes();
            Ok(Value::Output(Output { stdout, stderr, status }, start.elapsed()))
        }
        Err(error) => Err(with_output(error, collected)),
    }
}

/// The error of a process, which knows nothing of what was read before.
fn with_output(error: Error, collected: Collected) -> Error {
    let (stdout, stderr) = collected.into_bytes();
    match error {
        Error::Ssh(error) => Error::Ssh(error.with_output(stdout, stderr)),
        other => other,
    }
}
