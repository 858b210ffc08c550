//! Sessions that nobody uses.

use std::thread::sleep;
use std::time::Instant;

use anyhow::{Result, ensure};
use test_servers::proxy::Direction;

use super::Outcome;
use crate::stage::{Stage, ms, wait_until};

pub(super) fn held_open(stage: &mut Stage) -> Result<Outcome> {
    let forget = ms(800);
    stage.proxy.forget_idle_after(Some(forget));
    let pool = stage.pool(|plan| {
        // A borrower who comes while the idle one is being checked waits for it.
        plan.keepalive_interval(ms(100)).max_connections(2)
    })?;
    let (lent, idle) = (pool.lease()?, pool.lease()?);
    stage.ledger.errand(":").run_on(&*lent, &stage.ledger)?;
    stage.ledger.errand(":").run_on(&*idle, &stage.ledger)?;
    drop(idle);
    let beats = stage.proxy.bytes(Direction::ToServer);
    sleep(forget * 20);
    let beats = stage.proxy.bytes(Direction::ToServer) - beats;
    ensure!(lent.is_alive(), "the lent session died");
    // Two sessions, 160 intervals, some 64 bytes each: it must not be twice as much.
    ensure!((12_000..30_000).contains(&beats), "{beats} bytes of heartbeats");
    stage.ledger.errand(":").run_on(&*lent, &stage.ledger)?;
    stage.run(&*pool)?;
    let opened = stage.proxy.connections();
    ensure!(opened == 2, "{opened} connections for two sessions: {:?}", pool.stats());
    Ok(Outcome { saw: format!("nothing; {beats} bytes of heartbeats"), ..Outcome::default() })
}

pub(super) fn forgotten(stage: &mut Stage) -> Result<Outcome> {
    let pool = stage.pool(|plan| plan.keepalive_interval(None))?;
    open_three(stage, &*pool)?;
    stage.proxy.forget_idle_after(Some(ms(1000)));
    sleep(ms(1500));
    let start = Instant::now();
    stage.run(&*pool)?;
    let replaced = start.elapsed();
    ensure!(replaced >= ms(1900) && replaced < ms(3500), "replaced after {replaced:?}");
    let start = Instant::now();
    stage.ledger.allow(3);
    stage.load(&pool, 3)?.join()?;
    let others = start.elapsed();
    ensure!(others < ms(3000), "the others cost {others:?}");
    let saw =
        format!("one slow borrow; the next three together took {:.1} s", others.as_secs_f64());
    Ok(Outcome { detect: None, recover: Some(replaced), saw })
}

pub(super) fn half_open(stage: &mut Stage) -> Result<Outcome> {
    let pool = stage.pool(|plan| plan.keepalive_interval(None))?;
    open_three(stage, &*pool)?;
    stage.proxy.half_open();
    sleep(ms(1200));
    let start = Instant::now();
    stage.run(&*pool)?;
    let replaced = start.elapsed();
    ensure!(replaced < ms(3500), "replaced after {replaced:?}");
    Ok(Outcome { detect: None, recover: Some(replaced), saw: "one slow borrow".into() })
}

pub(super) fn lent_in_a_black_hole(stage: &mut Stage) -> Result<Outcome> {
    let pool = stage.pool(|plan| plan)?;
    let lent = pool.lease()?;
    stage.ledger.errand(":").run_on(&*lent, &stage.ledger)?;
    // Long enough that nothing but heartbeats keeps it.
    sleep(ms(1000));
    ensure!(lent.is_alive(), "dead before its time");
    stage.proxy.black_hole();
    let detected = wait_until("the silence is found", ms(5000), || !lent.is_alive())?;
    ensure!(detected >= ms(890) && detected <= ms(1320), "found after {detected:?}");
    stage.proxy.resume();
    let start = Instant::now();
    drop(lent);
    stage.run(&*pool)?;
    let saw = "`is_alive` false".into();
    Ok(Outcome { detect: Some(detected), recover: Some(start.elapsed()), saw })
}

/// Has three sessions open at once, and a command run on each.
fn open_three(stage: &Stage, pool: &dyn crate::api::Pool) -> Result<()> {
    let leases = (0..3).map(|_| pool.lease()).collect::<Result<Vec<_>, _>>()?;
    for lease in &leases {
        stage.ledger.errand(":").run_on(&**lease, &stage.ledger)?;
    }
    Ok(())
}
