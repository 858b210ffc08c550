//! What happens to clients, sites and the network between them.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::actor::{CLOSING, TRANSFER, Way};
use crate::client::Hands;
use crate::flow::Quality;
use crate::habits::{Habits, Mood, OTHER_KEY, USUAL_KEY};
use crate::net::Link;
use crate::play::{RECOVERY, Stage};
use crate::script::{Client, Kind, What};
use crate::world::World;

pub(crate) const GOOD: Quality =
    Quality { latency: Duration::from_millis(5), jitter: Duration::from_millis(2), rate: None };

pub(crate) fn usual() -> Habits {
    Habits {
        mood: Mood::Serving,
        host_key: USUAL_KEY,
        refuses_logins: false,
        login_delay: Duration::ZERO,
        max_startups: 10,
        max_sessions: 10,
        rekey_after: None,
        channel_timeout: None,
        kills: true,
    }
}

impl Stage {
    pub(crate) fn step(&self, what: &What, tasks: &mut JoinSet<()>) {
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
            What::Stop { .. } => {}
            What::Run { client, site, job, timeout, polls, reading } => {
                let actor = self.clients[client].clone();
                let (world, known_hosts) = (self.world.clone(), self.known_hosts.clone());
                let way = Way { timeout, polls, reading };
                tasks.spawn(async move {
                    actor.run(&world, &known_hosts, site, job, way).await;
                });
            }
            What::Hold { client, site, time } => {
                let actor = self.clients[client].clone();
                let (world, known_hosts) = (self.world.clone(), self.known_hosts.clone());
                tasks.spawn(async move {
                    let Some(hands) = actor.hands() else { return };
                    let _owing = actor.owing(time);
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
        if let Hands::Pool(pool, _) = &hands {
            // Whoever borrows from it still has it dial.
            pool.resize(plan.max_connections);
        }
        let (world, known_hosts) = (self.world.clone(), self.known_hosts.clone());
        tasks.spawn(async move {
            if close {
                actor.close(&world, &hands, false).await;
            }
            drop(hands);
            // What is lent, or says goodbye, is the old pool's.
            sleep(TRANSFER).await;
            // Nobody asked it for anything.
            for site in 0..world.sites().len() {
                world.books().asked(actor.number, [Some(site), None]);
            }
            let hands = actor.plan.equip(&world, actor.number, &known_hosts);
            *actor.lock() = Some(hands);
        });
    }

    /// Everything works again.
    pub(crate) fn heal(&self) {
        for (site, path) in self.world.net().iter_mut().enumerate() {
            path.quality = GOOD;
            path.cut_next = None;
            path.block([false; 2]);
            let mut habits = self.world.site(site).habits();
            let Habits { rekey_after, channel_timeout, kills, .. } = *habits;
            *habits = Habits { rekey_after, channel_timeout, kills, ..usual() };
        }
    }
}

pub(crate) fn silence(plan: &Client) -> Duration {
    plan.keepalive_interval * (plan.keepalive_count_max + 1)
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
