//! The end of a pool, and of a process that has one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Outcome;
use super::process::{Other, Role};
use crate::api::Pool;
use crate::stage::{Stage, ms, wait_until};

/// `close_timeout`, and a little for a busy machine.
const CLOSE: Duration = Duration::from_millis(5800);

pub(super) fn closed(stage: &mut Stage) -> Result<Outcome> {
    let mut slowest = ms(0);
    for silent in [false, true] {
        for by_close in [true, false] {
            let pool = open_three(stage)?;
            if silent {
                stage.proxy.black_hole();
            }
            let start = Instant::now();
            if by_close {
                let closed = pool.close();
                ensure!(silent || closed.is_ok(), "{closed:?}");
            }
            drop(pool);
            let took = start.elapsed();
            ensure!(took < CLOSE, "silent {silent}, by close {by_close}: took {took:?}");
            ensure!(by_close || took < ms(1500), "silent {silent}: a drop took {took:?}");
            slowest = slowest.max(took);
            stage.proxy.resume();
            nobody_left(stage)?;
        }
    }
    let saw = format!("at most {:.2} s; no session left on the server", slowest.as_secs_f64());
    Ok(Outcome { saw, ..Outcome::default() })
}

pub(super) fn exits(stage: &mut Stage) -> Result<Outcome> {
    let mut slowest = ms(0);
    for silent in [false, true] {
        let mut child = Other::start(stage, Role::Exits, 4)?;
        child.read_line()?;
        if silent {
            stage.proxy.black_hole();
        }
        let start = Instant::now();
        child.finish(stage)?;
        let took = start.elapsed();
        ensure!(took < CLOSE, "silent {silent}: took {took:?} to exit");
        slowest = slowest.max(took);
        stage.proxy.resume();
        nobody_left(stage)?;
    }
    let saw = format!("at most {:.2} s; no session left on the server", slowest.as_secs_f64());
    Ok(Outcome { saw, ..Outcome::default() })
}

fn open_three(stage: &Stage) -> Result<Arc<dyn Pool>> {
    let pool = stage.pool(|plan| plan)?;
    let leases = (0..3).map(|_| pool.lease()).collect::<Result<Vec<_>, _>>()?;
    for lease in &leases {
        stage.ledger.errand(":").run_on(&**lease, &stage.ledger)?;
    }
    drop(leases);
    Ok(pool)
}

fn nobody_left(stage: &Stage) -> Result<()> {
    wait_until("no connection is left", ms(5000), || stage.proxy.open_connections() == 0)?;
    Ok(())
}
