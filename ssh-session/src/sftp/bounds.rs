//! What a call may cost at most.

use std::time::Duration;

/// What a call may cost at most, whatever a server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The whole call. `None`, the default, is no limit.
    pub deadline: Option<Duration>,
    /// As long as nothing comes from the server that owes an answer. After that the SFTP channel is
    /// given up. 30 s by default.
    pub idle: Duration,
    /// What is read into memory, in bytes. 1 GiB by default.
    pub bytes: u64,
    /// Names in a listing, or in all of a tree. 1,000,000 by default.
    pub entries: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { deadline: None, idle: Duration::from_secs(30), bytes: 1 << 30, entries: 1_000_000 }
    }
}
