//! What happens in a pool, told to an [`Observer`].

use std::error::Error as StdError;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::ErrorKind;
use crate::kinds::{CloseReason, ConnectFailure, Operation, Purpose, WaitPhase};

/// Why a borrower got no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotAcquired {
    /// Its deadline passed while it waited for this.
    TimedOut(WaitPhase),
    /// It went away.
    Cancelled,
    /// No session can be opened, for a reason that will not go away by itself.
    Failed,
    /// The pool is closed.
    Closed,
    /// As many borrowers waited as may.
    Overloaded,
}

/// Something that happened in a pool. Sessions are named by a number of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A borrower got a session.
    Acquired {
        /// Which.
        session: u64,
        /// How long it waited.
        waited: Duration,
        /// How often the session was lent before.
        uses: u64,
    },
    /// A borrower got none.
    NotAcquired {
        /// Why.
        why: NotAcquired,
        /// How long it waited.
        waited: Duration,
    },
    /// A borrower's lease ended.
    Released {
        /// Of which session.
        session: u64,
        /// How long it was out.
        held: Duration,
    },
    /// A lease is out for longer than `leak_after`.
    HeldLong {
        /// Of which session.
        session: u64,
        /// For how long.
        held: Duration,
        /// The line that acquired it.
        site: &'static Location<'static>,
    },
    /// A borrower kept its session for good.
    Detached {
        /// Which.
        session: u64,
    },
    /// A session opened elsewhere was put into the pool.
    Added {
        /// Which.
        session: u64,
    },
    /// A session was opened.
    Connected {
        /// Which.
        session: u64,
        /// How long that took.
        took: Duration,
    },
    /// A session could not be opened, or was broken when it was first looked at
    /// ([`ConnectFailure::BrokenAtBirth`]): then it was [`Connected`](Self::Connected) before, and is
    /// no [`connect_failures`](crate::Counters::connect_failures).
    ConnectFailed {
        /// What that means for the next attempt.
        kind: ErrorKind,
        /// How it failed.
        reason: ConnectFailure<()>,
        /// The backend's error, if there is one.
        error: Option<EventError>,
    },
    /// A session was asked for a sign of life.
    Checked {
        /// Which.
        session: u64,
        /// Why.
        purpose: Purpose,
        /// Whether it gave one.
        alive: bool,
    },
    /// A peer refused a lease, or none has been refused for a while: sessions are believed to carry
    /// so many.
    LimitLearned {
        /// How many.
        leases: usize,
    },
    /// An operation was given up at its deadline and has not come back.
    Hung {
        /// On which session.
        session: u64,
        /// What.
        operation: Operation,
    },
    /// A session left the pool.
    Closed {
        /// Which.
        session: u64,
        /// Why.
        reason: CloseReason,
        /// How old it was.
        age: Duration,
    },
}

/// The error of a backend, as an [`Event`] shows it.
#[derive(Clone)]
pub struct EventError(Arc<dyn StdError + Send + Sync>);

impl EventError {
    /// Keeps an error.
    pub fn new(error: Arc<dyn StdError + Send + Sync>) -> Self {
        Self(error)
    }

    /// The error itself.
    pub fn get(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &*self.0
    }
}

impl PartialEq for EventError {
    /// Whether both are the same error, not only one that says the same.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for EventError {}

impl fmt::Debug for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Is told what happens in a pool, on the thread where it happens, outside the pool's lock. It
/// should be quick; where it panics, the event is lost and nothing else.
pub trait Observer: Send + Sync + 'static {
    /// Something happened.
    fn on_event(&self, event: &Event);
}
