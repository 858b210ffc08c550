//! A client at work: it borrows, runs jobs, holds, panics and closes, and says in the books what it
//! was told.

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::client::{self, Dropped, Hands, Lease, timed};
use crate::job::{Job, Reading};
use crate::records::Outcome;
use crate::script::{Client, Kind};
use crate::trace::note;
use crate::world::{TICK, World};

/// How long commands may take to pass on what they wrote, where they have no deadline.
pub(crate) const TRANSFER: Duration = Duration::from_secs(1800);

/// What `close` of a pool may take: the default of `close_timeout`.
pub(crate) const CLOSING: Duration = Duration::from_secs(5);

/// A client with what it has in its hands now.
#[derive(Clone)]
pub(crate) struct Actor {
    pub(crate) number: usize,
    pub(crate) plan: Client,
    pub(crate) hands: Arc<Mutex<Option<Hands>>>,
    /// Milliseconds of work that it has asked for and not got.
    pub(crate) owed: Arc<Mutex<u64>>,
    /// How often it was resized.
    pub(crate) resizes: Arc<AtomicU64>,
}

/// How a job is run: its deadline, after how many polls it is dropped, how its output is read.
#[derive(Clone, Copy, Default)]
pub(crate) struct Way {
    pub(crate) timeout: Option<Duration>,
    pub(crate) polls: Option<u32>,
    pub(crate) reading: Option<Reading>,
}

