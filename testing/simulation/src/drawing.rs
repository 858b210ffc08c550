//! Scripts, drawn from their seeds.

use std::time::Duration;

use crate::habits::Mood;
use crate::job::{Job, Reading};
use crate::net::Direction;
use crate::script::{Client, Kind, Script, Step, What};

fn seconds(rng: &mut fastrand::Rng, from: f64, to: f64) -> Duration {
    // As many short ones as long ones, whatever short means.
    let (from, to) = (from.ln(), to.ln());
    Duration::from_millis(((from + (to - from) * rng.f64()).exp() * 1000.0) as u64)
}

fn reading(rng: &mut fastrand::Rng) -> Reading {
    let pause = if rng.bool() { seconds(rng, 0.001, 2.0) } else { Duration::ZERO };
    Reading { pause, pieces: (rng.u32(..3) == 0).then(|| rng.u32(..20)) }
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
        // Slow logins that come to nothing in the end.
        if self.rng.u32(..12) == 0 {
            let later = Duration::from_millis(self.rng.u64(..=span.as_millis() as u64));
            self.slow_refusals(at + later, steps);
        }
        if self.rng.u32(..12) == 0 {
            let later = Duration::from_millis(self.rng.u64(..=span.as_millis() as u64));
            let time = seconds(&mut self.rng, 0.1, 300.0);
            steps.push(Step { at: at + later, what: What::Stop { time } });
        }
    }

    /// A site that lets nobody in, or nobody work, and takes its time to say so.
    fn slow_refusals(&mut self, at: Duration, steps: &mut Vec<Step>) {
        let rng = &mut self.rng;
        let site = rng.usize(..self.sites);
        let (delay, time) = (seconds(rng, 0.5, 60.0), seconds(rng, 10.0, 600.0));
        let refusal = match rng.bool() {
            true => What::RefuseLogins { site, time },
            false => What::MaxSessions { site, most: 0, time },
        };
        let slow = What::SlowLogins { site, delay, time };
        steps.extend([slow, refusal].map(|what| Step { at, what }));
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
                let reading = (rng.u32(..6) == 0).then(|| reading(rng));
                let mut job = self.job();
                if reading.is_some() && self.rng.u32(..4) == 0 {
                    // More than is kept until it is read.
                    job.output = self.rng.usize(1_000_000..3_000_000);
                }
                What::Run { client, site, job, timeout, polls, reading }
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
        let input = match rng.u32(..12) {
            0 => rng.usize(1..600_000),
            1 | 2 => rng.usize(1..2000),
            _ => 0,
        };
        let pty = rng.u32(..10) == 0;
        Job { number: self.job, time: time.as_millis() as u64, output, code, input, pty }
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
            15 => What::MaxSessions { site, most: rng.usize(..4), time },
            _ if rng.bool() => What::RefuseLogins { site, time },
            _ => What::OtherHostKey { site, time },
        }
    }
}
