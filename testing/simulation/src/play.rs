//! Plays a script, and says what was wrong.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::Ed25519Keypair;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::actor::{Actor, TRANSFER, Way};
use crate::books::Books;
use crate::client;
use crate::habits::{Habits, USUAL_KEY};
use crate::job::Job;
use crate::net::Path as NetPath;
use crate::records::{Allowed, Breach, Counts};
use crate::script::{Client, Kind, Script, What};
use crate::site::Site;
use crate::stage::{GOOD, silence, usual};
use crate::trace::{Trace, note};
use crate::world::World;

/// How long after the last fault everything must work again: what a pool waits at most after refused
/// logins (`breaker_delay` × 64 and its last dial), and what it takes to find dead connections out.
pub const RECOVERY: Duration = Duration::from_secs(90);

/// How a run went.
#[derive(Debug)]
pub struct Report {
    /// Of its trace.
    pub hash: u64,
    /// How many lines that has.
    pub events: u64,
    /// How much virtual time went by.
    pub time: Duration,
    /// What was done.
    pub counts: Counts,
    /// How long it took until everything worked again at its end.
    pub recovery: Duration,
    /// What was wrong, first things first.
    pub breaches: Vec<Breach>,
}

/// Plays a script in this thread. `shown` prints the trace.
///
/// # Errors
///
/// Where there is no runtime or no folder to be had.
pub fn play(script: &Script, shown: bool) -> Result<Report> {
    fastrand::seed(script.seed);
    backend_russh::block_in_tasks(true);
    let folder = tempfile::tempdir()?;
    let known_hosts = folder.path().join("known_hosts");
    std::fs::write(&known_hosts, known(script.sites))?;
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true);
    #[cfg(tokio_unstable)]
    builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&script.seed.to_le_bytes()));
    let runtime = builder.build()?;
    let stage = runtime.block_on(async { Stage::new(script, shown, &known_hosts) });
    let recovery = runtime.block_on(stage.play(script));
    let metrics = runtime.metrics();
    if metrics.num_alive_tasks() > 0 {
        let text = format!("{} tasks", metrics.num_alive_tasks());
        stage.world.books().breach("left here", text);
    }
    let (world, start) = (stage.world.clone(), stage.start);
    drop(stage);
    let time = runtime.block_on(async { start.elapsed() });
    drop(runtime);
    let mut books = world.books();
    books.close();
    Ok(Report {
        hash: world.trace.hash(),
        events: world.trace.events(),
        time,
        counts: books.counts,
        recovery,
        breaches: std::mem::take(&mut books.breaches),
    })
}

fn known(sites: usize) -> String {
    let key = PrivateKey::from(Ed25519Keypair::from_seed(&[USUAL_KEY; 32]));
    let line = key.public_key().to_openssh().unwrap_or_default();
    (0..sites).map(|site| format!("{} {line}\n", client::host(site))).collect()
}

/// Who and what there is in one run.
pub(crate) struct Stage {
    pub(crate) world: World,
    start: Instant,
    pub(crate) clients: Vec<Actor>,
    pub(crate) known_hosts: std::path::PathBuf,
}

impl Stage {
    fn new(script: &Script, shown: bool, known_hosts: &Path) -> Self {
        let mut rng = fastrand::Rng::with_seed(script.seed ^ 0x5eed);
        let net = (0..script.sites)
            .map(|_| NetPath::new(GOOD, fastrand::Rng::with_seed(rng.u64(..))))
            .collect();
        let sites = (0..script.sites).map(|number| {
            let rekey_after = (rng.u32(..3) == 0).then_some(100_000);
            let channel_timeout = (rng.u32(..3) == 0).then(|| Duration::from_secs(rng.u64(2..300)));
            let kills = rng.u32(..3) != 0;
            Site::new(number, Habits { rekey_after, channel_timeout, kills, ..usual() })
        });
        let sites = sites.collect();
        let allowed = script.clients.iter().map(allowed).collect();
        let books = Books::new(allowed, script.sites);
        let world = World::new(Trace::new(shown), net, sites, books);
        let clients = script.clients.iter().enumerate().map(|(number, plan)| {
            let hands = plan.equip(&world, number, known_hosts);
            let hands = Arc::new(Mutex::new(Some(hands)));
            Actor {
                number,
                plan: plan.clone(),
                hands,
                owed: Arc::default(),
                resizes: Arc::default(),
            }
        });
        let clients = clients.collect();
        Self { world, start: Instant::now(), clients, known_hosts: known_hosts.to_owned() }
    }

