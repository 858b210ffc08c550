//! How long one set of keys is used.

use std::time::Duration;

/// After how much, and after how long, keys are agreed on anew, whichever comes first: `RekeyLimit`
/// of `ssh_config(5)`.
///
/// libssh2 agrees on keys anew only where a server asks for that, so a session over it that is to
/// keep a limit is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RekeyLimit {
    /// Bytes in either direction; `None`, the default, leaves it to the library: 1 GiB with russh,
    /// which is also the most.
    pub bytes: Option<u64>,
    /// `None`, the default, leaves it to the library: an hour with russh.
    pub time: Option<Duration>,
}
