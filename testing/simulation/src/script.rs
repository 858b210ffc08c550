//! What happens in a run, as plain data drawn from its seed, so that a part of it can be left out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::habits::Mood;
use crate::job::{Job, Reading};
use crate::net::Direction;

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
    /// A command, given up by its caller after so many polls if that is said. What it writes is
    /// collected, or read piece by piece.
    Run {
        client: usize,
        site: usize,
        job: Job,
        timeout: Option<Duration>,
        polls: Option<u32>,
        #[serde(default)]
        reading: Option<Reading>,
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
    /// The whole process does nothing, as where it is stopped or its machine is.
    Stop {
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
            Self::Run { .. }
            | Self::Panic { .. }
            | Self::Resize { .. }
            | Self::Stop { .. }
            | Self::Renew { .. } => None,
        }
    }
}
