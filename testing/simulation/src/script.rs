//! What happens in a run, as plain data drawn from its seed, so that a part of it can be left out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::job::Job;
use crate::net::Direction;
use crate::site::Mood;

/// One run: who there is, and what happens to them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Script {
    /// What all else is drawn from.
    pub seed: u64,
    /// How long it lasts.
    pub length: Duration,
    /// How many servers there are.
    pub sites: usize,
    /// Who uses them.
    pub clients: Vec<Client>,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// Something that happens at a time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Step {
    /// Since the start.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// How a client uses sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// An `AsyncConnectionPool` to this site.
    Pool(usize),
    /// An `AsyncKeyedPool` over all sites.
    Keyed,
    /// An `AsyncConnection` to this site, dialled anew where it is lost.
    Single(usize),
}

/// Somebody who uses sites.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs, reason = "named as the builder's setters are")]
pub struct Client {
    pub kind: Kind,
    /// Goes through this site.
    pub hop: Option<usize>,
    pub max_connections: usize,
    pub channels: usize,
    pub min_idle: usize,
    pub max_connecting: usize,
    pub keepalive_interval: Duration,
    pub keepalive_count_max: u32,
    pub connect_timeout: Duration,
    pub acquire_timeout: Duration,
    pub idle_timeout: Duration,
    pub max_lifetime: Duration,
}

/// What can happen. Times say how long it lasts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs, reason = "named after what happens")]
pub enum What {
    Quality {
        site: usize,
        latency: Duration,
        jitter: Duration,
        rate: Option<u64>,
        time: Duration,
    },
    Block {
        site: usize,
        directions: [bool; 2],
        time: Duration,
    },
    Reset {
        site: usize,
    },
    HalfOpen {
        site: usize,
    },
    CutNext {
        site: usize,
        direction: Direction,
        bytes: u64,
    },
    CutNow {
        site: usize,
        direction: Direction,
        bytes: u64,
    },
    Mood {
        site: usize,
        mood: Mood,
        time: Duration,
    },
    Crash {
        site: usize,
        time: Duration,
    },
    PowerLoss {
        site: usize,
        time: Duration,
    },
    SlowLogins {
        site: usize,
        delay: Duration,
        time: Duration,
    },
    MaxStartups {
        site: usize,
        most: usize,
        time: Duration,
    },
    MaxSessions {
        site: usize,
        most: usize,
        time: Duration,
    },
    RefuseLogins {
        site: usize,
        time: Duration,
    },
    OtherHostKey {
        site: usize,
        time: Duration,
    },
    /// A command, given up by its caller after so many polls if that is said.
    Run {
        client: usize,
        site: usize,
        job: Job,
        timeout: Option<Duration>,
        polls: Option<u32>,
    },
    /// A borrower that does nothing.
    Hold {
        client: usize,
        site: usize,
        time: Duration,
    },
    /// A borrower that panics after a command.
    Panic {
        client: usize,
        site: usize,
        job: Job,
    },
    Resize {
        client: usize,
        size: usize,
        time: Duration,
    },
    /// The pool is closed, or dropped, and made anew.
    Renew {
        client: usize,
        close: bool,
    },
}

impl What {
    /// The site where something may go wrong because of it, and for how long.
    pub(crate) fn trouble(&self) -> Option<(usize, Duration)> {
        match *self {
            Self::Reset { site }
            | Self::HalfOpen { site }
            | Self::CutNext { site, .. }
            | Self::CutNow { site, .. } => Some((site, Duration::ZERO)),
            Self::Quality { site, time, .. }
            | Self::Block { site, time, .. }
            | Self::Mood { site, time, .. }
            | Self::Crash { site, time }
            | Self::PowerLoss { site, time }
            | Self::SlowLogins { site, time, .. }
            | Self::MaxStartups { site, time, .. }
            | Self::MaxSessions { site, time, .. }
            | Self::RefuseLogins { site, time }
            | Self::OtherHostKey { site, time }
            | Self::Hold { site, time, .. } => Some((site, time)),
            Self::Run { .. } | Self::Panic { .. } | Self::Resize { .. } | Self::Renew { .. } => {
                None
            }
        }
    }
}

fn seconds(rng: &mut fastrand::Rng, from: f64, to: f64) -> Duration {
    // As many short ones as long ones, whatever short means.
    let (from, to) = (from.ln(), to.ln());
    Duration::from_millis(((from + (to - from) * rng.f64()).exp() * 1000.0) as u64)
}

impl Script {
    /// The script of a seed.
    pub fn of(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let length = seconds(&mut rng, 1800.0, 6.0 * 3600.0);
        let sites = rng.usize(1..=3);
        let clients: Vec<Client> = (0..rng.usize(1..=3)).map(|_| client(&mut rng, sites)).collect();
        let mut drawing = Drawing { rng, sites, clients: &clients, job: 0 };
        let mut steps = Vec::new();
        let mut at = Duration::ZERO;
        loop {
            // Hours of quiet between, now and then.
            at += match drawing.rng.u32(..10) {
                0 => seconds(&mut drawing.rng, 600.0, 7200.0),
                _ => seconds(&mut drawing.rng, 1.0, 600.0),
            };
            if at >= length {
                break;
            }
            drawing.incident(at, &mut steps);
        }
        steps.sort_by_key(|step| step.at);
        let clients = clients.clone();
        Self { seed, length, sites, clients, steps }
    }
}