    /// To the end; how long it took until all worked again.
    async fn play(&self, script: &Script) -> Duration {
        let mut tasks = JoinSet::new();
        for step in &script.steps {
            sleep_until(self.start + step.at).await;
            note!(self.world, "{:?}", step.what);
            if let What::Stop { time } = step.what {
                self.world.books().stopped_for(time);
                tokio::time::advance(time).await;
            }
            self.step(&step.what, &mut tasks);
        }
        sleep_until(self.start + script.length).await;
        note!(self.world, "all is well from now on");
        self.heal();
        let good = Instant::now();
        // Those that have no deadline of their own.
        let all = async { while tasks.join_next().await.is_some() {} };
        if timeout(TRANSFER * 6, all).await.is_err() {
            let text = format!("{} calls and faults have not ended", tasks.len());
            self.world.books().breach("deadline", text);
            tasks.shutdown().await;
        }
        let recovery = self.recover(good).await;
        self.close().await;
        sleep(Duration::from_secs(30)).await;
        recovery
    }

    /// Every client gets work done again, in time.
    async fn recover(&self, good: Instant) -> Duration {
        let waited = good.elapsed();
        let mut number = 1 << 32;
        let mut slowest = Duration::ZERO;
        for actor in &self.clients {
            let sites = match actor.plan.kind {
                Kind::Pool(site) | Kind::Single(site) => site..site + 1,
                Kind::Keyed => 0..self.world.sites().len(),
            };
            for site in sites {
                let start = Instant::now();
                loop {
                    number += 1;
                    let job = Job { number, time: 10, output: 100, code: 0, input: 0, pty: false };
                    let way = Way { timeout: Some(Duration::from_secs(10)), ..Way::default() };
                    let running = actor.run(&self.world, &self.known_hosts, site, job, way);
                    // Whoever never comes back has no deadline to come back at.
                    let Ok(done) = timeout(TRANSFER, running).await else {
                        self.world.books().breach("deadline", format!("job {number} hangs"));
                        break;
                    };
                    if done {
                        break;
                    }
                    // Nobody but its heartbeats finds a connection out that is held, and dead.
                    let dead = match actor.plan.kind {
                        Kind::Single(_) => silence(&actor.plan),
                        Kind::Pool(_) | Kind::Keyed => Duration::ZERO,
                    };
                    if start.elapsed() > RECOVERY + dead {
                        let text = format!("client {} at site {site} after all", actor.number);
                        self.world.books().breach("recovery", text);
                        break;
                    }
                    sleep(Duration::from_secs(1)).await;
                }
                slowest = slowest.max(start.elapsed());
            }
        }
        note!(self.world, "all works again after {waited:?} and {slowest:?}");
        slowest
    }

    async fn close(&self) {
        for actor in &self.clients {
            let Some(hands) = actor.lock().take() else { continue };
            actor.close(&self.world, &hands, true).await;
        }
    }
}

fn allowed(plan: &Client) -> Allowed {
    let most = plan.max_connections;
    let (sessions, total, dials) = match plan.kind {
        Kind::Pool(_) => (most, None, plan.max_connecting),
        Kind::Keyed => (most, Some(plan.total()), plan.max_connecting),
        // Each call that finds none makes one.
        Kind::Single(_) => (usize::MAX, None, usize::MAX),
    };
    let grace = Duration::from_millis(if plan.hop.is_some() { 1100 } else { 1 });
    let leases = match plan.kind {
        Kind::Pool(_) | Kind::Keyed => plan.channels,
        Kind::Single(_) => usize::MAX,
    };
    Allowed {
        sessions,
        before: None,
        total,
        dials,
        slow_readers: (0, None),
        slow_since: None,
        movable: 0,
        silence: silence(plan),
        doubt: plan.keepalive_interval / 20,
        leases,
        grace,
    }
}
