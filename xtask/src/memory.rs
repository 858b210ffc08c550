//! The calls into libssh2, watched by valgrind: reads and writes beyond what was allocated, values
//! that nobody wrote, and memory that nobody frees.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::run::{cargo, root, step, succeeds};

/// Tests that make every kind of call. Valgrind takes some thirty times as long, so those that
/// measure time or load are left out.
const TESTS: [&str; 2] = ["login", "spawn"];

/// Of these, those that move megabytes, derive keys from passphrases, or measure time.
const TOO_LONG: [&str; 5] = [
    "a_command_that_ended_takes_all_input",
    "bounded_time",
    "keys_of_every_kind",
    "megabyte",
    "unread",
];

/// Has valgrind end with an error where it found something.
const FOUND: &str = "--error-exitcode=99";

/// Builds these tests, and runs each under valgrind; `only` are words that libtest filters by.
pub(crate) fn check(only: &[String]) -> Result<()> {
    ensure!(succeeds("valgrind", &["--version"]), "valgrind is missing: apt-get install valgrind");
    for program in build()? {
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--quiet", FOUND, "--leak-check=full"]);
        valgrind.args(["--errors-for-leak-kinds=definite", "--show-leak-kinds=definite"]);
        valgrind.arg(format!("--suppressions={}", root().join("xtask/valgrind.supp").display()));
        valgrind.arg("--num-callers=40").arg(&program);
        // OpenSSL without what it has for newer processors, which valgrind misunderstands.
        valgrind.env("OPENSSL_ia32cap", "0:0");
        for name in TOO_LONG {
            valgrind.args(["--skip", name]);
        }
        // The fairness of threads is not what this is about, and one at a time is told apart.
        step("valgrind", valgrind.arg("--test-threads=1").args(only))?;
    }
    Ok(())
}

/// The programs of the tests, as cargo names them.
fn build() -> Result<Vec<PathBuf>> {
    let mut build = cargo();
    build.args(["test", "--locked", "--package", "backend-ssh2", "--no-run"]);
    build.args(["--message-format", "json"]);
    for test in TESTS {
        build.args(["--test", test]);
    }
    let output = build.current_dir(root()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("the tests do not build");
    }
    let text = String::from_utf8(output.stdout).context("what cargo says")?;
    let mut programs = Vec::new();
    for line in text.lines() {
        let message: serde_json::Value = serde_json::from_str(line).context("what cargo says")?;
        let is_test = message["profile"]["test"] == true;
        if let Some(program) = message["executable"].as_str().filter(|_| is_test) {
            programs.push(PathBuf::from(program));
        }
    }
    ensure!(programs.len() == TESTS.len(), "{} programs, not {}", programs.len(), TESTS.len());
    Ok(programs)
}
