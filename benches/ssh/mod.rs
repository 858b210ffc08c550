//! Commands over SSH, one way or another: what `handshake_savings` and the table of savings
//! measure.

mod peers;
mod place;
mod raw;
mod ways;

pub use self::peers::Peers;
pub use self::place::{Kind, Place};
pub use self::ways::{ASIDE, Way, ways};

/// What is run: nothing that takes time by itself.
pub const COMMAND: &str = "true";
