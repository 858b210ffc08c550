//! Plays seeds.

use std::alloc::System;
use std::path::PathBuf;
use std::process::{ExitCode, exit};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clap::Parser;
use simulation::{Expected, Report, Script, play, shrink};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Counts what is taken and given back.
#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How much memory a run may leave behind, in bytes, on the average of many.
const LEFT: i64 = 512;

/// Scripts that failed once.
const REGRESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/regressions");

/// Plays runs over a simulated network, each drawn from a seed, and says what went wrong.
#[derive(Debug, Parser)]
struct Cli {
    /// How many seeds.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Go on from there for so long, however many that are.
    #[arg(long)]
    minutes: Option<f64>,
    /// How many threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// How many seconds a run may take, in real time, until it counts as one that never ends.
    #[arg(long, default_value_t = 300)]
    patience: u64,
    /// Play each twice, and compare the hashes of what happened.
    #[arg(long)]
    twice: bool,
    /// Print each seed's hash.
    #[arg(long)]
    hashes: bool,
    /// Print all that happens in the first seed, or in the script.
    #[arg(long)]
    trace: bool,
    /// Leave out of the first seed, or of the script, whatever it fails without.
    #[arg(long)]
    shrink: bool,
    /// Play this script instead of a seed's.
    #[arg(long)]
    script: Option<PathBuf>,
    /// Write the script that was played, or shrunk, to this file.
    #[arg(long)]
    save: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let cli = Cli::parse();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.payload().is::<Expected>() {
            hook(info);
        }
    }));
    if !cfg!(tokio_unstable) {
        eprintln!("built without --cfg tokio_unstable: no two runs of a seed are alike");
    }
    if cli.trace || cli.shrink || cli.script.is_some() || cli.save.is_some() {
        return one(&cli);
    }
    many(&cli)
}

/// Plays one script, and shows more of it.
fn one(cli: &Cli) -> Result<()> {
    let mut script = match &cli.script {
        Some(path) => serde_json::from_slice(&std::fs::read(path)?)?,
        None => Script::of(cli.seed),
    };
    let mut report = play(&script, cli.trace && !cli.shrink)?;
    if cli.shrink && !report.breaches.is_empty() {
        let (least, runs) = shrink(&script, &report)?;
        println!("{} of {} steps left after {runs} runs:", least.steps.len(), script.steps.len());
        for step in &least.steps {
            println!("{:>12.3} {:?}", step.at.as_secs_f64(), step.what);
        }
        script = least;
        report = play(&script, cli.trace)?;
    }
    if let Some(path) = &cli.save {
        std::fs::write(path, serde_json::to_string_pretty(&script)?)?;
    }
    show(script.seed, &report);
    ensure!(report.breaches.is_empty(), "seed {} fails", script.seed);
    Ok(())
}

/// What all threads add up.
#[derive(Debug, Default)]
struct Sum {
    seeds: u64,
    hours: f64,
    /// Of all hashes, whatever their order.
    hash: u64,
    events: u64,
    links: u64,
    done: u64,
    failed: u64,
    dropped: u64,
    recovery: Duration,
    failures: Vec<u64>,
    differing: Vec<u64>,
    rules: std::collections::BTreeMap<&'static str, u64>,
}

