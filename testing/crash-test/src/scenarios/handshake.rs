//! Servers that die at every point of the handshake.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use hussh::Kind;
use test_servers::proxy::{Direction, FaultProxy};

use super::Outcome;
use crate::api::Place;
use crate::stage::{Stage, ms};

/// Dials at once: each has a proxy of its own, since the offset is the proxy's.
const DIALLERS: usize = 3;

pub(super) fn cut_everywhere(stage: &mut Stage) -> Result<Outcome> {
    let stage = &*stage;
    let stride = stage.pick(1, 211);
    let (cut, whole) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let slowest = AtomicU64::new(0);
    for direction in [Direction::ToClient, Direction::ToServer] {
        let end = bytes_of_a_login(stage, direction)?;
        let next = AtomicU64::new(0);
        let dial_on = || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let proxy = FaultProxy::start(stage.server.addr())?;
            // Known once the login before has recorded it.
            let known_hosts = stage.server.dir().join(format!("known_{}", proxy.port()));
            let plan = Place { port: proxy.port(), known_hosts, ..stage.place() }.plan();
            loop {
                let offset = next.fetch_add(stride, Ordering::SeqCst);
                if offset >= end {
                    return Ok(());
                }
                proxy.cut_after(Some(offset), direction);
                let errand = stage.ledger.errand(":");
                let start = Instant::now();
                let result = stage.api.dial(plan.clone(), &runtime, errand.command());
                let took = start.elapsed();
                slowest.fetch_max(u64::try_from(took.as_millis())?, Ordering::SeqCst);
                ensure!(took < ms(6000), "{offset} bytes {direction:?}: took {took:?}");
                match &result {
                    Ok(_) => whole.fetch_add(1, Ordering::SeqCst),
                    Err(error) if !is_fair(error) => {
                        bail!("{offset} bytes {direction:?}: {error}")
                    }
                    Err(_) => cut.fetch_add(1, Ordering::SeqCst),
                };
                stage.ledger.settle(errand, &result);
            }
        };
        thread::scope(|scope| -> Result<()> {
            let dialling: Vec<_> = (0..DIALLERS).map(|_| scope.spawn(dial_on)).collect();
            for dialler in dialling {
                match dialler.join() {
                    Ok(result) => result?,
                    Err(_) => bail!("a dial panicked"),
                }
            }
            Ok(())
        })?;
    }
    let (cut, whole) = (cut.into_inner(), whole.into_inner());
    ensure!(cut > whole, "{cut} cut, {whole} whole");
    let saw = format!("{cut} dials failed, each with an error that says so; {whole} came through");
    let slowest = Duration::from_millis(slowest.into_inner());
    Ok(Outcome { detect: Some(slowest), recover: None, saw })
}

/// Whether an error blames the connection, and nothing that is all right.
fn is_fair(error: &hussh::Error) -> bool {
    use Kind::{Busy, Connect, ConnectionLost};
    error.may_have_started() || matches!(error.kind(), Some(Busy | Connect | ConnectionLost))
}

/// How many bytes a login and a command take.
fn bytes_of_a_login(stage: &Stage, direction: Direction) -> Result<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let before = stage.proxy.bytes(direction);
    let errand = stage.ledger.errand(":");
    let result = stage.api.dial(stage.place().plan(), &runtime, errand.command());
    stage.ledger.settle(errand, &result);
    result?;
    thread::sleep(ms(100));
    Ok(stage.proxy.bytes(direction) - before)
}
