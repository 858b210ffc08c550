//! Runs a test program until it ends, one of its tests fails, or its time is up.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// All passed.
    Passed,
    /// This test failed; where the program ended as a whole, its status.
    Failed(String),
    /// Not in time.
    Hung,
}

/// A test program with its arguments and environment.
pub fn program(path: &Path, folder: &Path) -> Command {
    let mut command = Command::new(path);
    command.current_dir(folder).env("RUST_BACKTRACE", "0");
    // The first failure is enough.
    command.env("PROPTEST_MAX_SHRINK_ITERS", "0");
    command
}

/// Runs it, and tells of each test that passes.
pub fn run(mut command: Command, time: Duration, mut passed: impl FnMut(&str)) -> Result<End> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    let name = command.get_program().to_string_lossy().into_owned();
    let deadline = Instant::now() + time;
    let mut child = command.spawn().with_context(|| format!("could not start {name}"))?;
    let output = child.stdout.take().context("no output")?;
    let (sender, lines) = channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let end = loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                let test = line.strip_prefix("test ").and_then(|line| line.split_once(" ... "));
                match test {
                    Some((name, "FAILED")) => break Some(End::Failed(name.to_owned())),
                    Some((name, "ok")) => passed(name),
                    _ => {}
                }
            }
            Err(RecvTimeoutError::Timeout) => break Some(End::Hung),
            Err(RecvTimeoutError::Disconnected) => break None,
        }
    };
    if end.is_some()
        && let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw)
    {
        let _ = kill_process_group(group, Signal::KILL);
    }
    drop(lines);
    let status = child.wait()?;
    let _ = reader.join();
    Ok(end.unwrap_or_else(|| match status.success() {
        true => End::Passed,
        false => End::Failed(status.to_string()),
    }))
}
