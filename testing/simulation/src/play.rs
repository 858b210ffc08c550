//! Plays a script, and says what was wrong.

use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::Ed25519Keypair;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::actor::{Actor, CLOSING, TRANSFER};
use crate::books::Books;
use crate::client::{self, Hands};
use crate::flow::Quality;
use crate::job::Job;
use crate::net::{Link, Path as NetPath};
use crate::records::{Allowed, Breach, Counts};
use crate::script::{Client, Kind, Script, What};
use crate::site::{Habits, Mood, OTHER_KEY, Site, USUAL_KEY};
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
struct Stage {
    world: World,
    start: Instant,
    clients: Vec<Actor>,
    known_hosts: std::path::PathBuf,
}

const GOOD: Quality =
    Quality { latency: Duration::from_millis(5), jitter: Duration::from_millis(2), rate: None };

fn usual() -> Habits {
    Habits {
        mood: Mood::Serving,
        host_key: USUAL_KEY,
        refuses_logins: false,
        login_delay: Duration::ZERO,
        max_startups: 10,
        max_sessions: 10,
        rekey_after: None,
        channel_timeout: None,
    }
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
            Site::new(number, Habits { rekey_after, channel_timeout, ..usual() })
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

    fn step(&self, what: &What, tasks: &mut JoinSet<()>) {
        if let Some((site, time)) = what.trouble() {
            let silence = self.clients.iter().map(|actor| silence(&actor.plan)).max();
            let until = Instant::now() + time + RECOVERY + silence.unwrap_or_default();
            self.world.books().trouble(site, until);
        }
        match what.clone() {
            What::Quality { site, latency, jitter, rate, time } => {
                let quality = Quality { latency, jitter, rate };
                self.world.net()[site].quality = quality;
                self.later(tasks, time, move |world| world.net()[site].quality = GOOD);
            }
            What::Block { site, directions, time } => {
                self.world.net()[site].block(directions);
                self.later(tasks, time, move |world| world.net()[site].block([false; 2]));
            }
            What::Reset { site } => self.links(site).iter().for_each(|link| link.reset()),
            What::HalfOpen { site } => self.links(site).iter().for_each(|link| link.vanish()),
            What::CutNext { site, direction, bytes } => {
                self.world.net()[site].cut_next = Some((direction, bytes));
            }
            What::CutNow { site, direction, bytes } => {
                self.links(site).iter().for_each(|link| link.cut_after(direction, bytes));
            }
            What::Mood { site, mood, time } => {
                self.habit(tasks, site, time, |habits| habits.mood = mood);
            }
            What::Crash { site, time } => {
                self.habit(tasks, site, time, |habits| habits.mood = Mood::Down);
                self.links(site).iter().for_each(|link| link.reset());
            }
            What::PowerLoss { site, time } => {
                self.habit(tasks, site, time, |habits| habits.mood = Mood::Off);
                self.links(site).iter().for_each(|link| link.vanish());
            }
            What::SlowLogins { site, delay, time } => {
                self.habit(tasks, site, time, |habits| habits.login_delay = delay);
            }
            What::MaxStartups { site, most, time } => {
                self.habit(tasks, site, time, |habits| habits.max_startups = most);
            }
            What::MaxSessions { site, most, time } => {
                self.habit(tasks, site, time, |habits| habits.max_sessions = most);
            }
            What::RefuseLogins { site, time } => {
                self.habit(tasks, site, time, |habits| habits.refuses_logins = true);
            }
            What::OtherHostKey { site, time } => {
                self.habit(tasks, site, time, |habits| habits.host_key = OTHER_KEY);
            }
            What::Run { client, site, job, timeout, polls } => {
                let actor = self.clients[client].clone();
                let (world, known_hosts) = (self.world.clone(), self.known_hosts.clone());
                tasks.spawn(async move {
                    actor.run(&world, &known_hosts, site, job, timeout, polls).await;
                });
            }
            What::Hold { client, site, time } => {
                let actor = self.clients[client].clone();
                let (world, known_hosts) = (self.world.clone(), self.known_hosts.clone());
                tasks.spawn(async move {
                    let Some(hands) = actor.hands() else { return };
                    if let Ok(lease) = actor.borrow(&world, &known_hosts, site, &hands).await {
                        sleep(time).await;
                        drop(lease);
                    }
                });
            }
            What::Panic { client, site, job } => {
                let actor = self.clients[client].clone();
                let (world, known_hosts) = (self.world.clone(), self.known_hosts.clone());
                tasks.spawn(async move {
                    actor.panic(&world, &known_hosts, site, job).await;
                });
            }
            What::Resize { client, size, time } => self.resize(tasks, client, size, time),
            What::Renew { client, close } => self.renew(tasks, client, close),
        }
    }

    /// Does something once that time has gone by.
    fn later(
        &self,
        tasks: &mut JoinSet<()>,
        time: Duration,
        what: impl FnOnce(&World) + Send + 'static,
    ) {
        let world = self.world.clone();
        tasks.spawn(async move {
            sleep(time).await;
            what(&world);
        });
    }

    /// Changes a habit of a site for that time.
    fn habit(
        &self,
        tasks: &mut JoinSet<()>,
        site: usize,
        time: Duration,
        change: impl FnOnce(&mut Habits),
    ) {
        let mut habits = self.world.site(site).habits();
        let before = habits.clone();
        change(&mut habits);
        let changed = habits.clone();
        drop(habits);
        self.later(tasks, time, move |world| {
            world.site(site).habits().undo(&before, &changed);
        });
    }

    fn links(&self, site: usize) -> Vec<Arc<Link>> {
        self.world.net()[site].links()
    }

    fn resize(&self, tasks: &mut JoinSet<()>, client: usize, size: usize, time: Duration) {
        let actor = &self.clients[client];
        let (Some(Hands::Pool(pool, _)), Kind::Pool(site)) = (actor.hands(), actor.plan.kind)
        else {
            return;
        };
        let Client { max_connections: usual, connect_timeout, acquire_timeout, .. } = actor.plan;
        let until = Instant::now() + time + acquire_timeout;
        self.world.books().trouble(site, until);
        self.world.books().resized(client, size, connect_timeout);
        pool.resize(size);
        let (resizes, number) =
            (Arc::clone(&actor.resizes), 1 + actor.resizes.fetch_add(1, SeqCst));
        self.later(tasks, time, move |world| {
            // The last word counts.
            if resizes.load(SeqCst) == number {
                world.books().resized(client, usual, connect_timeout);
                pool.resize(usual);
            }
        });
    }

    fn renew(&self, tasks: &mut JoinSet<()>, client: usize, close: bool) {
        let actor = self.clients[client].clone();
        let Some(hands) = actor.hands() else { return };
        for site in 0..self.world.sites().len() {
            let until = Instant::now() + actor.plan.acquire_timeout + CLOSING;
            self.world.books().trouble(site, until);
        }
        *actor.lock() = None;
        actor.resizes.fetch_add(1, SeqCst);
        let (plan, number) = (&actor.plan, actor.number);
        if !matches!(plan.kind, Kind::Single(_)) {
            self.world.books().resized(number, plan.max_connections, plan.connect_timeout);
        }
        let (world, known_hosts) = (self.world.clone(), self.known_hosts.clone());
        tasks.spawn(async move {
            if close {
                actor.close(&world, &hands, false).await;
            }
            drop(hands);
            // What is lent, or says goodbye, is the old pool's.
            sleep(TRANSFER).await;
            let hands = actor.plan.equip(&world, actor.number, &known_hosts);
            *actor.lock() = Some(hands);
        });
    }

    /// Everything works again.
    fn heal(&self) {
        for (site, path) in self.world.net().iter_mut().enumerate() {
            path.quality = GOOD;
            path.cut_next = None;
            path.block([false; 2]);
            let mut habits = self.world.site(site).habits();
            let Habits { rekey_after, channel_timeout, .. } = *habits;
            *habits = Habits { rekey_after, channel_timeout, ..usual() };
        }
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
                    let job = Job { number, time: 10, output: 100, code: 0 };
                    let timeout = Some(Duration::from_secs(10));
                    if actor.run(&self.world, &self.known_hosts, site, job, timeout, None).await {
                        break;
                    }
                    if start.elapsed() > RECOVERY {
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

fn silence(plan: &Client) -> Duration {
    plan.keepalive_interval * (plan.keepalive_count_max + 1)
}

fn allowed(plan: &Client) -> Allowed {
    let most = plan.max_connections;
    let (sessions, total, dials) = match plan.kind {
        Kind::Pool(_) => (most, None, plan.max_connecting),
        Kind::Keyed => (most, Some(plan.total()), plan.max_connecting),
        // Each call that finds none makes one.
        Kind::Single(_) => (usize::MAX, None, usize::MAX),
    };
    let grace = Duration::from_millis(if plan.hop.is_some() { 2100 } else { 1 });
    let leases = match plan.kind {
        Kind::Pool(_) | Kind::Keyed => plan.channels,
        Kind::Single(_) => usize::MAX,
    };
    Allowed { sessions, before: None, total, dials, silence: silence(plan), leases, grace }
}

impl Habits {
    /// Takes a change back, but for what was changed once more since.
    fn undo(&mut self, before: &Self, changed: &Self) {
        let usual = usual();
        macro_rules! undo {
            ($($field:ident)*) => {
                $(if changed.$field != before.$field && self.$field == changed.$field {
                    self.$field = usual.$field;
                })*
            };
        }
        undo!(mood host_key refuses_logins login_delay max_startups max_sessions);
    }
}
