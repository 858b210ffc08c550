//! The process that a session is at home in.

use crate::{Phase, SshError, Target};

/// The process that opened a session. A forked-off process inherits the session's socket, but not
/// the threads that serve it; whatever it sent or shut down there would hit its parent's
/// connection. So in another process than its own a session is over, and its socket left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessId(u32);

impl ProcessId {
    /// This process.
    pub fn current() -> Self {
        Self(std::process::id())
    }

    /// Whether this is it.
    pub fn is_current(self) -> bool {
        self == Self::current()
    }

    /// The error of using a session elsewhere.
    ///
    /// # Errors
    ///
    /// [`SshError::ConnectionLost`] in another process.
    pub fn check(self, target: &Target, phase: Phase) -> Result<(), SshError> {
        if self.is_current() {
            return Ok(());
        }
        Err(SshError::ConnectionLost {
            target: target.clone(),
            phase,
            detail: "it belongs to the process that this one was forked from".into(),
            partial: None,
            maybe_started: false,
        })
    }
}
