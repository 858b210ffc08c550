//! Random borrows and random faults for a long time: nothing may be lost in silence, run twice, or
//! grow.

use std::fmt::Write as _;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use test_servers::proxy::Direction;
use test_servers::sshd::Sshd;

use crate::api::{Api, Pool};
use crate::figures::Figures;
use crate::stage::{Load, Setup, Stage, ms};

/// Threads or tasks that borrow, for each way to use the product.
const WORKERS: usize = 8;

/// How often figures are taken.
const SAMPLE: Duration = Duration::from_secs(3);

/// What memory may grow by between the first and the last third of the run, beside 5 %.
const SLACK_KIB: u64 = 4096;

/// One way to use the product, under load.
struct Player {
    stage: Stage,
    pool: Arc<dyn Pool>,
    load: Load,
    faults: usize,
}

/// Plays for so long.
pub fn soak(minutes: f64) -> Result<()> {
    let length = Duration::from_secs_f64(minutes * 60.0);
    let setup = Setup { quick: false, program: std::env::current_exe()? };
    let mut players = Vec::new();
    for api in Api::ALL {
        let server = Sshd::builder().max_startups("500").max_sessions(100);
        let name = format!("soak-{}-{}", api.backend(), api.style());
        let stage = Stage::with(api, &setup, &name, server)?;
        let pool = stage.pool(|plan| {
            plan.max_connections(6)
                .idle_timeout(Duration::from_secs(3))
                .max_lifetime(Duration::from_secs(15))
                .connect_timeout(Duration::from_secs(2))
        })?;
        let load = stage.load(&pool, WORKERS)?;
        players.push(Player { stage, pool, load, faults: 0 });
    }
    let start = Instant::now();
    let mut samples: Vec<(Duration, Figures)> = Vec::new();
    let mut random = fastrand::Rng::with_seed(7);
    while start.elapsed() < length {
        let until = Instant::now() + SAMPLE;
        while Instant::now() < until {
            thread::sleep(ms(random.u64(100..900)));
            let player = random.usize(..players.len());
            if let Some(player) = players.get_mut(player) {
                player.strike(&mut random)?;
            }
        }
        let mut figures = Figures::now();
        let books: usize = players.iter().map(|player| player.stage.ledger.size()).sum();
        figures.memory = figures.memory.saturating_sub(books as u64 / 1024);
        samples.push((start.elapsed(), figures));
        if samples.len().is_multiple_of(10) {
            eprintln!("{:>4.0} s: {:?}", start.elapsed().as_secs_f64(), samples.last());
        }
    }
    let mut table = String::from(
        "| backend | api | commands | lost | reported | not sent | doubled | wrong | hung | faults \
         | logins |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    let mut failures = Vec::new();
    let mut commands = 0;
    for player in players {
        commands += player.end(&mut table, &mut failures)?;
    }
    println!("{table}");
    println!("{commands} commands in {:.1} minutes", start.elapsed().as_secs_f64() / 60.0);
    print!("{}", level(&samples, length, &mut failures));
    if !failures.is_empty() {
        bail!("{}", failures.join("; "));
    }
    Ok(())
}

impl Player {
    /// Does one thing at random, and undoes it where it lasts.
    fn strike(&mut self, random: &mut fastrand::Rng) -> Result<()> {
        let Self { stage, pool, faults, .. } = self;
        *faults += 1;
        let proxy = &stage.proxy;
        match random.u32(..12) {
            0 => proxy.cut(),
            1 => proxy.reset(),
            2 => proxy.half_open(),
            3 => {
                proxy.black_hole();
                thread::sleep(ms(random.u64(50..1800)));
                proxy.resume();
            }
            4 => stage.server.kill_sessions()?,
            5 => {
                proxy.refuse(true)?;
                thread::sleep(ms(300));
                proxy.refuse(false)?;
            }
            6 => proxy.delay(ms(random.u64(0..20))),
            7 => proxy.jitter(ms(random.u64(0..10))),
            8 => {
                proxy.cut_after(Some(random.u64(..20_000)), Direction::ToClient);
                thread::sleep(ms(500));
                proxy.cut_after(None, Direction::ToClient);
            }
            9 => pool.resize(random.usize(1..=6)),
            10 => pool.resize(6),
            _ => proxy.heal()?,
        }
        Ok(())
    }

    fn end(self, table: &mut String, failures: &mut Vec<String>) -> Result<usize> {
        let Self { stage, pool, load, faults } = self;
        stage.proxy.heal()?;
        pool.resize(6);
        let ended = load.end();
        stage.run(&*pool).context("after the faults")?;
        pool.close()?;
        thread::sleep(ms(500));
        let sums = stage.ledger.sums()?;
        let api = stage.api;
        writeln!(
            table,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {faults} | {} |",
            api.backend(),
            api.style(),
            sums.commands,
            sums.lost,
            sums.reported_lost,
            sums.not_sent,
            sums.doubled,
            sums.wrong,
            sums.hung,
            stage.server.authentications(),
        )?;
        let whole = || -> Result<()> {
            ended?;
            ensure!(sums.lost == sums.reported_lost, "lost in silence");
            ensure!(sums.doubled + sums.wrong + sums.hung == 0, "not clean");
            Ok(())
        };
        if let Err(error) = whole() {
            failures.push(format!("{api}: {error}: {sums:?}"));
        }
        eprintln!("{api}: {:?}", stage.ledger.errors().iter().take(4).collect::<Vec<_>>());
        Ok(sums.commands)
    }
}

/// Whether what was sampled stays level: the first minute (or quarter) is left out, and the middle
/// of the last third is compared with the middle of the first.
fn level(samples: &[(Duration, Figures)], length: Duration, failures: &mut Vec<String>) -> String {
    let warm = Duration::from_secs(60).min(length / 4);
    let rest: Vec<_> = samples.iter().filter(|(at, _)| *at > warm).map(|(_, f)| *f).collect();
    let third = (rest.len() / 3).max(1);
    let mut text =
        String::from("| figure | first third | last third | most |\n|---|--:|--:|--:|\n");
    type Pick = fn(&Figures) -> u64;
    let picks: [(&str, Pick, u64); 3] = [
        ("memory without the books, KiB", |figures| figures.memory, SLACK_KIB),
        ("descriptors", |figures| figures.descriptors, 20),
        ("threads", |figures| figures.threads, 10),
    ];
    for (name, pick, slack) in picks {
        let median = |part: &[Figures]| {
            let mut values: Vec<_> = part.iter().map(pick).collect();
            values.sort_unstable();
            values.get(values.len() / 2).copied().unwrap_or(0)
        };
        let first = median(rest.get(..third).unwrap_or_default());
        let last = median(rest.get(rest.len().saturating_sub(third)..).unwrap_or_default());
        let most = rest.iter().map(pick).max().unwrap_or(0);
        let _ = writeln!(text, "| {name} | {first} | {last} | {most} |");
        if last > first + first / 20 + slack {
            failures.push(format!("{name} grew from {first} to {last}"));
        }
    }
    text
}
