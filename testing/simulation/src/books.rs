//! What was asked for, what the sites did, and the rules that both have to agree by.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::net::Link;
use crate::records::{Allowed, Breach, Call, Counts, JobRecord, LinkRecord, Outcome, Waiting};
use crate::script::{Client, Kind};
use crate::world::TICK;

/// How long a session that ends tries to say goodbye (backend-russh, `FAREWELL`): it may have ended
/// just before its peer would have been given up.
const GOODBYE: Duration = Duration::from_secs(1);

/// How long after a stop of the process calls may still fail because of it: as long as a pool waits
/// after logins that may have been refused.
const AFTER_STOP: Duration = Duration::from_secs(64);

/// For how long in all a process did nothing in stops that ended within the last so much time.
fn stopped(stops: &[(Instant, Duration)], time: Duration) -> Duration {
    let now = Instant::now();
    let recent = stops.iter().filter(|(begin, stop)| *begin + *stop + time >= now);
    recent.map(|(_, stop)| *stop).sum()
}

/// The books of one run.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) allowed: Vec<Allowed>,
    pub(crate) links: BTreeMap<u64, LinkRecord>,
    pub(crate) jobs: BTreeMap<u64, JobRecord>,
    /// Until when something may go wrong at each site through no fault of ours.
    pub(crate) trouble: Vec<Option<Instant>>,
    /// How often each client was refused by each site, and how often it had been asked then.
    refusals: BTreeMap<(usize, usize, u64), usize>,
    /// How often each client was asked for something of each site.
    asks: BTreeMap<(usize, usize), u64>,
    waiting: Vec<Waiting>,
    arrivals: u64,
    /// When the process began to do nothing, and for how long.
    stops: Vec<(Instant, Duration)>,
    pub(crate) breaches: Vec<Breach>,
    pub(crate) counts: Counts,
}

impl Books {
    pub(crate) fn new(allowed: Vec<Allowed>, sites: usize) -> Self {
        Self { allowed, trouble: vec![None; sites], ..Self::default() }
    }

    pub(crate) fn breach(&mut self, rule: &'static str, detail: impl Into<String>) {
        self.breaches.push(Breach { rule, detail: detail.into() });
    }

    /// The process does nothing for so long: what is due meanwhile is late.
    pub(crate) fn stopped_for(&mut self, time: Duration) {
        let now = Instant::now();
        // What went wrong before is found out behind it.
        for until in self.trouble.iter_mut().flatten() {
            *until += time;
        }
        self.stops.push((now, time));
        for (until, _) in self.allowed.iter_mut().filter_map(|allowed| allowed.before.as_mut()) {
            *until += time;
        }
    }

    /// For how long it did nothing in the last so much time.
    pub(crate) fn stopped_within(&self, time: Duration) -> Duration {
        stopped(&self.stops, time)
    }

    /// Somebody begins to read slowly over a client's connections, or ends it.
    pub(crate) fn slow_reader(&mut self, owner: usize, begins: bool) {
        let allowed = &mut self.allowed[owner];
        let readers = &mut allowed.slow_readers;
        if begins && readers.0 == 0 {
            allowed.slow_since = Some(Instant::now());
        }
        readers.0 = if begins { readers.0 + 1 } else { readers.0 - 1 };
        readers.1 = Some(Instant::now());
    }

    /// Something goes wrong at a site until then.
    pub(crate) fn trouble(&mut self, site: usize, until: Instant) {
        self.trouble[site] = self.trouble[site].max(Some(until));
    }

    /// A pool is made larger or smaller.
    pub(crate) fn resized(&mut self, owner: usize, size: usize, connect_timeout: Duration) {
        let now = Instant::now();
        let allowed = &mut self.allowed[owner];
        let earlier = allowed.before.filter(|(until, _)| *until >= now).map_or(0, |(_, most)| most);
        let until = now + connect_timeout + TICK;
        allowed.before = Some((until, earlier.max(allowed.sessions)));
        allowed.sessions = size;
    }

