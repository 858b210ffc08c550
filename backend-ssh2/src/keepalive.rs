//! What the heartbeats of sessions and of those on jump hosts have in common.

use std::time::Instant;

use pool_core::Keepalive;
use ssh_session::KeepaliveOptions;

/// No user's variable may have this name.
pub(crate) const PING_NAME: &[u8] = b"HUSSH_PING";

/// The machine that says when to ask, where that is wanted.
pub(crate) fn started(options: KeepaliveOptions) -> Option<Keepalive> {
    let started = |interval| Keepalive::new(interval, options.count_max, Instant::now());
    options.interval.map(started)
}
