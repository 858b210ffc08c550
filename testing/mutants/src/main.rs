//! `cargo xtask mutants`: breaks pool-core in every way that cargo-mutants knows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;

use mutants::compile::{Cargo, Dropped, Program};
use mutants::list::{Genre, Lines, Mutant, list};
use mutants::results::{Line, Results, Verdict};
use mutants::run::program;
use mutants::stages::Stages;
use mutants::workspace::Workspace;

/// Break pool-core in every way that cargo-mutants knows, and say what no test notices.
///
/// All mutants are built into one set of test programs, each behind a switch; then the tests that
/// reach it are run with each. What became of them is added to `target/mutants/results.jsonl`, and
/// what is known already is not tried again. Needs cargo-mutants 27, for its list.
#[derive(Parser)]
#[command(name = "cargo xtask mutants")]
struct Cli {
    /// Every n-th mutant only, beginning with the k-th, from 0.
    #[arg(long, value_name = "K/N", value_parser = shard)]
    shard: Option<(usize, usize)>,
    /// Only mutants of files whose paths contain this; several in their order.
    #[arg(long)]
    file: Vec<String>,
    /// Only mutants whose names contain this, whatever is known of them.
    #[arg(long)]
    only: Vec<String>,
    /// Those again that no test noticed.
    #[arg(long)]
    missed: bool,
    /// Leave out tests that take longer than this: what they would notice is missed. The models run
    /// with all their steps only where nothing is left out.
    #[arg(long, value_name = "SECONDS", default_value_t = 300.0)]
    most: f64,
    /// How many steps the models make, one run after another.
    #[arg(long, value_delimiter = ',', default_value = "1500,40000")]
    steps: Vec<usize>,
    /// Only build, so that another time nothing is left to be built.
    #[arg(long)]
    build: bool,
    /// Build those one by one that can't be switched, too: half a minute each.
    #[arg(long)]
    slow: bool,
    /// Only print what the models say of those that `--only` chose: the shortest script that fails.
    #[arg(long, requires = "only")]
    show: bool,
    /// Only print what is known: a table by file, and all that was missed.
    #[arg(long)]
    report: bool,
    /// A program that runs cargo: it is given `cargo …` as its arguments.
    #[arg(long)]
    before: Option<String>,
}

fn shard(text: &str) -> Result<(usize, usize), String> {
    let parts = text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
    parts.filter(|(k, n)| k < n).ok_or_else(|| "K/N with K below N, such as 0/4".to_owned())
}

const PACKAGE: &str = "pool-core";
const FEATURES: &str = "pool-core/tokio,pool-core/metrics";

