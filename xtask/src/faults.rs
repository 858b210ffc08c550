//! The crash test and the soak, which are programs of the crate `crash-test`.

use anyhow::{Context, Result, bail};

use crate::run::{cargo, root};

/// Runs the program with these arguments; what it prints is all that is printed.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut command = cargo();
    command.args(["run", "--quiet", "--locked", "--package", "crash-test"]);
    // What sessions cost is of interest as users build it.
    if arguments.first().is_some_and(|what| what == "idle") {
        command.arg("--release");
    }
    let status = command
        .arg("--")
        .args(arguments)
        .current_dir(root())
        .status()
        .context("could not start cargo")?;
    if !status.success() {
        bail!("`crash-test {}` failed ({status})", arguments.join(" "));
    }
    Ok(())
}
