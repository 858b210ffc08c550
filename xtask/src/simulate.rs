//! The simulation, and deliberately broken variants of what it simulates.
//!
//! It is built apart, for which tokio lets the seed of its random numbers be set only where it is
//! built with `--cfg tokio_unstable`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::run::{cargo, root, step, target};

/// Where the variants are, one a file.
const VARIANTS: &str = "testing/simulation/broken";

/// How long a seed may take with a broken variant, in seconds, until it counts as one that never ends.
const PATIENCE: &str = "30";

/// How a run ends in which a seed never does.
const ENDLESS: i32 = 2;

/// The most that a broken variant may ask for, in KiB.
const MEMORY: u64 = 4 * 1024 * 1024;

/// Builds the simulation and runs it.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let program = build(root(), "simulation")?;
    let status = Command::new(program).args(arguments).current_dir(root()).status()?;
    if !status.success() {
        bail!("the simulation failed ({status})");
    }
    Ok(())
}

/// Builds the sources of one folder into another one: cargo takes what two copies of a workspace leave
/// in one folder for the same.
fn build(source: &Path, folder: &str) -> Result<PathBuf> {
    let folder = target().join(folder);
    let mut build = cargo();
    build.args([
        "build",
        "--locked",
        "-p",
        "simulation",
        "--profile",
        "simulation",
        "--target-dir",
    ]);
    build.arg(&folder).env("RUSTFLAGS", "--cfg tokio_unstable");
    build.arg("--manifest-path").arg(source.join("Cargo.toml"));
    step("simulation", &mut build)?;
    Ok(folder.join("simulation/simulation"))
}

/// One fault: text that takes the place of other text.
struct Variant {
    name: String,
    /// Where it is, and what it does.
    about: String,
    edits: Vec<Edit>,
}

struct Edit {
    file: String,
    old: String,
    new: String,
}

/// Builds one program with all variants in it, each switched on by its name in `BROKEN`, plays seeds
/// with each, and prints a table of what was noticed.
pub(crate) fn broken(seeds: u64, only: &str) -> Result<()> {
    let mut variants = fs::read_dir(root().join(VARIANTS))?
        .map(|entry| Variant::read(&entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    variants.sort_by(|one, other| one.name.cmp(&other.name));
    let source = target().join("simulation-broken/source");
    copy_sources(&source, &variants)?;
    let program = build(&source, "simulation-broken")?;
    println!("| variant | where, what | seeds of {seeds} | by these rules |\n|---|---|---|---|");
    let mut unnoticed = Vec::new();
    for variant in variants.iter().filter(|variant| variant.name.contains(only)) {
        // A fault may make it ask for memory without end.
        let mut run = Command::new("sh");
        run.args(["-c", &format!("ulimit -v {MEMORY}; exec \"$0\" \"$@\"")]).arg(&program);
        run.args(["--seeds", &seeds.to_string(), "--patience", PATIENCE]);
        run.env("BROKEN", &variant.name);
        let output = run.output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let of = |what: &str| {
            let count = |line: &str| line.strip_suffix(what)?.split_once(" of ")?.0.parse().ok();
            said.lines().find_map(count)
        };
        let scripts: u64 = of(" scripts fail").unwrap_or_default();
        let rules = said.lines().filter_map(|line| {
            let (rule, seeds) = line.split_once(": ")?;
            Some(format!("{rule} ({})", seeds.strip_suffix(" seeds")?))
        });
        let mut rules: Vec<_> = rules.collect();
        if scripts > 0 {
            rules.push(format!("scripts ({scripts})"));
        }
        let rules = rules.join(", ");
        let count: Option<u64> = of(" seeds fail");
        let count = match count {
            Some(count) => count.to_string(),
            // By the watch over real time: something waits for what nobody does.
            None if output.status.code() == Some(ENDLESS) => "hangs".into(),
            None => format!("ended by itself ({})", output.status),
        };
        println!("| `{}` | {} | {count} | {rules} |", variant.name, variant.about);
        if output.status.success() {
            unnoticed.push(variant.name.as_str());
        }
    }
    if !unnoticed.is_empty() {
        println!("not noticed: {}", unnoticed.join(", "));
    }
    Ok(())
}

/// Copies all files of the repository, with all variants in them; those that are as they are to be
/// are left alone, so that they are not built again.
fn copy_sources(to: &Path, variants: &[Variant]) -> Result<()> {
    let mut listing = Command::new("git");
    listing.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = listing.current_dir(root()).output()?;
    ensure!(listed.status.success(), "git does not list the files of the repository");
    for name in String::from_utf8(listed.stdout)?.split_terminator('\0') {
        let from = root().join(name);
        if !from.is_file() {
            continue;
        }
        let mut content = fs::read(&from)?;
        for (variant, edit) in variants
            .iter()
            .flat_map(|variant| variant.edits.iter().map(move |edit| (variant, edit)))
            .filter(|(_, edit)| edit.file == name)
        {
            content = edit.apply(&variant.name, &String::from_utf8(content)?)?.into_bytes();
        }
        let place = to.join(name);
        if fs::read(&place).is_ok_and(|there| there == content) {
            continue;
        }
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&place, content)?;
    }
    Ok(())
}

impl Variant {
    fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)?;
        let name = path.file_stem().context("a name")?.to_string_lossy().into_owned();
        let (about, rest) = text.split_once('\n').context("no first line")?;
        let edits = rest
            .split("\n@@ ")
            .skip(1)
            .map(|part| {
                let parsed = part.split_once("\n@@").and_then(|(edit, _)| {
                    let (file, texts) = edit.split_once('\n')?;
                    let (old, new) = texts.split_once("\n==\n")?;
                    let (file, old, new) = (file.into(), old.into(), new.into());
                    Some(Edit { file, old, new })
                });
                parsed.with_context(|| format!("{name}: no edit: {part}"))
            })
            .collect::<Result<_>>()?;
        Ok(Self { name, about: about.into(), edits })
    }
}

impl Edit {
    fn apply(&self, name: &str, text: &str) -> Result<String> {
        let count = text.matches(&self.old).count();
        ensure!(count == 1, "{name}: {} has its text {count} times", self.file);
        let switch = format!("std::env::var(\"BROKEN\").as_deref().eq(&Ok(\"{name}\"))");
        Ok(text.replacen(&self.old, &self.new.replace("BROKEN!", &switch), 1))
    }
}