fn main() -> Result<()> {
    let cli = Cli::parse();
    let (root, target) = places()?;
    let folder = target.join("mutants");
    std::fs::create_dir_all(&folder)?;
    let all = list(&root, PACKAGE)?;
    let keys = keys(&root, &all)?;
    let mut results = Results::open(&folder.join("results.jsonl"))?;
    if cli.report {
        report(&all, &keys, &results);
        return Ok(());
    }
    let mut workspace = Workspace::copy(&root, folder.join("workspace"))?;
    let homeless = workspace.place(PACKAGE, &all)?;
    let cargo = Cargo {
        before: cli.before.clone().into_iter().collect(),
        package: PACKAGE.to_owned(),
        features: FEATURES.to_owned(),
        target,
    };
    let mut dropped: BTreeMap<_, _> =
        homeless.into_iter().map(|number| (number, homeless_because(&all[number - 1]))).collect();
    for (index, key) in keys.iter().enumerate() {
        match results.of(key) {
            Some(Line { verdict: Verdict::Unviable, by, .. }) => {
                dropped.insert(index + 1, Dropped::Unviable(by.clone()));
            }
            Some(Line { verdict: Verdict::Unswitched, by, .. }) => {
                dropped.insert(index + 1, Dropped::Unswitched(by.clone()));
            }
            _ => {}
        }
    }
    cargo.settle(&workspace, &all, &mut dropped)?;
    for (number, why) in &dropped {
        let (verdict, by) = match why {
            Dropped::Unviable(by) => (Verdict::Unviable, by),
            Dropped::Unswitched(by) => (Verdict::Unswitched, by),
        };
        let (mutant, key) = (&all[number - 1], &keys[number - 1]);
        if results.of(key).is_none() {
            results.add(line(mutant, key, verdict, by.clone(), 0.0))?;
        }
    }
    println!("{} mutants, {} of them dropped", all.len(), dropped.len());
    let chosen = chosen(&cli, &all, &keys, &results);
    let programs = cargo.tests(&workspace.root)?;
    if cli.build {
        return Ok(());
    }
    let programs = aside(programs, &folder)?;
    let tests = workspace.root.join(PACKAGE);
    if cli.show {
        let chosen = chosen.into_iter().filter(|number| !dropped.contains_key(number));
        return show(chosen.map(|number| (number, &all[number - 1])), &programs, &tests);
    }
    let most = Duration::from_secs_f64(cli.most);
    let stages = Stages::measure(&programs, tests, &folder.join("trace"), most, &cli.steps)?;
    for (done, &number) in chosen.iter().enumerate() {
        let (mutant, key) = (&all[number - 1], &keys[number - 1]);
        if dropped.contains_key(&number) {
            continue;
        }
        let start = Instant::now();
        let (verdict, by) = stages.judge(number)?;
        let line = line(mutant, key, verdict, by, start.elapsed().as_secs_f64());
        println!("{}/{} {:?} {} {}", done + 1, chosen.len(), verdict, line.name, line.by);
        results.add(line)?;
    }
    if cli.slow {
        slowly(&cli, &cargo, &workspace, &stages, (&all, &keys), &mut results)?;
    }
    report(&all, &keys, &results);
    Ok(())
}

/// Why a mutant has no place in the source.
fn homeless_because(mutant: &Mutant) -> Dropped {
    match mutant.genre {
        Genre::BinaryOperator => Dropped::Unviable("conditions with `let` in them".to_owned()),
        _ => Dropped::Unswitched("not known to this tool".to_owned()),
    }
}

