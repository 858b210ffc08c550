//! One deadline over all parts of a call.

use std::time::{Duration, Instant};

use ssh_session::{Phase, SshError, Target};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    started: Instant,
    at: Option<Instant>,
}

impl Deadline {
    /// `None` never passes, nor does what lies beyond the clock's range.
    pub(crate) fn after(limit: Option<Duration>) -> Self {
        let started = Instant::now();
        Self { started, at: limit.and_then(|limit| started.checked_add(limit)) }
    }

    /// The same call's deadline for one of its parts, which has a limit of its own.
    pub(crate) fn within(self, limit: Duration) -> Self {
        let own = Instant::now().checked_add(limit);
        Self { at: self.at.into_iter().chain(own).min(), ..self }
    }

    pub(crate) fn at(&self) -> Option<Instant> {
        self.at
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.at.is_some_and(|at| Instant::now() >= at)
    }

    /// What to say when it has passed.
    pub(crate) fn late(&self, target: &Target, phase: Phase) -> SshError {
        SshError::Timeout {
            target: target.clone(),
            phase,
            elapsed: self.elapsed(),
            partial: None,
            maybe_started: false,
        }
    }

    /// What is left; `None` for ever.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        self.at.map(|at| at.saturating_duration_since(Instant::now()))
    }
}
