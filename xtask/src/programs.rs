//! Programs of the testing tools, whose standard output is for others to read.

use std::process::Stdio;

use anyhow::{Context as _, Result, bail};

use crate::run::{cargo, root};

/// Builds and runs one of them. Nothing of ours comes between its words.
pub(crate) fn run(package: &str, name: &str, json: bool, rest: &[String]) -> Result<()> {
    let mut command = cargo();
    command.args(["run", "--quiet", "--locked", "--package", package, "--bin", name, "--"]);
    command.args(json.then_some("--json")).args(rest);
    let status = command
        .current_dir(root())
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("could not start cargo for {name}"))?;
    if !status.success() {
        bail!("{name} failed ({status})");
    }
    Ok(())
}
