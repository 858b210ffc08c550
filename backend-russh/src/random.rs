//! Random numbers behind a fork.
//!
//! russh draws cookies and keys from a generator that each thread has and that a fork copies (rand
//! 0.9 and later don't notice one): parent and child would send the same key of an exchange, and
//! encrypt with what the other one knows. Threads of a child are new, but for the one that forked.
//! So whichever thread drives a connection draws a new seed where its process is another one.

use std::cell::Cell;
use std::io;

use ssh_session::ProcessId;

thread_local! {
    /// The process in which this thread's generator was last seeded by us.
    static SEEDED: Cell<Option<ProcessId>> = const { Cell::new(None) };
}

/// Seeds this thread's generator, unless that was done in this process.
pub(crate) fn renew() -> io::Result<()> {
    if SEEDED.get().is_some_and(ProcessId::is_current) {
        return Ok(());
    }
    rand::rng().reseed().map_err(io::Error::other)?;
    SEEDED.set(Some(ProcessId::current()));
    Ok(())
}