    pub(crate) fn link_opened(&mut self, link: &Link) {
        self.counts.links += 1;
        let (owner, site) = (link.owner, link.site);
        let record = LinkRecord {
            owner,
            site,
            client_open: true,
            server_open: false,
            logged_in: false,
            confirmed: false,
            refused: 0,
            unheard: None,
            movable: self.allowed.get(owner).map_or(0, |allowed| allowed.movable),
            silence: Duration::ZERO,
        };
        self.links.insert(link.number, record);
    }

    /// How long after it has a new connection a client's are counted: what a dial that was given up has
    /// opened to a jump host ends as long after as a goodbye takes. No client has no limits.
    pub(crate) fn grace(&self, owner: usize) -> Option<Duration> {
        self.allowed.get(owner).map(|allowed| allowed.grace)
    }

    /// Whether a client has more connections than it may, of those that it had when it opened the
    /// newest.
    pub(crate) fn check_owner(&mut self, owner: usize, site: usize, newest: u64) {
        let Some(allowed) = self.allowed.get(owner).cloned() else { return };
        let open = || {
            let links = self.links.range(..=newest).map(|(_, link)| link);
            links.filter(|link| link.owner == owner && link.client_open)
        };
        let (total, here) = (open().count(), open().filter(|link| link.site == site).count());
        let dials = open().filter(|link| link.site == site && !link.logged_in).count();
        let before = allowed.before.filter(|(until, _)| *until >= Instant::now());
        let most = allowed.sessions.max(before.map_or(0, |(_, most)| most));
        if here > most {
            self.breach("sessions", format!("{here} of client {owner}, which may have {most}"));
        }
        if let Some(most) = allowed.total.filter(|most| total > *most) {
            self.breach("sessions", format!("{total} of client {owner} in all, of {most}"));
        }
        if dials > allowed.dials {
            let most = allowed.dials;
            self.breach("dials", format!("{dials} at once of client {owner}, of {most}"));
        }
    }

    /// The client has received something after so long, or but a part of it before a cut.
    pub(crate) fn heard(&mut self, link: &Link, silence: Duration, cut: bool) {
        self.check_silence(link, silence);
        let Some(record) = self.links.get_mut(&link.number) else { return };
        record.confirmed = record.logged_in;
        if cut {
            return;
        }
        let (owner, site, movable) = (record.owner, record.site, record.movable);
        let Some(asks) = record.unheard.take().filter(|_| record.client_open) else { return };
        let since = self.refusals.entry((owner, site, asks)).or_default();
        *since += 1;
        let since = *since;
        let most = |allowed: &Allowed| allowed.dials.saturating_add(allowed.movable.max(movable));
        if let Some(most) = self.allowed.get(owner).map(most).filter(|most| since > *most) {
            let text = format!("client {owner} tried {since} times of {most}, asked by nobody");
            self.breach("refused secret", text);
        }
    }

    pub(crate) fn link_closed(&mut self, link: &Link) {
        let (heard, perhaps) = link.life();
        let silence = heard.elapsed();
        self.check_silence(link, perhaps.elapsed());
        if let Some(record) = self.links.get_mut(&link.number) {
            record.client_open = false;
            record.silence = silence;
        }
    }

    fn check_silence(&mut self, link: &Link, silence: Duration) {
        let Some(record) = self.links.get(&link.number) else { return };
        let Some(allowed) = self.allowed.get(record.owner) else { return };
        // What nobody reads is life all the same.
        let unread = allowed.slow_readers.1.is_some_and(|last| last.elapsed() <= silence);
        if unread || allowed.slow_readers.0 > 0 {
            return;
        }
        let most = allowed.silence + allowed.doubt + self.stopped_within(silence);
        if record.confirmed && silence > most + GOODBYE + TICK {
            let number = link.number;
            self.breach("dead peer", format!("link {number} silent for {silence:?} of {most:?}"));
        }
    }

    pub(crate) fn served(&mut self, link: u64) {
        if let Some(record) = self.links.get_mut(&link) {
            record.server_open = true;
        }
    }

