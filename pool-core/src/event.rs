//! What happens in a pool, told to an [`Observer`].

use std::time::Duration;

use crate::backend::ErrorKind;

/// Why a session left the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// `is_broken` said so when it was lent or returned.
    Broken,
    /// Its borrower said so.
    Marked,
    /// It gave no sign of life when asked before a borrow or after a sibling failed.
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
    /// The pool is closed.
    PoolClosed,
}

pub(crate) const REASONS: [CloseReason; 14] = [
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
    CloseReason::PoolClosed,
];

/// Something that happened in a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A borrower got a session.
    Acquired {
        /// How long it waited.
        waited: Duration,
    },
    /// A borrower returned its session.
    Released {
        /// How long it was lent.
        held: Duration,
    },
    /// A borrower kept its session for good.
    Detached,
    /// A session opened elsewhere was put into the pool.
    Added,
    /// A session was opened.
    Connected {
        /// How long that took.
        took: Duration,
    },
    /// A session could not be opened.
    ConnectFailed {
        /// What that means for the next attempt.
        kind: ErrorKind,
    },
    /// A session left the pool.
    Closed {
        /// Why.
        reason: CloseReason,
        /// How old it was.
        age: Duration,
    },
}

/// Is told what happens in a pool, on the thread where it happens, outside the pool's lock. It
/// should be quick; where it panics, the event is lost and nothing else.
pub trait Observer: Send + Sync + 'static {
    /// Something happened.
    fn on_event(&self, event: &Event);
}
