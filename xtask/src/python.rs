//! The Python package: built as users get it, then everything that Python can check.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::run::{cargo, step, succeeds, target};

/// Builds the wheel, installs it into an environment of its own below the target folder, and runs
/// the linters, the checks of types and stubs, and the tests.
pub(crate) fn python() -> Result<()> {
    let place = target().join("python");
    let bin = place.join("bin");
    let python = bin.join("python");
    if !succeeds(
        &python.to_string_lossy(),
        &["-c", "import sys; sys.exit(sys.version_info < (3, 10))"],
    ) {
        let chosen = std::env::var_os("HUSSH_PYTHON").unwrap_or_else(|| "python3".into());
        step("environment", Command::new(chosen).args(["-m", "venv", "--clear"]).arg(&place))?;
    }
    let pip = || {
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        pip
    };
    step("pip", pip().args(["--upgrade", "pip>=25.1"]))?;
    step("tools", pip().args(["maturin>=1.9,<2", "--group", "hussh-python/pyproject.toml:test"]))?;

    let wheels = target().join("python-wheels");
    if wheels.exists() {
        std::fs::remove_dir_all(&wheels)?;
    }
    let mut build = Command::new(bin.join("maturin"));
    build.args(["build", "--release", "--locked", "--manifest-path", "hussh-python/Cargo.toml"]);
    build.arg("--interpreter").arg(&python).arg("--out").arg(&wheels);
    step("wheel", &mut build)?;
    let wheel = wheel(&wheels)?;
    step("install", pip().args(["--force-reinstall", "--no-deps"]).arg(wheel))?;

    step("ruff", Command::new(bin.join("ruff")).args(["check", "hussh-python"]))?;
    step(
        "ruff format",
        Command::new(bin.join("ruff")).args(["format", "--check", "hussh-python"]),
    )?;
    let mypy = || {
        let mut mypy = Command::new(&python);
        mypy.args(["-m", "mypy", "--config-file", "hussh-python/pyproject.toml", "--strict"]);
        mypy
    };
    step("mypy, package", mypy().arg("hussh-python/python/hussh"))?;
    // Against what was installed, as users have it.
    step("mypy, examples", mypy().args(["--scripts-are-modules", "hussh-python/examples"]))?;
    step("stubtest", Command::new(&python).args(["-m", "mypy.stubtest", "hussh"]))?;

    step(
        "servers",
        cargo().args(["build", "-p", "test-servers", "--example", "serve", "--locked"]),
    )?;
    let mut tests = Command::new(&python);
    step("pytest", tests.args(["-m", "pytest", "-q", "hussh-python"]))
}

fn wheel(folder: &Path) -> Result<PathBuf> {
    let entries = std::fs::read_dir(folder)?.filter_map(Result::ok);
    let mut files = entries.map(|entry| entry.path());
    let wheel = files.find(|path| path.extension().is_some_and(|ending| ending == "whl"));
    wheel.with_context(|| format!("no wheel in {}", folder.display()))
}
