//! What connections to many hosts have in common, on threads and for tasks.
//!
//! A call makes a plan first ([`Plan`]): which hosts, in which order, what to do on each. Then workers
//! take one host after another, as many at a time as [`Limits`] says; each result goes to whoever
//! holds the run as it comes, over a channel with as many places as there are workers, so that
//! results which nobody fetches hold up the next hosts instead of filling memory.

mod place;
mod plan;
mod progress;
mod result;

pub use self::place::LocalPath;
pub(crate) use self::plan::{Copying, Limits, Plan, Planned, left};
pub use self::progress::{MultiProgress, MultiStep};
pub(crate) use self::progress::{Progress, Tally};
pub use self::result::{HostResult, MultiResult, PartialFailure, Succeeds};

use ssh_session::SshError;

use crate::Error;

/// Work on a host panicked: a function of the caller's that it calls did.
pub(crate) fn panicked() -> Error {
    SshError::invalid("callback", "panicked while it was called for this host").into()
}
