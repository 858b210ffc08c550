//! A command under way as lines, and as what `std` and tokio read from and write to.
//!
//! Nothing is collected here: more is read from the command when more is asked for, so that one whose
//! output nobody takes is made to wait, as [`Process`](crate::Process) says.

#[cfg(feature = "streams")]
mod async_io;
mod blocking;
mod lines;

#[cfg(feature = "streams")]
pub use async_io::{AsyncProcessReader, AsyncProcessWriter};
pub use blocking::{ProcessReader, ProcessWriter};
pub(crate) use lines::Splitter;
pub use lines::{AsyncLines, Line, Lines};

/// As much of what a command writes to standard error is kept for whoever reads its standard output.
const KEPT_STDERR: usize = 64 * 1024;

/// Keeps what there is room for.
fn keep(kept: &mut Vec<u8>, bytes: &[u8]) {
    let room = KEPT_STDERR.saturating_sub(kept.len());
    kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
}