impl Actor {
    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, Option<Hands>> {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn hands(&self) -> Option<Hands> {
        self.lock().clone()
    }

    /// Borrows a session, in its turn and in time.
    pub(crate) async fn borrow(
        &self,
        world: &World,
        known_hosts: &Path,
        site: usize,
        hands: &Hands,
    ) -> Result<Lease, Outcome> {
        let queued = Queued::new(world, self, site);
        let borrowing = self.plan.borrow(world, self.number, site, hands, known_hosts);
        let (lease, took) = timed(borrowing).await;
        queued.leave(lease.is_ok());
        let patience = self.plan.patience();
        if took > patience + world.books().stopped_within(took) + TICK {
            let text = format!("client {} waited {took:?} of {patience:?}", self.number);
            world.books().breach("deadline", text);
        }
        if lease.as_ref().is_ok_and(|lease| !lease.is_alive()) {
            world.books().breach("dead lease", format!("client {}, site {site}", self.number));
        }
        lease
    }

    /// Runs a job; whether it gave an output.
    pub(crate) async fn run(
        &self,
        world: &World,
        known_hosts: &Path,
        site: usize,
        job: Job,
        way: Way,
    ) -> bool {
        let Way { timeout, polls, reading } = way;
        let Some(hands) = self.hands() else { return false };
        let patience = self.plan.patience();
        let pauses = reading.map_or(Duration::ZERO, |reading| reading.longest());
        let work = timeout.unwrap_or(Duration::from_millis(job.time) + TRANSFER);
        // By `execute` it may be sent ten times, but not once its time is up: then one that was
        // borrowed in vain is the last.
        let whole =
            matches!(&hands, Hands::Pool(..)) && job.number.is_multiple_of(2) && reading.is_none();
        let limit = match timeout {
            Some(_) if whole => patience * 2 + work,
            None if whole => patience * 12 + work,
            _ => patience + work + pauses,
        };
        world.books().called(job.number, site, &self.plan, limit);
        let cost = job.time as i64 + 1000 + pauses.as_millis() as i64;
        let owed = self.owe(cost);
        let slow = timeout.is_some_and(|limit| limit < Duration::from_millis(job.time + 10_000));
        let doomed = slow || !pauses.is_zero() || owed > patience.as_millis() as u64 / 2;
        let _slow = (!pauses.is_zero()).then(|| SlowReader::new(world, self.number));
        let running = async {
            if let (true, Hands::Pool(pool, _)) = (whole, &hands) {
                let _movable = Movable::new(world, self.number);
                world.books().asked(self.number, [Some(site), self.plan.hop]);
                let command = client::command(job, timeout);
                return client::judge(job, pool.execute_with(&command).await);
            }
            let lease = self.borrow(world, known_hosts, site, &hands).await;
            match lease {
                Ok(lease) => lease.run(job, timeout, reading).await,
                Err(outcome) => outcome,
            }
        };
        let outcome = Dropped { future: Some(Box::pin(running)), polls }.await;
        let outcome = outcome.unwrap_or(Outcome::Dropped);
        self.owe(-cost);
        let done = matches!(outcome, Outcome::Done { right: true });
        // Whose folder has another name in each run.
        let folder = known_hosts.display().to_string();
        let told = format!("{outcome:?}").replace(&folder, "known_hosts");
        note!(world, "job {} of client {}: {told}", job.number, self.number);
        if let (Hands::Pool(_, events), Outcome::Failed { error, .. }) = (&hands, &outcome)
            && error.contains("opens no further channel")
        {
            events.refused();
        }
        world.books().ended(job.number, outcome, doomed);
        done
    }

    fn owe(&self, more: i64) -> u64 {
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        *owed = owed.saturating_add_signed(more);
        *owed
    }

    /// It will have a session for so long, and others may have to wait.
    pub(crate) fn owing(&self, time: Duration) -> impl Drop + use<> {
        let cost = time.as_millis() as i64 + 1000;
        self.owe(cost);
        Owing(self.clone(), cost)
    }

    /// Panics with a session on loan.
    pub(crate) async fn panic(&self, world: &World, known_hosts: &Path, site: usize, job: Job) {
        let actor = self.clone();
        let (world, known_hosts) = (world.clone(), known_hosts.to_owned());
        let panicking = tokio::spawn(async move {
            let Some(hands) = actor.hands() else { return };
            // Others may wait for it in vain as soon as it comes.
            let _owing = actor.owing(Duration::from_millis(job.time));
            let lease = actor.borrow(&world, &known_hosts, site, &hands).await;
            if let Ok(lease) = &lease {
                world.books().called(job.number, site, &actor.plan, TRANSFER);
                let outcome = lease.run(job, Some(Duration::from_secs(60)), None).await;
                note!(world, "job {} of a borrower that panics: {outcome:?}", job.number);
                world.books().ended(job.number, outcome, true);
            }
            std::panic::panic_any(Expected);
        });
        let _ = panicking.await;
    }

    /// Closes what it has.
    pub(crate) async fn close(&self, world: &World, hands: &Hands, calm: bool) {
        let number = self.number;
        let (closed, took) = match hands {
            Hands::Pool(pool, _) => {
                let (closed, took) = timed(pool.close()).await;
                (closed.map_err(|error| error.to_string()), took)
            }
            Hands::Keyed(pool, _) => {
                let (closed, took) = timed(pool.close()).await;
                (closed.map(drop).map_err(|error| error.to_string()), took)
            }
            Hands::Single(held) => {
                let held = held.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(connection) = held {
                    connection.close();
                }
                (Ok(()), Duration::ZERO)
            }
        };
        note!(world, "client {number} has closed: {closed:?}");
        if took > CLOSING + world.books().stopped_within(took) + TICK {
            world.books().breach("deadline", format!("close of client {number} took {took:?}"));
        }
        if !calm {
            return;
        }
        if let Err(error) = closed {
            world.books().breach("left here", format!("client {number}: {error}"));
        }
        let differences = match hands {
            Hands::Pool(pool, events) => events.disagree(&pool.stats(), true),
            Hands::Keyed(pool, endpoints) => {
                let known = endpoints.0.iter().filter_map(|(endpoint, events)| {
                    Some(events.disagree(&pool.stats_of(endpoint)?, client::remembers(number)))
                });
                known.flatten().collect()
            }
            Hands::Single(_) => Vec::new(),
        };
        for difference in differences {
            world.books().breach("statistics", format!("client {number}: {difference}"));
        }
    }
}

/// Somebody who may leave bytes of a client's connections unread.
struct SlowReader {
    world: World,
    owner: usize,
}

impl SlowReader {
    fn new(world: &World, owner: usize) -> Self {
        world.books().slow_reader(owner, true);
        Self { world: world.clone(), owner }
    }
}

impl Drop for SlowReader {
    fn drop(&mut self) {
        self.world.books().slow_reader(self.owner, false);
    }
}

/// Whoever asks once for what may be sent anew over another connection.
struct Movable {
    world: World,
    owner: usize,
}

impl Movable {
    fn new(world: &World, owner: usize) -> Self {
        world.books().allowed[owner].movable += 1;
        Self { world: world.clone(), owner }
    }
}

impl Drop for Movable {
    fn drop(&mut self) {
        self.world.books().allowed[self.owner].movable -= 1;
    }
}

/// A place in the queue of a client's pool, given up when dropped.
struct Queued {
    world: World,
    number: Option<u64>,
}

impl Queued {
    fn new(world: &World, actor: &Actor, site: usize) -> Self {
        world.books().asked(actor.number, [Some(site), actor.plan.hop]);
        // Nobody waits for others where each dials for itself.
        let queues = !matches!(actor.plan.kind, Kind::Single(_));
        let number = queues.then(|| world.books().arrived(actor.number, site));
        Self { world: world.clone(), number }
    }

    fn leave(mut self, served: bool) {
        if let Some(number) = self.number.take() {
            self.world.books().left(number, served);
        }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.world.books().left(number, false);
        }
    }
}

/// What a borrower panics with.
#[derive(Debug, Clone, Copy)]
pub struct Expected;

struct Owing(Actor, i64);

impl Drop for Owing {
    fn drop(&mut self) {
        self.0.owe(-self.1);
    }
}
