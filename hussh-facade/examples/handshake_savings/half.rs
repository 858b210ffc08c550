//! The two halves: the same commands on the same threads, once with a connection each, once
//! through a pool.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use hussh::Output;

use crate::login::Login;
use crate::progress::Progress;

/// What both halves do.
pub(crate) struct Work {
    pub(crate) command: String,
    pub(crate) commands: usize,
    pub(crate) threads: usize,
}

/// What a half took.
pub(crate) struct Half {
    pub(crate) handshakes: usize,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) wall: Duration,
}

/// Connects, runs and disconnects for each command.
pub(crate) fn fresh(login: &Login, work: &Work) -> Result<Half> {
    let opened = AtomicUsize::new(0);
    let half = run("fresh", work, || {
        let connection = login.connect()?;
        opened.fetch_add(1, Ordering::Relaxed);
        succeeded(work, &connection.execute(&work.command)?)
    })?;
    Ok(Half { handshakes: opened.into_inner(), ..half })
}

/// Borrows, runs and gives back for each command. What opening the pool's connections takes is
/// part of the time.
pub(crate) fn pooled(login: &Login, work: &Work, connections: usize) -> Result<Half> {
    let pool = login.pool(connections)?;
    let half = run("pooled", work, || succeeded(work, &pool.execute(&work.command)?))?;
    let opened = pool.stats().counters.created;
    Ok(Half { handshakes: usize::try_from(opened).unwrap_or(usize::MAX), ..half })
}

fn succeeded(work: &Work, output: &Output) -> Result<()> {
    if output.success() {
        return Ok(());
    }
    let complaint = output.stderr_lossy();
    let complaint = complaint.lines().next().unwrap_or_default();
    if complaint.is_empty() {
        bail!("the command {:?} failed: {}", work.command, output.status);
    }
    bail!("the command {:?} failed: {}, saying {complaint:?}", work.command, output.status)
}

/// Runs all commands, and gives up at the first that fails.
fn run(name: &'static str, work: &Work, once: impl Fn() -> Result<()> + Sync) -> Result<Half> {
    let progress = Progress::start(name, work.commands);
    let (taken, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let worker = || -> Result<Vec<Duration>> {
        let mut times = Vec::new();
        while !failed.load(Ordering::Relaxed)
            && taken.fetch_add(1, Ordering::Relaxed) < work.commands
        {
            let start = Instant::now();
            once().inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
            times.push(start.elapsed());
            progress.step();
        }
        Ok(times)
    };

    let start = Instant::now();
    let times = thread::scope(|scope| {
        let mut threads = Vec::new();
        for _ in 0..work.threads.min(work.commands) {
            let thread = thread::Builder::new().spawn_scoped(scope, worker).inspect_err(|_| {
                failed.store(true, Ordering::Relaxed);
            });
            threads.push(thread.map_err(|error| anyhow!("cannot start a thread: {error}"))?);
        }
        let mut times = Vec::with_capacity(work.commands);
        for thread in threads {
            times.extend(thread.join().map_err(|_| anyhow!("a thread panicked"))??);
        }
        anyhow::Ok(times)
    });
    let wall = start.elapsed();
    let mut times = times.inspect_err(|_| progress.give_up())?;
    progress.finish(wall);
    times.sort_unstable();
    Ok(Half { handshakes: 0, p50: percentile(&times, 50), p99: percentile(&times, 99), wall })
}

/// The nearest rank: the smallest time that so many per cent of all do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::percentile;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let times: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50), Duration::from_millis(100));
        assert_eq!(percentile(&times, 99), Duration::from_millis(198));
        assert_eq!(percentile(&times[..1], 99), Duration::from_millis(1));
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }
}