    pub(crate) fn unserved(&mut self, link: u64) {
        if let Some(record) = self.links.get_mut(&link) {
            record.server_open = false;
        }
    }

    /// How often the client of a connection was asked for something of its site before it now sends
    /// a credential.
    pub(crate) fn tries(&self, link: u64) -> u64 {
        let asks = self.links.get(&link).and_then(|link| self.asks.get(&(link.owner, link.site)));
        asks.copied().unwrap_or_default()
    }

    /// A credential was tried, once so much was asked for, at a site with its usual host key or not.
    pub(crate) fn tried(&mut self, link: u64, asks: u64, refused: bool, usual_key: bool) {
        let Some(record) = self.links.get_mut(&link) else { return };
        if refused {
            record.refused += 1;
            let count = record.refused;
            if count > 1 {
                self.breach("refused secret", format!("tried {count} times on link {link}"));
            }
            if let Some(record) = self.links.get_mut(&link) {
                record.unheard = Some(asks);
            }
        } else {
            record.logged_in = true;
            self.counts.logins += 1;
        }
        if !usual_key {
            self.breach("host key", format!("a credential was sent to another key, link {link}"));
        }
    }

    pub(crate) fn started(&mut self, job: u64, site: usize, link: u64) {
        let record = self.jobs.entry(job).or_default();
        record.starts += 1;
        record.link = Some(link);
        let starts = record.starts;
        let place = record.call.as_ref().map(|call| call.site);
        if starts > 1 {
            self.breach("once", format!("job {job} was started {starts} times"));
        }
        if place != Some(site) {
            self.breach("right place", format!("job {job} of site {place:?} runs on {site}"));
        }
        let Some(owner) = self.links.get(&link).map(|link| link.owner) else { return };
        let Some(most) = self.allowed.get(owner).map(|allowed| allowed.leases) else { return };
        // Where leases share a connection, it is reset behind the last of them only: a job that was
        // given up may still run.
        let counts = |record: &&JobRecord| {
            let runs = record.link == Some(link) && !record.finished && !record.killed;
            let wanted = record.call.as_ref().is_some_and(|call| call.outcome.is_none());
            runs && (wanted || most == 1)
        };
        let running = self.jobs.values().filter(counts).count();
        if running > most {
            self.breach("leases", format!("{running} jobs run on link {link}, of {most}"));
        }
    }

    /// A job has run to its end, or was killed.
    pub(crate) fn stopped(&mut self, job: u64, finished: bool) {
        let record = self.jobs.entry(job).or_default();
        if record.finished || record.killed {
            return;
        }
        (record.finished, record.killed) = (finished, !finished);
    }

    /// A client is asked for something.
    pub(crate) fn asked(&mut self, client: usize, sites: [Option<usize>; 2]) {
        for site in sites.into_iter().flatten() {
            *self.asks.entry((client, site)).or_default() += 1;
        }
    }

    /// Somebody begins to wait for a session; its number in the queue.
    pub(crate) fn arrived(&mut self, client: usize, site: usize) -> u64 {
        self.arrivals += 1;
        let number = self.arrivals;
        self.waiting.push(Waiting { number, client, site, overtaken: None });
        number
    }

    /// It waits no more.
    pub(crate) fn left(&mut self, number: u64, served: bool) {
        let Some(place) = self.waiting.iter().position(|waiting| waiting.number == number) else {
            return;
        };
        let Waiting { client, site, overtaken, .. } = self.waiting.remove(place);
        if let Some(before) = overtaken.map(|at| at.elapsed()).filter(|before| *before > TICK) {
            let text = format!("one who came later was served {before:?} before");
            self.breach("order", format!("client {client}, site {site}: {text}"));
        }
        if served {
            let others = self.waiting.iter_mut();
            let same = others.filter(|other| (other.client, other.site) == (client, site));
            same.filter(|other| other.number < number).for_each(|earlier| {
                earlier.overtaken.get_or_insert_with(Instant::now);
            });
        }
    }

