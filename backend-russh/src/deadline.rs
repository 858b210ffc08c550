//! One deadline over all parts of a call.

use std::future::{Future, pending};
use std::time::Duration;

use ssh_session::{Phase, SshError, Target};
use tokio::time::{Instant, sleep_until, timeout_at};

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
        let at = self.at.into_iter().chain(own).min();
        Self { started: self.started, at }
    }

    /// What is left; `None` for ever.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        self.at.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Waits until it passes.
    pub(crate) async fn passed(&self) {
        match self.at {
            Some(at) => sleep_until(at).await,
            None => pending().await,
        }
    }

    /// Waits for something, as long as there is time.
    pub(crate) async fn bound<T>(
        &self,
        target: &Target,
        phase: Phase,
        work: impl Future<Output = T>,
    ) -> Result<T, SshError> {
        match self.at {
            Some(at) => timeout_at(at, work).await.map_err(|_| self.error(target, phase)),
            None => Ok(work.await),
        }
    }

    /// What to say when it has passed.
    pub(crate) fn error(&self, target: &Target, phase: Phase) -> SshError {
        SshError::Timeout {
            target: target.clone(),
            phase,
            elapsed: self.started.elapsed(),
            partial: None,
            maybe_started: false,
        }
    }
}
