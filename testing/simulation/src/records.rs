//! What the books are made of.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// The rule's name, as the README lists it.
    pub rule: &'static str,
    /// What happened, with numbers from the trace.
    pub detail: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.detail)
    }
}

/// What one client may do, as it was told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Allowed {
    /// Connections open at once to one site, those being opened included.
    pub(crate) sessions: usize,
    /// Until when it may be as many as that instead: connects that are under way when a pool is made
    /// smaller bring their sessions.
    pub(crate) before: Option<(Instant, usize)>,
    /// Connections open at once to all sites.
    pub(crate) total: Option<usize>,
    /// Connections that have not logged in, at once, to one site.
    pub(crate) dials: usize,
    /// How many read slowly over its connections, and when one last began or ended.
    pub(crate) slow_readers: (u32, Option<Instant>),
    /// When the first of them began.
    pub(crate) slow_since: Option<Instant>,
    /// How many of its jobs may go to another connection, unasked, when theirs ends.
    pub(crate) movable: usize,
    /// How long a peer may be silent until it counts as dead.
    pub(crate) silence: Duration,
    /// How much longer where bytes of it lie unread: a twentieth of its heartbeats' interval.
    pub(crate) doubt: Duration,
    /// How many jobs run on one connection at once.
    pub(crate) leases: usize,
    /// How long what ends may still be there.
    pub(crate) grace: Duration,
}

/// Somebody who waits for a session, in order of arrival.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) number: u64,
    pub(crate) client: usize,
    pub(crate) site: usize,
    /// Somebody who came later was served then.
    pub(crate) overtaken: Option<Instant>,
}

/// How a call ended, as its caller was told.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// With an output, right or not.
    Done { right: bool },
    /// With an error.
    Failed { may_have_started: bool, error: String },
    /// Its caller went away.
    Dropped,
}

#[derive(Debug)]
pub(crate) struct LinkRecord {
    pub(crate) owner: usize,
    pub(crate) site: usize,
    pub(crate) client_open: bool,
    pub(crate) server_open: bool,
    pub(crate) logged_in: bool,
    /// The client has heard of that.
    pub(crate) confirmed: bool,
    pub(crate) refused: u32,
    /// How often its client had been asked for something, of a refusal that it has not heard of yet.
    pub(crate) unheard: Option<u64>,
    /// How many jobs might have gone to it, unasked, when it was opened: some end while it logs in.
    pub(crate) movable: usize,
    /// How long the client had heard nothing when it closed it.
    pub(crate) silence: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct JobRecord {
    pub(crate) starts: u32,
    pub(crate) finished: bool,
    pub(crate) killed: bool,
    pub(crate) link: Option<u64>,
    pub(crate) call: Option<Call>,
}

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) site: usize,
    pub(crate) hop: Option<usize>,
    /// It waits for what is used for other sites, too.
    pub(crate) keyed: bool,
    pub(crate) started: Instant,
    pub(crate) limit: Duration,
    pub(crate) outcome: Option<Outcome>,
}

/// How much was done in a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Connections.
    pub links: u64,
    /// Logins that succeeded.
    pub logins: u64,
    /// Calls that gave an output.
    pub done: u64,
    /// Calls that gave an error.
    pub failed: u64,
    /// Calls that were dropped.
    pub dropped: u64,
}
