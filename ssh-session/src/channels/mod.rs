//! What every backend does about channels that a server refuses, and about opening one ahead.
//!
//! sshd bounds the session channels of a connection (`MaxSessions`, 10), and frees the slot of a
//! closed one late: behind the refusal of the next. So a command that is refused a channel has not
//! failed: it waits in a [`ChannelQueue`] until another command of its connection has ended.

mod queue;

use std::time::Duration;

pub use queue::{ChannelQueue, Ticket, Turn};

/// Up to so many channels open on a session one more is opened ahead: half of sshd's default
/// `MaxSessions`, as slots come free late.
pub const PREFETCH_LIMIT: usize = 5;

/// How long after a channel was closed its slot may not be free yet.
const RECENTLY_CLOSED: Duration = Duration::from_secs(1);

/// The pauses before a refused channel is asked for again where a slot is about to come free.
const RETRY_PAUSES: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
];

/// How often a refused channel is asked for again while commands that were given up hold the slots,
/// and how long each of these waits: one that the server does not let us kill takes its time.
const LEFTOVER_RETRIES: usize = 3;
const LEFTOVER_WAIT: Duration = Duration::from_millis(300);

/// How often a full server is asked whether it is still full, though no command has ended: slots come
/// free that we know nothing of, such as those of commands that could not be killed.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// With how many channels open one is opened ahead from now on, on a session of which the server
/// refused one more when it had so many.
pub fn prefetch_limit_after_refusal(open: usize) -> usize {
    (open / 2).max(1)
}