/// Copies programs to where no build changes them while they run.
fn aside(programs: Vec<Program>, folder: &Path) -> Result<Vec<Program>> {
    let folder = folder.join(format!("programs-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let copy = |Program { name, path }: Program| {
        let to = folder.join(&name);
        std::fs::copy(&path, &to).with_context(|| path.display().to_string())?;
        Ok(Program { name, path: to })
    };
    programs.into_iter().map(copy).collect()
}

/// The tests of the models that shorten the script that fails.
const MODELS: [(&str, &str); 2] = [
    ("invariants", "machine::i1_to_i42_hold_in_scripts_from_random_bytes"),
    ("keyed_review", "machine::k1_to_k5_hold_after_every_step"),
];

/// Has the models print what they say of these.
fn show<'a>(
    mutants: impl Iterator<Item = (usize, &'a Mutant)>,
    programs: &[Program],
    folder: &Path,
) -> Result<()> {
    for (number, mutant) in mutants {
        println!("{}", mutant.name);
        for (name, test) in MODELS {
            let path = programs.iter().find(|program| program.name == name);
            let path = &path.with_context(|| format!("no {name}"))?.path;
            let mut command = program(path, folder);
            command.env("POOL_MUTANT", number.to_string()).args(["--exact", test]);
            if !command.status()?.success() {
                break;
            }
        }
    }
    Ok(())
}

/// Builds and tests those that can't be switched, one by one.
fn slowly(
    cli: &Cli,
    cargo: &Cargo,
    workspace: &Workspace,
    stages: &Stages,
    (all, keys): (&[Mutant], &[String]),
    results: &mut Results,
) -> Result<()> {
    for (mutant, key) in all.iter().zip(keys) {
        let known = results.of(key).map(|line| line.verdict);
        if known != Some(Verdict::Unswitched) || !cli.takes(mutant) {
            continue;
        }
        let start = Instant::now();
        workspace.edit(mutant)?;
        let (verdict, by) = if cargo.compiles(&workspace.root)? {
            let programs = cargo.tests(&workspace.root)?;
            stages.with(&programs).judge(0)?
        } else {
            (Verdict::Unviable, "alone, too".to_owned())
        };
        let line = line(mutant, key, verdict, by, start.elapsed().as_secs_f64());
        println!("alone {:?} {} {}", verdict, line.name, line.by);
        results.add(line)?;
    }
    Ok(())
}

impl Cli {
    fn takes(&self, mutant: &Mutant) -> bool {
        let some = |list: &[String], text: &str| {
            list.is_empty() || list.iter().any(|it| text.contains(it))
        };
        some(&self.file, &mutant.file) && some(&self.only, &mutant.name)
    }
}

/// The numbers of those to try, in order.
fn chosen(cli: &Cli, all: &[Mutant], keys: &[String], results: &Results) -> Vec<usize> {
    let mut numbers: Vec<_> =
        (1..=all.len()).filter(|number| cli.takes(&all[number - 1])).collect();
    if let Some((k, n)) = cli.shard {
        numbers = numbers.into_iter().skip(k).step_by(n).collect();
    }
    let order = |number: &usize| {
        cli.file.iter().position(|part| all[number - 1].file.contains(part)).unwrap_or(0)
    };
    numbers.sort_by_key(order);
    numbers.retain(|number| match results.of(&keys[number - 1]).map(|line| line.verdict) {
        None => !cli.missed,
        Some(Verdict::Missed) => cli.missed || !cli.only.is_empty(),
        Some(_) => !cli.only.is_empty(),
    });
    numbers
}

fn line(mutant: &Mutant, key: &str, verdict: Verdict, by: String, seconds: f64) -> Line {
    Line { key: key.to_owned(), name: mutant.name.clone(), verdict, by, seconds }
}

/// The workspace's root and where cargo builds.
fn places() -> Result<(PathBuf, PathBuf)> {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .context("could not start cargo")?;
    if !output.status.success() {
        bail!("`cargo metadata` failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let path = |what: &str| metadata[what].as_str().map(PathBuf::from).context("cargo metadata");
    Ok((path("workspace_root")?, path("target_directory")?))
}

fn keys(root: &Path, all: &[Mutant]) -> Result<Vec<String>> {
    let mut sources = BTreeMap::new();
    for mutant in all {
        if !sources.contains_key(&mutant.file) {
            let text = std::fs::read_to_string(root.join(&mutant.file));
            sources.insert(mutant.file.clone(), text.with_context(|| mutant.file.clone())?);
        }
    }
    let lines: BTreeMap<_, _> =
        sources.iter().map(|(name, text)| (name.as_str(), Lines::new(text))).collect();
    Ok(all.iter().map(|mutant| mutant.key(&lines[mutant.file.as_str()])).collect())
}

/// How many of each kind, by file, and all that were missed.
fn report(all: &[Mutant], keys: &[String], results: &Results) {
    let mut table: BTreeMap<&str, BTreeMap<Option<Verdict>, usize>> = BTreeMap::new();
    for (mutant, key) in all.iter().zip(keys) {
        let known = results.of(key);
        let verdict = known.map(|line| line.verdict);
        for row in [mutant.file.as_str(), "all"] {
            *table.entry(row).or_default().entry(verdict).or_default() += 1;
        }
        if let Some(line) = known.filter(|line| line.verdict == Verdict::Missed) {
            println!("missed: {} {}", mutant.name, line.by);
        }
    }
    println!(
        "| file | mutants | caught | timed out | missed | unviable | unswitched | not tried |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (file, counts) in table {
        let count = |verdict| counts.get(&verdict).copied().unwrap_or(0);
        let all: usize = counts.values().sum();
        use Verdict::{Caught, Missed, Timeout, Unswitched, Unviable};
        let columns =
            [Caught, Timeout, Missed, Unviable, Unswitched].map(|it| count(Some(it)).to_string());
        println!("| `{file}` | {all} | {} | {} |", columns.join(" | "), count(None));
    }
}
