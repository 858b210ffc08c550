//! What happens while a command runs.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use test_servers::cable::Cable;
use test_servers::proxy::Direction;

use super::Outcome;
use crate::api::{Place, Pool};
use crate::stage::{Stage, ms, must_fail};

/// Starts a command, strikes once it runs, and says how long it took until its caller was told.
fn in_mid_command(
    stage: &Stage,
    pool: &Arc<dyn Pool>,
    strike: impl FnOnce() -> Result<()>,
) -> Result<(Duration, hussh::Error)> {
    stage.run(&**pool)?;
    let errand = stage.ledger.errand("sleep 600");
    let (borrowed, ledger) = (Arc::clone(pool), Arc::clone(&stage.ledger));
    let running = thread::spawn(move || (errand.run(&*borrowed, &ledger), Instant::now()));
    stage.ledger.wait_for_last(ms(5000))?;
    // The output is on its way, too.
    thread::sleep(ms(50));
    let struck = Instant::now();
    strike()?;
    let (result, ended) = running.join().ok().context("the caller panicked")?;
    let error = must_fail(result, "a command whose session died")?;
    ensure!(error.may_have_started(), "not said to have started: {error}");
    let printed = error.partial_output().map_or(0, |partial| partial.stdout.len());
    ensure!(printed > 0, "what it had printed is not in the error");
    Ok((ended - struck, error))
}

fn recovered(stage: &Stage, pool: &dyn Pool) -> Result<Duration> {
    let start = Instant::now();
    stage.run(pool)?;
    Ok(start.elapsed())
}

pub(super) fn black_hole(stage: &mut Stage) -> Result<Outcome> {
    let pool = stage.pool(|plan| plan)?;
    let (detected, error) = in_mid_command(stage, &pool, || {
        stage.proxy.black_hole();
        Ok(())
    })?;
    ensure!(detected >= ms(890) && detected <= ms(1320), "told after {detected:?}: {error}");
    stage.proxy.resume();
    let recover = recovered(stage, &*pool)?;
    Ok(Outcome { detect: Some(detected), recover: Some(recover), saw: said(&error) })
}

pub(super) fn cable_pulled(stage: &mut Stage) -> Result<Outcome> {
    let cable = Cable::start(stage.server.addr())?;
    let (host, port) = (cable.addr().ip().to_string(), cable.addr().port());
    let pool = stage.api.pool(Place { host, port, ..stage.place() }.plan())?;
    let (detected, error) = in_mid_command(stage, &pool, || Ok(cable.pull()?))?;
    ensure!(detected >= ms(850) && detected <= ms(1400), "told after {detected:?}: {error}");
    cable.plug()?;
    let recover = recovered(stage, &*pool)?;
    Ok(Outcome { detect: Some(detected), recover: Some(recover), saw: said(&error) })
}

pub(super) fn reset(stage: &mut Stage) -> Result<Outcome> {
    let pool = stage.pool(|plan| plan)?;
    let (detected, error) = in_mid_command(stage, &pool, || {
        stage.proxy.reset();
        Ok(())
    })?;
    ensure!(detected < ms(500), "told after {detected:?}: {error}");
    let recover = recovered(stage, &*pool)?;
    Ok(Outcome { detect: Some(detected), recover: Some(recover), saw: said(&error) })
}

pub(super) fn corrupted(stage: &mut Stage) -> Result<Outcome> {
    let struck = Instant::now();
    for direction in [Direction::ToClient, Direction::ToServer] {
        let base = stage.proxy.bytes(direction);
        let pool = stage.pool(|plan| plan.max_connections(1))?;
        stage.run(&*pool)?;
        let (connections, lost) = (stage.proxy.connections(), stage.ledger.sums()?.lost);
        // Behind whatever is on its way already.
        let at = stage.proxy.bytes(direction) - base + 300;
        stage.proxy.corrupt_at(Some(at), direction);
        for _ in 0..20 {
            let _ = stage.ledger.errand(":").run(&*pool, &stage.ledger);
            if stage.proxy.connections() > connections || stage.ledger.sums()?.lost > lost {
                break;
            }
        }
        stage.proxy.corrupt_at(None, direction);
        stage.run(&*pool)?;
        ensure!(stage.proxy.connections() > connections, "{direction:?}: no session died of it");
    }
    let detect = stage.ledger.first_after(struck, false);
    Ok(Outcome { detect, recover: None, saw: errors(stage) })
}

fn said(error: &hussh::Error) -> String {
    let text = error.to_string();
    let at = text.find(": ").map_or(0, |at| at + 2);
    format!("\"{}\"", text.get(at..).unwrap_or_default())
}

/// All errors of a scenario in one line.
pub(super) fn errors(stage: &Stage) -> String {
    let errors = stage.ledger.errors();
    if errors.is_empty() {
        return "nothing".into();
    }
    let count: usize = errors.iter().map(|(_, count)| count).sum();
    format!("{count} errors, such as \"{}\"", errors.first().map_or("", |(text, _)| text))
}
