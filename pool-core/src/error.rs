//! Why a borrow failed.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::core::{Refusal, TimeoutReport};
use crate::kinds::{ConnectFailure, WaitPhase};
use crate::stats::Stats;

/// Why a borrower got no session.
#[non_exhaustive]
pub enum AcquireError<E> {
    /// The borrower's deadline passed. Worth another try later; the report says what was waited
    /// for and who holds the sessions.
    TimedOut(Box<TimeoutReport<Arc<E>>>),
    /// A session could not be opened, and trying again would not help: the backend's error says
    /// what to change.
    Connect(Arc<E>),
    /// The pool is closed. The caller's fault.
    Closed,
    /// As many borrowers wait as may (`max_waiters`). Worth another try later.
    Overloaded {
        /// How many wait.
        waiting: usize,
    },
    /// No worker thread could be started; the system is short of threads or memory.
    NoWorker(std::io::Error),
}

impl<E> AcquireError<E> {
    /// Whether the borrower ran into its deadline.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::TimedOut(_))
    }

    /// The backend's error, if one is known to be the cause.
    pub fn connect_error(&self) -> Option<&E> {
        match self {
            Self::Connect(error) => Some(error),
            Self::TimedOut(report) => match &report.last_failure {
                Some(ConnectFailure::Error(error)) => Some(error),
                _ => None,
            },
            Self::Closed | Self::Overloaded { .. } | Self::NoWorker(_) => None,
        }
    }
}

impl<E> From<Refusal<Arc<E>>> for AcquireError<E> {
    fn from(refusal: Refusal<Arc<E>>) -> Self {
        match refusal {
            Refusal::Closed => Self::Closed,
            Refusal::Failed(error) => Self::Connect(error),
            Refusal::TimedOut(report) => Self::TimedOut(report),
            Refusal::Overloaded { waiting } => Self::Overloaded { waiting },
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for AcquireError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(report) => f.debug_tuple("TimedOut").field(report).finish(),
            Self::Connect(error) => f.debug_tuple("Connect").field(error).finish(),
            Self::Closed => f.write_str("Closed"),
            Self::Overloaded { waiting } => {
                f.debug_struct("Overloaded").field("waiting", waiting).finish()
            }
            Self::NoWorker(error) => f.debug_tuple("NoWorker").field(error).finish(),
        }
    }
}

impl<E: fmt::Display> fmt::Display for AcquireError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(report) => write_report(report, f),
            Self::Connect(error) => write!(f, "no session could be opened: {error}"),
            Self::Closed => f.write_str("the pool is closed"),
            Self::Overloaded { waiting } => {
                write!(f, "{waiting} borrowers wait already, as many as `max_waiters` lets wait")
            }
            Self::NoWorker(error) => write!(f, "no worker thread could be started: {error}"),
        }
    }
}

impl<E: StdError + 'static> StdError for AcquireError<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::NoWorker(error) => Some(error),
            _ => self.connect_error().map(|error| error as &(dyn StdError + 'static)),
        }
    }
}

fn write_report<E: fmt::Display>(
    report: &TimeoutReport<Arc<E>>,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let waited_for = match report.phase {
        WaitPhase::Connect => "a session being opened",
        WaitPhase::Backoff => "the delay after a failed connect",
        WaitPhase::Check => "a check of an idle session",
        WaitPhase::Return => "a session to be returned",
        WaitPhase::Close => "sessions being closed, which have all the places",
        WaitPhase::Hung => "operations that hang beyond their time: no more are started",
        WaitPhase::Total => "a place under the total over all keys",
    };
    let Stats { max_size, idle, lent, connecting, waiting, .. } = report.stats;
    write!(
        f,
        "no session within {:?}, waiting for {waited_for} ({lent} of {max_size} lent, {idle} idle, \
         {connecting} connecting, {waiting} waiting)",
        report.waited,
    )?;
    match &report.last_failure {
        Some(ConnectFailure::Error(error)) => write!(f, "; the last connect failed: {error}")?,
        Some(ConnectFailure::TimedOut) => f.write_str("; the last connect timed out")?,
        Some(ConnectFailure::Panicked) => f.write_str("; the last connect panicked")?,
        Some(ConnectFailure::BrokenAtBirth) => {
            f.write_str("; the last session opened was broken at once")?;
        }
        None => {}
    }
    match &report.oldest_lease {
        Some(lease) => {
            write!(f, "; the oldest lease is out for {:?}, from {}", lease.age, lease.site)
        }
        None => Ok(()),
    }
}

/// The answer of a pool that was closed in time: nothing of it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// Operations that were given up and still hang: calls on threads of their own, which nothing
    /// can end. What they bring is closed when they return.
    pub hung: usize,
}

/// A closed pool still had sessions open when the time to close them was up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} sessions were still open ({} leases out, {} hanging operations) when the time to \
    close the pool was up", .stats.open(), .stats.lent, .stats.hung())]
pub struct DrainTimeout {
    /// The pool's counts at that moment; of a keyed pool those of all keys together.
    pub stats: Box<Stats>,
}

/// Why not as many sessions were opened as [`Pool::warm`](crate::Pool::warm) asked for.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{opened} of {wanted} sessions were opened in time{}",
    .last_failure.as_ref().map(|error| format!("; the last connect failed: {error}"))
        .unwrap_or_default())]
#[non_exhaustive]
pub struct WarmError<E: StdError> {
    /// How many were to be open.
    pub wanted: usize,
    /// How many are.
    pub opened: usize,
    /// Why the last connect failed, if the backend said so.
    pub last_failure: Option<Arc<E>>,
}
