//! What servers do.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::Outcome;
use super::running::errors;
use crate::stage::{Stage, ms, must_fail, wait_until};

pub(super) fn restart_between(stage: &mut Stage) -> Result<Outcome> {
    let pool = stage.pool(|plan| plan)?;
    let mut slowest = ms(0);
    for _ in 0..5 {
        let leases = (0..3).map(|_| pool.lease()).collect::<Result<Vec<_>, _>>()?;
        drop(leases);
        stage.server.restart()?;
        let start = Instant::now();
        stage.run(&*pool)?;
        slowest = slowest.max(start.elapsed());
        stage.run(&*pool)?;
    }
    Ok(Outcome { detect: None, recover: Some(slowest), saw: errors(stage) })
}

pub(super) fn restart_during(stage: &mut Stage) -> Result<Outcome> {
    let pool = stage.pool(|plan| plan)?;
    let load = stage.load(&pool, 8)?;
    let (mut detect, mut recover) = (None, None);
    for _ in 0..2 {
        thread::sleep(stage.pick(ms(1500), ms(500)));
        let struck = Instant::now();
        stage.server.restart()?;
        let listens = Instant::now();
        wait_until("a command ends well", ms(10_000), || {
            stage.ledger.first_after(listens, true).is_some()
        })?;
        detect = detect.max(stage.ledger.first_after(struck, false));
        recover = recover.max(stage.ledger.first_after(listens, true));
    }
    thread::sleep(ms(200));
    load.end()?;
    at_most_lost(stage, 8 * 2)?;
    Ok(Outcome { detect, recover, saw: errors(stage) })
}

pub(super) fn sessions_killed(stage: &mut Stage) -> Result<Outcome> {
    let pool = stage.pool(|plan| plan.max_connections(8))?;
    let load = stage.load(&pool, 8)?;
    thread::sleep(stage.pick(ms(1500), ms(800)));
    let struck = Instant::now();
    stage.server.kill_sessions()?;
    let killed = Instant::now();
    wait_until("a command ends well", ms(10_000), || {
        stage.ledger.first_after(killed, true).is_some()
    })?;
    thread::sleep(ms(300));
    load.end()?;
    let detect = stage.ledger.first_after(struck, false);
    let recover = stage.ledger.first_after(killed, true);
    // Killing goes on until none is left, and those that come meanwhile are killed, too.
    at_most_lost(stage, 16)?;
    Ok(Outcome { detect, recover, saw: errors(stage) })
}

pub(super) fn max_startups(stage: &mut Stage) -> Result<Outcome> {
    let wanted = stage.pick(60, 20);
    let pool = stage.pool(|plan| {
        plan.max_connections(wanted)
            .port(stage.server.port())
            .acquire_timeout(ms(120_000))
            .keepalive_interval(ms(30_000))
    })?;
    let start = Instant::now();
    let together = Arc::new(Barrier::new(wanted));
    let borrowers: Vec<_> = (0..wanted)
        .map(|_| {
            let (pool, together) = (Arc::clone(&pool), Arc::clone(&together));
            let ledger = Arc::clone(&stage.ledger);
            thread::spawn(move || -> Result<()> {
                let errand = ledger.errand(":");
                let lease = pool.lease();
                // All are held at once, so that none is used twice.
                together.wait();
                errand.run_on(&*lease?, &ledger)?;
                Ok(())
            })
        })
        .collect();
    for borrower in borrowers {
        borrower.join().ok().context("a borrower panicked")??;
    }
    let all = start.elapsed();
    let truth = stage.server.counters();
    ensure!(truth.refused_startups == 0, "{} dials refused by the server", truth.refused_startups);
    ensure!(truth.authentications == wanted, "{} logins", truth.authentications);
    let saw = format!("{wanted} of {wanted} in {:.1} s, 0 refused in the log", all.as_secs_f64());
    Ok(Outcome { detect: None, recover: None, saw })
}

pub(super) fn silent(stage: &mut Stage) -> Result<Outcome> {
    let pool = stage.pool(|plan| plan.connect_timeout(ms(500)).acquire_timeout(ms(2000)))?;
    stage.proxy.accept_and_say_nothing(true);
    let start = Instant::now();
    let load = {
        stage.ledger.allow(4);
        stage.load(&pool, 4)?
    };
    load.join()?;
    let detected = start.elapsed();
    ensure!(detected > ms(1900) && detected < ms(3000), "told after {detected:?}");
    let saw = errors(stage);
    stage.proxy.accept_and_say_nothing(false);
    let start = Instant::now();
    stage.run(&*pool)?;
    Ok(Outcome { detect: Some(detected), recover: Some(start.elapsed()), saw })
}

/// No more commands lost than were under way.
fn at_most_lost(stage: &Stage, count: usize) -> Result<()> {
    let sums = stage.ledger.sums()?;
    ensure!(sums.lost <= count, "{} lost, with {count} under way", sums.lost);
    ensure!(sums.not_sent == 0, "{} borrowers served with an error", sums.not_sent);
    Ok(())
}

/// Has a pool told something, once for each of so many borrowers.
pub(super) fn all_are_told(
    stage: &Stage,
    pool: &Arc<dyn crate::api::Pool>,
    borrowers: usize,
    wanted: hussh::Kind,
) -> Result<String> {
    let mut text = String::new();
    thread::scope(|scope| -> Result<()> {
        let asking: Vec<_> = (0..borrowers)
            .map(|_| scope.spawn(|| stage.ledger.errand(":").run(&**pool, &stage.ledger)))
            .collect();
        for asked in asking {
            let result = asked.join().ok().context("a borrower panicked")?;
            let error = must_fail(result, "it should be refused")?;
            ensure!(error.kind() == Some(wanted), "another error: {error}");
            text = error.to_string();
        }
        Ok(())
    })?;
    Ok(text)
}
