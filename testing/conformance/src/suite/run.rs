//! Runs the cases, each in a thread of its own, so that one that panics or hangs is its own fault.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::{
    Case, Entry, ServerKind, Setup, Subject, cancelling, channels, commands, deadlines, endings,
    files, forwardings, heartbeats, limits, networks, processes, queueing, reading, rekeying, scp,
    sharing, shells, streams, tails, terminals, trees, tunnels,
};
use test_servers::sshd::PasswordUser;

/// How long a case may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a case is put to a server that dies of its own fault.
const CRASHES: usize = 10;

/// How often a server that loses commands must say the same.
const LOSSES: usize = 3;

/// How many cases of a cell run at once, each on a server of its own: most of the time they wait.
const WORKERS: usize = 2;

/// How many lines of the shared server's log a failed case shows.
const LAST_WORDS: usize = 4;

/// What came of one case.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The case's name.
    pub name: &'static str,
    /// Why it failed, if it did.
    pub result: Result<(), String>,
    /// How long it took.
    pub elapsed: Duration,
}

/// What came of all cases in one cell of the grid.
#[derive(Clone, Debug)]
pub struct Report {
    /// The kind of session.
    pub session: &'static str,
    /// The kind of server.
    pub server: &'static str,
    /// One for each case that was run.
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// How many cases passed.
    pub fn passed(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.result.is_ok()).count()
    }

    /// The cases that failed.
    pub fn failures(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|outcome| outcome.result.is_err())
    }
}

/// The names of all cases, in the order they are run.
pub fn names<S: Subject>() -> Vec<&'static str> {
    entries::<S>().iter().map(|entry| entry.name).collect()
}

/// Runs the cases whose name has `filter` in it, or all, each on a server that has seen others.
///
/// # Panics
///
/// Where a server can't be started: something is missing on this machine, and the panic names it.
pub fn run<S: Subject>(subject: &S, place: ServerKind, filter: Option<&str>) -> Report {
    let user = (place == ServerKind::Sshd)
        .then(|| Arc::new(PasswordUser::create().expect("a user for sshd; run as root")));
    let fresh = || Case {
        subject: subject.clone(),
        place,
        server: Arc::new(place.start(&Setup::default(), user.as_ref())),
        user: user.clone(),
        own: Arc::default(),
    };
    let wanted = |entry: &Entry<S>| filter.is_none_or(|filter| entry.name.contains(filter));
    let waiting: VecDeque<_> = entries::<S>().into_iter().filter(wanted).enumerate().collect();
    let waiting = Mutex::new(waiting);
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let worker = || {
        let mut case = fresh();
        let mut outcomes = Vec::new();
        while let Some((number, entry)) = next() {
            let start = Instant::now();
            let result = put(entry.run, &case).map_err(|why| why + &last_words(&case));
            if result.is_err() {
                // What a failed case left behind is none of the next one's business.
                case = fresh();
            }
            let outcome = Outcome { name: entry.name, result, elapsed: start.elapsed() };
            outcomes.push((number, outcome));
        }
        outcomes
    };
    let mut outcomes: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(worker)).collect();
        let join = |worker: thread::ScopedJoinHandle<'_, _>| match worker.join() {
            Ok(outcomes) => outcomes,
            Err(panic) => resume_unwind(panic),
        };
        workers.into_iter().flat_map(join).collect()
    });
    outcomes.sort_by_key(|(number, _)| *number);
    let outcomes = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    Report { session: subject.name(), server: place.name(), outcomes }
}

/// The end of the shared server's log, the last line first.
fn last_words<S: Subject>(case: &Case<S>) -> String {
    let log = case.server.log();
    let lines = log.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    lines.take(LAST_WORDS).flat_map(|line| ["\n    server: ", line]).collect()
}

/// Puts a case to the server. One that died of its own fault is no witness and is asked again; one
/// that loses commands must say the same [`LOSSES`] times.
fn put<S: Subject>(run: fn(&Case<S>), case: &Case<S>) -> Result<(), String> {
    let (mut deaths, mut losses) = (0, 0);
    loop {
        let crashes = case.crashes();
        let result = watched(run, case.clone());
        let crashed = case.crashes() > crashes;
        // They end here, when nobody uses them any more.
        case.own.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let enough = match crashed {
            true => {
                deaths += 1;
                deaths >= CRASHES
            }
            false => {
                losses += 1;
                case.capabilities().keeps_commands_apart || losses >= LOSSES
            }
        };
        if result.is_ok() || enough {
            return result;
        }
    }
}

fn entries<S: Subject>() -> Vec<Entry<S>> {
    [
        commands::table(),
        terminals::table(),
        processes::table(),
        shells::table(),
        streams::table(),
        reading::table(),
        sharing::table(),
        limits::table(),
        queueing::table(),
        channels::table(),
        deadlines::table(),
        heartbeats::table(),
        cancelling::table(),
        rekeying::table(),
        endings::table(),
        networks::table(),
        files::table(),
        trees::table(),
        tails::table(),
        tunnels::table(),
        forwardings::table(),
        scp::table(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Runs a case, and leaves it alone when it does not end.
fn watched<S: Subject>(run: fn(&Case<S>), case: Case<S>) -> Result<(), String> {
    let (sender, receiver) = mpsc::channel();
    let work = move || {
        let result = catch_unwind(AssertUnwindSafe(|| run(&case)));
        // Before anybody is told: it ends servers and sessions.
        drop(case);
        let _ = sender.send(result);
    };
    let thread = thread::Builder::new().name("case".into()).spawn(work);
    if let Err(error) = thread {
        return Err(format!("no thread for it: {error}"));
    }
    match receiver.recv_timeout(PATIENCE) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(panic)) => Err(said(&*panic)),
        Err(_) => Err(format!("it did not end within {PATIENCE:?}")),
    }
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".into())
}