fn many(cli: &Cli) -> Result<()> {
    let start = Instant::now();
    let until = cli.minutes.map(|minutes| start + Duration::from_secs_f64(minutes * 60.0));
    let (next, sum) = (AtomicU64::new(cli.seed), Mutex::new(Sum::default()));
    // They were found once and mended.
    let entries = std::fs::read_dir(REGRESSIONS).into_iter().flatten().flatten();
    let mut scripts: Vec<_> = entries.map(|entry| entry.path()).collect();
    scripts.retain(|path| path.extension().is_some_and(|kind| kind == "json"));
    scripts.sort();
    let mut failing = 0;
    for path in &scripts {
        let script: Script = serde_json::from_slice(&std::fs::read(path)?)?;
        let report = guarded(cli, script.seed, || play(&script, false))?;
        if let Some(first) = report.breaches.first() {
            println!("{} fails: {first}", path.display());
            failing += 1;
        }
    }
    println!("{failing} of {} scripts fail", scripts.len());
    // What is needed once is taken now.
    for seed in 1..=3 {
        guarded(cli, seed, || play(&Script::of(seed), false))?;
    }
    let before = MEMORY.stats();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cli.threads.max(1))
            .map(|_| scope.spawn(|| work(cli, until, &next, &sum)))
            .collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(_) => bail!("a run panicked"),
        })
    })?;
    let now = MEMORY.stats();
    let mut sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    let kept =
        |stats: &stats_alloc::Stats| stats.bytes_allocated as i64 - stats.bytes_deallocated as i64;
    let left = kept(&now) - kept(&before);
    println!(
        "{} seeds, {:.0} h of virtual time in {:.1} s, a year in {:.0} s; hash {:016x}; {} events, {} connections, \
         {} calls done, {} failed, {} dropped; all worked again after {:?} at most; {} bytes left",
        sum.seeds,
        sum.hours,
        start.elapsed().as_secs_f64(),
        start.elapsed().as_secs_f64() * 8766.0 / sum.hours.max(0.001),
        sum.hash,
        sum.events,
        sum.links,
        sum.done,
        sum.failed,
        sum.dropped,
        sum.recovery,
        left,
    );
    for (rule, seeds) in &sum.rules {
        println!("{rule}: {seeds} seeds");
    }
    sum.failures.sort_unstable();
    println!("{} of {} seeds fail", sum.failures.len(), sum.seeds);
    ensure!(sum.differing.is_empty(), "played twice, these differ: {:?}", sum.differing);
    ensure!(sum.failures.is_empty(), "{} fail: {:?}", sum.failures.len(), sum.failures);
    ensure!(failing == 0, "{failing} scripts fail");
    let runs = (sum.seeds * if cli.twice { 2 } else { 1 }) as i64;
    ensure!(left <= 64 * 1024 + LEFT * runs, "{left} bytes are left behind of {runs} runs");
    Ok(())
}

fn work(cli: &Cli, until: Option<Instant>, next: &AtomicU64, sum: &Mutex<Sum>) -> Result<()> {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        let over = match until {
            Some(until) => Instant::now() >= until,
            None => seed >= cli.seed + cli.seeds,
        };
        if over {
            return Ok(());
        }
        let script = Script::of(seed);
        let report = guarded(cli, seed, || play(&script, false))?;
        let again = cli.twice.then(|| play(&script, false)).transpose()?;
        let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
        sum.seeds += 1;
        sum.hours += report.time.as_secs_f64() / 3600.0;
        sum.hash = sum.hash.wrapping_add(report.hash);
        sum.events += report.events;
        sum.links += report.counts.links;
        sum.done += report.counts.done;
        sum.failed += report.counts.failed;
        sum.dropped += report.counts.dropped;
        sum.recovery = sum.recovery.max(report.recovery);
        if again.is_some_and(|again| again.hash != report.hash) {
            sum.differing.push(seed);
        }
        if cli.hashes || !report.breaches.is_empty() {
            show(seed, &report);
        }
        if !report.breaches.is_empty() {
            sum.failures.push(seed);
            let rules: std::collections::BTreeSet<_> =
                report.breaches.iter().map(|breach| breach.rule).collect();
            for rule in rules {
                *sum.rules.entry(rule).or_default() += 1;
            }
        }
    }
}

/// Ends this program where a run never ends.
fn guarded<T>(cli: &Cli, seed: u64, run: impl FnOnce() -> T) -> T {
    let patience = Duration::from_secs(cli.patience);
    let (done, waiting) = std::sync::mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            if let Err(std::sync::mpsc::RecvTimeoutError::Timeout) = waiting.recv_timeout(patience)
            {
                println!("seed {seed} does not end: cargo xtask simulate --seed {seed} --trace");
                exit(2);
            }
        });
        let result = run();
        drop(done);
        result
    })
}

fn show(seed: u64, report: &Report) {
    let hours = report.time.as_secs_f64() / 3600.0;
    println!("seed {seed}: {:016x}, {} events, {hours:.2} h", report.hash, report.events);
    for breach in report.breaches.iter().take(5) {
        println!("  {breach}");
    }
    if !report.breaches.is_empty() {
        println!("  cargo xtask simulate --seed {seed} --trace (or --shrink)");
    }
}
