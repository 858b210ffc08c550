//! A network that is down for a while.

use std::thread;
use std::time::Instant;

use anyhow::{Result, ensure};

use super::Outcome;
use super::running::errors;
use crate::stage::{Stage, ms, wait_until};

pub(super) fn down(stage: &mut Stage) -> Result<Outcome> {
    let pool = stage.pool(|plan| plan.connect_timeout(ms(1500)).acquire_timeout(ms(60_000)))?;
    let load = stage.load(&pool, 8)?;
    thread::sleep(ms(700));
    let struck = Instant::now();
    stage.proxy.black_hole();
    thread::sleep(stage.pick(ms(10_000), ms(2000)));
    stage.proxy.resume();
    let back = Instant::now();
    wait_until("a command ends well", ms(20_000), || {
        stage.ledger.first_after(back, true).is_some()
    })?;
    thread::sleep(ms(300));
    load.end()?;
    let detect = stage.ledger.first_after(struck, false);
    let recover = stage.ledger.first_after(back, true);
    let sums = stage.ledger.sums()?;
    // Four sessions had a command each; everybody else waited.
    ensure!(sums.lost <= 8 && sums.not_sent == 0, "{sums:?}");
    ensure!(detect.is_some_and(|found| found <= ms(1320)), "told after {detect:?}");
    Ok(Outcome { detect, recover, saw: errors(stage) })
}
