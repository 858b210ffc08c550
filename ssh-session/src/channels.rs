//! What every backend does about channels that a server refuses, and about opening one ahead.
//!
//! sshd bounds the session channels of a connection (`MaxSessions`, 10), and frees the slot of a
//! closed one late: behind the refusal of the next.

use std::time::Duration;

/// Up to so many channels open on a session one more is opened ahead: half of sshd's default
/// `MaxSessions`, as slots come free late.
pub const PREFETCH_LIMIT: usize = 5;

/// How long after a channel was closed its slot may not be free yet.
pub const RECENTLY_CLOSED: Duration = Duration::from_secs(1);

/// The pauses before a refused channel is asked for again where a slot is about to come free.
pub const RETRY_PAUSES: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
];

/// With how many channels open one is opened ahead from now on, on a session of which the server
/// refused one more when it had so many.
pub fn prefetch_limit_after_refusal(open: usize) -> usize {
    (open / 2).max(1)
}