fn client(rng: &mut fastrand::Rng, sites: usize) -> Client {
    let site = rng.usize(..sites);
    let kind = match rng.u32(..6) {
        0 => Kind::Single(site),
        1 => Kind::Keyed,
        _ => Kind::Pool(site),
    };
    let max_connections = rng.usize(1..=6);
    let hop = (kind != Kind::Keyed && rng.u32(..4) == 0).then(|| rng.usize(..sites));
    Client {
        kind,
        hop,
        max_connections,
        channels: if rng.bool() { 1 } else { rng.usize(1..=5) },
        min_idle: rng.usize(..=max_connections.min(2)),
        max_connecting: rng.usize(1..=3),
        keepalive_interval: seconds(rng, 5.0, 120.0),
        keepalive_count_max: rng.u32(1..=4),
        connect_timeout: seconds(rng, 3.0, 30.0),
        acquire_timeout: seconds(rng, 5.0, 60.0),
        idle_timeout: seconds(rng, 20.0, 1200.0),
        max_lifetime: seconds(rng, 120.0, 3600.0),
    }
}

struct Drawing<'a> {
    rng: fastrand::Rng,
    sites: usize,
    clients: &'a [Client],
    job: u64,
}

impl Drawing<'_> {
    /// Something goes wrong, or not, while some work is done.
    fn incident(&mut self, at: Duration, steps: &mut Vec<Step>) {
        let span = seconds(&mut self.rng, 0.05, 120.0);
        for _ in 0..self.rng.usize(1..12) {
            let later = Duration::from_millis(self.rng.u64(..=span.as_millis() as u64));
            let what = self.work();
            steps.push(Step { at: at + later, what });
        }
        for _ in 0..self.rng.usize(0..3) {
            let later = Duration::from_millis(self.rng.u64(..=span.as_millis() as u64));
            let what = self.fault();
            steps.push(Step { at: at + later, what });
        }
    }

    fn work(&mut self) -> What {
        let client = self.rng.usize(..self.clients.len());
        let site = match self.clients[client].kind {
            Kind::Pool(site) | Kind::Single(site) => site,
            Kind::Keyed => self.rng.usize(..self.sites),
        };
        let rng = &mut self.rng;
        match rng.u32(..40) {
            0 => {
                let time = seconds(rng, 0.1, 300.0);
                What::Hold { client, site, time }
            }
            1 => What::Panic { client, site, job: self.job() },
            2 => {
                let size = rng.usize(..=8);
                What::Resize { client, size, time: seconds(rng, 1.0, 60.0) }
            }
            3 => What::Renew { client, close: rng.bool() },
            _ => {
                let timeout = rng.bool().then(|| seconds(rng, 0.5, 60.0));
                let polls = (rng.u32(..6) == 0).then(|| rng.u32(1..12));
                What::Run { client, site, job: self.job(), timeout, polls }
            }
        }
    }

    fn job(&mut self) -> Job {
        self.job += 1;
        let rng = &mut self.rng;
        let time = match rng.u32(..8) {
            0 => seconds(rng, 1.0, 60.0),
            _ => seconds(rng, 0.001, 1.0),
        };
        let output = if rng.u32(..8) == 0 { rng.usize(..300_000) } else { rng.usize(..200) };
        let code = if rng.u32(..8) == 0 { rng.u8(..) } else { 0 };
        Job { number: self.job, time: time.as_millis() as u64, output, code }
    }

    fn fault(&mut self) -> What {
        let rng = &mut self.rng;
        let site = rng.usize(..self.sites);
        let direction = if rng.bool() { Direction::ToServer } else { Direction::ToClient };
        // The first kilobytes are the key exchange and the login.
        let bytes = if rng.bool() { rng.u64(..5000) } else { rng.u64(..100_000) };
        let time = seconds(rng, 0.05, 600.0);
        match rng.u32(..17) {
            0 | 1 => {
                let latency = seconds(rng, 0.001, 1.0);
                let jitter = seconds(rng, 0.001, 0.3);
                let rate = rng.bool().then(|| rng.u64(2_000..2_000_000));
                What::Quality { site, latency, jitter, rate, time }
            }
            2 | 3 => What::Block { site, directions: [true, true], time },
            4 => What::Block { site, directions: [true, false], time },
            5 => What::Block { site, directions: [false, true], time },
            6 => What::Reset { site },
            7 => What::HalfOpen { site },
            8 => What::CutNext { site, direction, bytes },
            9 => What::CutNow { site, direction, bytes },
            10 => {
                let mood = if rng.bool() { Mood::Balancer } else { Mood::Silent };
                What::Mood { site, mood, time }
            }
            11 => What::Crash { site, time },
            12 => What::PowerLoss { site, time },
            13 => What::SlowLogins { site, delay: seconds(rng, 0.1, 60.0), time },
            14 => What::MaxStartups { site, most: rng.usize(..3), time },
            15 => What::MaxSessions { site, most: rng.usize(1..4), time },
            _ if rng.bool() => What::RefuseLogins { site, time },
            _ => What::OtherHostKey { site, time },
        }
    }
}
