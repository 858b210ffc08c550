//! The crash test and the soak, which are programs of the crate `faults`.

use anyhow::{Context, Result, bail};

use crate::run::{cargo, root};

/// Runs the program with these arguments; what it prints is all that is printed.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let status = cargo()
        .args(["run", "--quiet", "--release", "--package", "faults", "--locked", "--"])
        .args(arguments)
        .current_dir(root())
        .status()
        .context("could not start cargo")?;
    if !status.success() {
        bail!("`faults {}` failed ({status})", arguments.join(" "));
    }
    Ok(())
}
