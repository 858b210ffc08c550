//! The kinds that events, errors, counters and the core name: what a session is asked for, how an
//! operation fails, what a borrower waits for, why a session is closed.

/// Why the last connect brought no session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectFailure<E> {
    /// The backend said why.
    Error(E),
    /// It took longer than `connect_timeout`.
    TimedOut,
    /// The backend panicked, or its task was dropped.
    Panicked,
    /// A session was opened, and was broken when it was first looked at.
    BrokenAtBirth,
}

impl<E> ConnectFailure<E> {
    /// The same without the backend's error.
    pub(crate) fn without_error(&self) -> ConnectFailure<()> {
        match self {
            Self::Error(_) => ConnectFailure::Error(()),
            Self::TimedOut => ConnectFailure::TimedOut,
            Self::Panicked => ConnectFailure::Panicked,
            Self::BrokenAtBirth => ConnectFailure::BrokenAtBirth,
        }
    }
}

/// An operation on a session that can hang.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Opening a session.
    Connect,
    /// Asking one for a sign of life, or cleaning it.
    Check,
    /// Closing one.
    Close,
}

/// Why a session is asked for a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A borrower waits for it.
    Lend,
    /// Its keepalive is due.
    Keepalive,
    /// A sibling failed, so it is suspect.
    Sweep,
    /// It is looked at, and not asked.
    Watch,
    /// A caller of `retain` looks at it.
    Inspect,
}

/// What a borrower was waiting for when its time was up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitPhase {
    /// A session being opened.
    Connect,
    /// The delay after a failed connect.
    Backoff,
    /// A sign of life of an idle session, or its cleaning.
    Check,
    /// Somebody to return a session: all are lent.
    Return,
    /// Sessions being closed, which have all the places.
    Close,
    /// Operations to come back that were given up and still hang: no more are started.
    Hung,
    /// A place under the total of a keyed pool.
    Total,
}

/// Why a session left the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// `is_broken` said so when it was lent, returned or looked at.
    Broken,
    /// Its borrower said so.
    Marked,
    /// It gave no sign of life when asked before a lease or after a sibling failed, or could not be
    /// asked because too many such calls hang.
    CheckFailed,
    /// It did not answer a keepalive.
    KeepaliveFailed,
    /// It could not be reset.
    ResetFailed,
    /// An operation on it took too long or was cancelled.
    Interrupted,
    /// Its borrower, or the backend, panicked.
    Panicked,
    /// Nobody used it for `idle_timeout`.
    IdleTimeout,
    /// It reached `max_lifetime`.
    Lifetime,
    /// The pool was made smaller.
    Resized,
    /// `evict_all` was called.
    Evicted,
    /// A `retain` predicate refused it.
    Discarded,
    /// A keyed pool at its total limit needed its place for another key.
    Displaced,
    /// Its peer refused it even a single lease.
    Refused,
    /// A borrower of a shared session kept it for good.
    Detached,
    /// The pool is closed.
    PoolClosed,
}

pub(crate) const REASONS: [CloseReason; 16] = [
    CloseReason::Broken,
    CloseReason::Marked,
    CloseReason::CheckFailed,
    CloseReason::KeepaliveFailed,
    CloseReason::ResetFailed,
    CloseReason::Interrupted,
    CloseReason::Panicked,
    CloseReason::IdleTimeout,
    CloseReason::Lifetime,
    CloseReason::Resized,
    CloseReason::Evicted,
    CloseReason::Discarded,
    CloseReason::Displaced,
    CloseReason::Refused,
    CloseReason::Detached,
    CloseReason::PoolClosed,
];
