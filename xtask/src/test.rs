//! The checks that every change must pass.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};

use crate::run::{cargo, root, step, succeeds};
use crate::{deny, features, python, setup, simulate};

/// All that can be on at once without building OpenSSL from its source (`vendored-openssl`).
const FEATURES: &str = "pool-core/tokio,pool-core/metrics";

pub(crate) fn all() -> Result<()> {
    setup::check()?;
    step("format", cargo().args(["fmt", "--all", "--check"]))?;
    deny::check()?;
    let mut clippy = cargo();
    clippy.args(["clippy", "--workspace", "--all-targets", "--features", FEATURES, "--locked"]);
    step("clippy", clippy.args(["--", "-D", "warnings"]))?;
    // With all its features on, pool-core would hide what it lacks without them.
    let mut plain = cargo();
    plain.args(["clippy", "-p", "pool-core", "--lib", "--locked"]);
    step("clippy, pool-core without features", plain.args(["--", "-D", "warnings"]))?;
    let mut doc = cargo();
    doc.env("RUSTDOCFLAGS", "-D warnings");
    doc.args(["doc", "--workspace", "--no-deps", "--features", FEATURES, "--locked"]);
    step("docs", &mut doc)?;
    // As programs: tests run them. With the tests they are built as tests of themselves only.
    let mut examples = cargo();
    examples.args(["build", "--workspace", "--examples", "--features", FEATURES, "--locked"]);
    step("examples", &mut examples)?;
    let mut tests = runner();
    tests.args(["--workspace", "--exclude", "crash-test", "--features", FEATURES, "--locked"]);
    step("tests", &mut tests)?;
    // By itself: with the features that other members ask of tokio its locks don't survive a fork.
    step("crash test, quick", runner().args(["-p", "crash-test", "--locked"]))?;
    let mut forks = runner_of(&["--test", "forked"]);
    step("forks", forks.args(["-p", "backend-russh", "--locked"]))?;
    simulate::run(&["--seeds".into(), "100".into(), "--twice".into()])?;
    let mut doctests = cargo();
    doctests.args(["test", "--doc", "--workspace", "--features", FEATURES, "--locked"]);
    step("doctests", &mut doctests)?;
    // As the fuzz target reads them, and others each time; a failure prints the script.
    let seed = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut scripts = cargo();
    scripts.env("POOL_STEPS", "400000").env("POOL_SEED", seed.to_string());
    scripts.args(["test", "--workspace", "--features", FEATURES, "--locked"]);
    step("2,400,000 random steps", scripts.args(["--test", "invariants", "machine"]))?;
    let mut models = cargo();
    models.env("RUSTFLAGS", "--cfg loom").env("LOOM_MAX_PREEMPTIONS", "2");
    models.args(["test", "-p", "pool-core", "--release", "--target-dir", "target/loom"]);
    step("the shell under loom", models.args(["--test", "loom", "--locked"]))?;
    features::rest()?;
    python::python()?;
    println!("==> all checks passed");
    Ok(())
}

/// cargo-nextest where it is installed, else cargo's own runner.
pub(crate) fn runner() -> Command {
    runner_of(&["--lib", "--bins", "--tests", "--examples"])
}

fn runner_of(targets: &[&str]) -> Command {
    let mut command = cargo();
    if succeeds("cargo", &["nextest", "--version"]) {
        command.args(["nextest", "run"]);
    } else {
        command.arg("test");
    }
    command.arg("--no-fail-fast").args(targets);
    command
}

/// Runs the targets, or the one of this name, for so long each; the last lines of each run say how
/// many scripts a second were executed.
pub(crate) fn fuzz(seconds: u64, only: Option<&str>) -> Result<()> {
    if !succeeds("cargo", &["fuzz", "--version"]) {
        bail!("cargo-fuzz is missing: cargo install cargo-fuzz");
    }
    let targets = root().join("fuzz/fuzz_targets");
    let mut names: Vec<_> = std::fs::read_dir(targets)?
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    if let Some(only) = only {
        names.retain(|name| name == only);
        if names.is_empty() {
            bail!("no fuzz target is named {only}: see fuzz/fuzz_targets");
        }
    }
    for name in names {
        let mut run = Command::new("cargo");
        run.args(["+nightly", "fuzz", "run", &name]);
        let seeds = format!("fuzz/seeds/{name}");
        if root().join(&seeds).is_dir() {
            let corpus = format!("fuzz/corpus/{name}");
            std::fs::create_dir_all(root().join(&corpus))?;
            run.args([corpus, seeds]);
        }
        let time = format!("-max_total_time={seconds}");
        run.args(["--", &time, "-print_final_stats=1"]);
        step(&format!("fuzz {name}"), &mut run)?;
    }
    Ok(())
}
