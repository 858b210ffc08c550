//! One command on many hosts, of which one is dead, one slow and one refuses:
//! `cargo run -p benches --bin fleet`.
//!
//! The servers are embedded ones on loopback addresses, in a process of their own; each way of going
//! there has a process of its own, too, so that memory and descriptors are those of the client alone.
#![forbid(unsafe_code)]

mod hosts;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, ValueEnum};
use hussh::sync::{self, Library, Libssh2, Russh};
use hussh::{AsyncMultiConnection, Builder, FleetKind, HostResult, Output};

use self::hosts::Hosts;

/// Runs one command on many hosts.
#[derive(Debug, Parser)]
struct Options {
    /// How many hosts answer, one of them slowly; two more never do.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=1000))]
    hosts: u16,
    /// How many are worked on at a time.
    #[arg(long, default_value_t = 100)]
    at_once: usize,
    /// How long one may take, in seconds.
    #[arg(long, default_value_t = 10)]
    host_timeout: u64,
    /// Leaves out the dead, the refusing and the slow one: to compare.
    #[arg(long)]
    all_well: bool,
    /// One way of going there, in this process.
    #[arg(long)]
    way: Option<Way>,
    /// Is the servers: as many, until standard input ends.
    #[arg(long, hide = true)]
    serve: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Way {
    /// Threads over libssh2.
    Ssh2,
    /// Threads over russh.
    Russh,
    /// Tasks over russh.
    Tasks,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if options.serve {
        return hosts::serve(options.hosts, options.all_well);
    }
    let Some(way) = options.way else { return all_ways() };
    let hosts = Hosts::start(options.hosts, options.all_well)?;
    match way {
        Way::Ssh2 => threads::<Libssh2>("threads, libssh2", &options, &hosts),
        Way::Russh => threads::<Russh>("threads, russh", &options, &hosts),
        Way::Tasks => tasks(&options, &hosts),
    }
}

/// Each way in a process of its own, with the same options.
fn all_ways() -> Result<()> {
    println!(
        "way                answered  failed  last good  all over  peak memory  descriptors  open"
    );
    for way in ["ssh2", "russh", "tasks"] {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(std::env::args_os().skip(1)).args(["--way", way]);
        let status = command.status().context("the fleet again")?;
        if !status.success() {
            bail!("{way} failed ({status})");
        }
    }
    Ok(())
}

fn threads<L: Library>(name: &str, options: &Options, hosts: &Hosts) -> Result<()> {
    let watch = Watch::default();
    let builder = told(sync::MultiConnection::<L>::builder(), options, hosts, &watch);
    let fleet = builder.build()?;
    let mut tally = Tally::new(hosts);
    for result in fleet.execute("echo $$")? {
        tally.add(&result)?;
    }
    tally.print(name, &watch, fleet.stats().open)
}

#[tokio::main]
async fn tasks(options: &Options, hosts: &Hosts) -> Result<()> {
    let watch = Watch::default();
    let fleet = told(AsyncMultiConnection::builder(), options, hosts, &watch).build()?;
    let mut tally = Tally::new(hosts);
    let mut run = fleet.execute("echo $$")?;
    while let Some(result) = run.next().await {
        tally.add(&result)?;
    }
    tally.print("tasks, russh", &watch, fleet.stats().open)
}

fn told<T: FleetKind>(
    builder: Builder<T>,
    options: &Options,
    hosts: &Hosts,
    watch: &Watch,
) -> Builder<T> {
    let watch = watch.clone();
    builder
        .username("demo")
        .password(hosts::PASSWORD)
        .known_hosts([hosts.known_hosts()])
        .hosts(hosts.names())
        .hosts_at_once(options.at_once)
        .host_timeout(Duration::from_secs(options.host_timeout))
        .progress(move |_| watch.look())
}

/// The most descriptors seen.
#[derive(Clone, Default)]
struct Watch(Arc<AtomicUsize>);

impl Watch {
    fn look(&self) {
        let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        self.0.fetch_max(open, Ordering::Relaxed);
    }
}

/// What has come back.
struct Tally<'h> {
    hosts: &'h Hosts,
    start: Instant,
    answered: usize,
    failed: usize,
    last: Duration,
}

impl<'h> Tally<'h> {
    fn new(hosts: &'h Hosts) -> Self {
        Self { hosts, start: Instant::now(), answered: 0, failed: 0, last: Duration::ZERO }
    }

    fn add(&mut self, result: &HostResult<Output>) -> Result<()> {
        match &result.result {
            Ok(_) => {
                self.answered += 1;
                self.last = self.start.elapsed();
            }
            Err(error) if self.hosts.answers(&result.host) => bail!("{error}"),
            Err(_) => self.failed += 1,
        }
        Ok(())
    }

    fn print(self, name: &str, watch: &Watch, open: usize) -> Result<()> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        println!(
            "{name:<18} {:>8}  {:>6}  {:>8.2}s  {:>7.2}s  {:>8} MiB  {:>11}  {open:>4}",
            self.answered,
            self.failed,
            self.last.as_secs_f64(),
            self.start.elapsed().as_secs_f64(),
            peak.context("no VmHWM")? >> 10,
            watch.0.load(Ordering::Relaxed),
        );
        Ok(())
    }
}