    /// A session was closed for a reason that a good one does not give.
    pub(crate) fn given_up(&mut self, client: usize, sites: [Option<usize>; 2], why: &str) {
        // What was asked for a sign of life just before the process was stopped has not given one.
        let asked = matches!(why, "CheckFailed" | "KeepaliveFailed");
        let late = asked && !stopped(&self.stops, TICK).is_zero();
        // One that is broken closes with its last lease, which whoever reads slowly holds for long.
        let (now, allowed) = (Instant::now(), &self.allowed[client]);
        let (readers, last) = allowed.slow_readers;
        let held = readers > 0 || last.is_some_and(|last| last.elapsed() <= TICK);
        let since = allowed.slow_since.filter(|_| held).unwrap_or(now);
        // Of one that is idle its pool hears when it looks: at most an interval later, of which two at
        // least make the longest silence.
        let since = match why {
            "Broken" => since.checked_sub(allowed.silence / 2).unwrap_or(since),
            _ => since,
        };
        if self.is_calm(sites, since) && !late {
            self.breach("kept", format!("a good session of client {client} was closed: {why}"));
        }
    }

    fn is_calm(&self, sites: [Option<usize>; 2], since: Instant) -> bool {
        let until = sites.into_iter().flatten().filter_map(|site| self.trouble[site]).max();
        until.is_none_or(|until| until < since)
    }

    /// Somebody asks for a job, which is to end within `limit` one way or the other.
    pub(crate) fn called(&mut self, job: u64, site: usize, client: &Client, limit: Duration) {
        let (hop, keyed) = (client.hop, client.kind == Kind::Keyed);
        let call = Call { site, hop, keyed, started: Instant::now(), limit, outcome: None };
        self.jobs.entry(job).or_default().call = Some(call);
    }

    /// What became of it. `doomed` may fail though nothing is wrong.
    pub(crate) fn ended(&mut self, job: u64, outcome: Outcome, doomed: bool) {
        let Some(call) = self.jobs.get_mut(&job).and_then(|record| record.call.as_mut()) else {
            return;
        };
        let took = call.started.elapsed();
        let limit = call.limit + stopped(&self.stops, took);
        let (started, keyed) = (call.started, call.keyed);
        let sites = [Some(call.site), call.hop];
        call.outcome = Some(outcome.clone());
        if took > limit + TICK {
            self.breach("deadline", format!("job {job} took {took:?} of {limit:?}"));
        }
        match outcome {
            Outcome::Done { right } => {
                self.counts.done += 1;
                if !right {
                    self.breach("right output", format!("job {job} has another's"));
                }
            }
            Outcome::Failed { error, .. } => {
                self.counts.failed += 1;
                self.check_death(job, &error);
                // What a stop has made late may fail for a while.
                let recent = took + AFTER_STOP;
                let stopped = !stopped(&self.stops, recent).is_zero();
                let calm = match keyed {
                    true => (0..self.trouble.len())
                        .all(|site| self.is_calm([Some(site), None], started)),
                    false => self.is_calm(sites, started),
                };
                if calm && !doomed && !stopped {
                    let text = format!("job {job} failed on a good day after {took:?}: {error}");
                    self.breach("unprovoked", text);
                }
            }
            Outcome::Dropped => self.counts.dropped += 1,
        }
    }

    /// A peer is not given up before its time.
    fn check_death(&mut self, job: u64, error: &str) {
        if !error.contains("no answer to heartbeats") {
            return;
        }
        let link = self.jobs.get(&job).and_then(|record| record.link);
        let Some(link) = link.and_then(|link| self.links.get(&link)) else { return };
        // Where one says goodbye yet, bytes of its may still be on their way, of which it knows nothing.
        let silence = link.silence;
        let Some(allowed) = self.allowed.get(link.owner).filter(|_| !link.client_open) else {
            return;
        };
        // A stuck session does not look at what has come last.
        if silence + allowed.doubt.max(TICK) < allowed.silence {
            let text = format!("after {silence:?} of {:?}", allowed.silence);
            self.breach("dead too early", format!("the peer of job {job} {text}"));
        }
    }
}
