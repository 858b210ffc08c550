//! The sets of features that `hussh` can have: each is built from nothing without a warning, and passes the tests.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, bail};

use crate::run::{cargo, root, succeeds};
use crate::test::runner;

/// One way to choose features.
struct FeatureSet {
    name: &'static str,
    arguments: &'static [&'static str],
    /// Whether it must build where neither pkg-config nor OpenSSL can be found.
    needs_no_openssl: bool,
}

const FEATURE_SETS: [FeatureSet; 4] = [
    FeatureSet { name: "default", arguments: &[], needs_no_openssl: false },
    FeatureSet {
        name: "russh",
        arguments: &["--no-default-features", "--features", "russh"],
        needs_no_openssl: true,
    },
    FeatureSet {
        name: "ssh2",
        arguments: &["--no-default-features", "--features", "ssh2"],
        needs_no_openssl: false,
    },
    FeatureSet {
        name: "ssh2 + vendored-openssl",
        arguments: &["--no-default-features", "--features", "ssh2,vendored-openssl"],
        needs_no_openssl: true,
    },
];

/// What came of a set.
struct Outcome {
    name: &'static str,
    warnings: usize,
    seconds: f64,
    tests: String,
}

/// Builds with every set, `clean` from nothing, and runs its tests.
pub(crate) fn all(clean: bool) -> Result<()> {
    check(&FEATURE_SETS, clean)
}

/// Every set but the default, which the workspace's own tests are about.
pub(crate) fn rest() -> Result<()> {
    check(&FEATURE_SETS[1..], false)
}

fn check(sets: &[FeatureSet], clean: bool) -> Result<()> {
    no_feature_is_one_clear_error()?;
    russh_alone_knows_no_openssl()?;
    let mut outcomes = Vec::new();
    for set in sets {
        println!("==> features {}", set.name);
        let (warnings, seconds) = set.build(clean)?;
        let tests = set.test()?;
        outcomes.push(Outcome { name: set.name, warnings, seconds, tests });
    }
    println!("{:<26} {:>8} {:>10}  tests", "features", "warnings", "build");
    for Outcome { name, warnings, seconds, tests } in &outcomes {
        println!("{name:<26} {warnings:>8} {seconds:>8.1} s  {tests}");
    }
    match outcomes.iter().find(|outcome| outcome.warnings > 0) {
        Some(outcome) => bail!("features {} builds with warnings", outcome.name),
        None => Ok(()),
    }
}

impl FeatureSet {
    /// Builds the library; the number of warnings, and how long it took.
    fn build(&self, clean: bool) -> Result<(usize, f64)> {
        let mut build = cargo();
        build.args(["build", "-p", "hussh", "--lib", "--locked"]).args(self.arguments);
        build.arg("--message-format=short");
        let scratch = root().join("target/features");
        if clean {
            if scratch.exists() {
                std::fs::remove_dir_all(&scratch)?;
            }
            build.arg("--target-dir").arg(&scratch);
        }
        if self.needs_no_openssl {
            hide_openssl(&mut build);
        }
        let start = Instant::now();
        let output = build.current_dir(root()).stdin(Stdio::null()).output()?;
        let seconds = start.elapsed().as_secs_f64();
        let text = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!("features {} does not build:\n{text}", self.name);
        }
        if clean {
            std::fs::remove_dir_all(&scratch)?;
        }
        Ok((text.matches("warning:").count(), seconds))
    }

    /// Runs its tests; the runner's own summary.
    fn test(&self) -> Result<String> {
        // The demo is an example, and one of the tests runs it.
        let mut example = cargo();
        example.args(["build", "-p", "hussh", "--examples", "--locked"]).args(self.arguments);
        let built = example.current_dir(root()).stdin(Stdio::null()).status()?;
        if !built.success() {
            bail!("features {}: its example does not build", self.name);
        }
        let mut tests = runner();
        tests.args(["-p", "hussh", "--locked"]).args(self.arguments);
        let output = tests.current_dir(root()).stdin(Stdio::null()).output()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        if !output.status.success() {
            bail!("features {}: tests failed:\n{text}", self.name);
        }
        let lines = text.lines().map(str::trim);
        let summary: Vec<_> = lines
            .filter(|line| line.starts_with("Summary") || line.starts_with("test result:"))
            .collect();
        Ok(summary.join("; "))
    }
}

/// As on a machine without pkg-config and without OpenSSL's headers.
fn hide_openssl(command: &mut Command) {
    command.env("PKG_CONFIG", "false").env("OPENSSL_DIR", "/nonexistent");
}

fn no_feature_is_one_clear_error() -> Result<()> {
    let mut check = cargo();
    check.args(["check", "-p", "hussh", "--lib", "--no-default-features", "--locked"]);
    let output = check.current_dir(root()).stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let errors = text.lines().filter(|line| line.starts_with("error: ")).count();
    // Ours, and cargo's own that it could not compile.
    if output.status.success() || errors != 2 || !text.contains("hussh needs a backend") {
        bail!("without a backend there must be one clear error, but there is:\n{text}");
    }
    println!("==> no feature: one clear error");
    Ok(())
}

fn russh_alone_knows_no_openssl() -> Result<()> {
    for package in ["openssl-sys", "libssh2-sys", "libz-sys"] {
        let mut arguments = vec!["tree", "-p", "hussh", "--no-default-features"];
        arguments.extend(["--features", "russh", "-e", "no-dev", "--locked", "-i", package]);
        let cargo = cargo().get_program().to_string_lossy().into_owned();
        if succeeds(&cargo, &arguments) {
            bail!("russh alone depends on {package}; see cargo {}", arguments.join(" "));
        }
    }
    println!("==> russh alone depends on no OpenSSL, libssh2 or zlib");
    Ok(())
}
