//! Handles to sessions, each counted: one a session where it has one owner, more where it is shared.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{FakeSession, SessionCounters};

/// How many handles were made and dropped.
#[derive(Debug, Default)]
pub(super) struct Handles {
    made: AtomicU64,
    dropped: AtomicU64,
}

impl Handles {
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn alive(&self) -> usize {
        (self.made.load(Ordering::Relaxed) - self.dropped()) as usize
    }
}

/// One handle to a session.
#[derive(Debug)]
pub(super) struct Handle {
    session: Arc<FakeSession>,
    count: Arc<Handles>,
}

impl Handle {
    pub(super) fn new(truth: &Arc<SessionCounters>, count: &Arc<Handles>) -> Self {
        Self::of(Arc::new(FakeSession::new(truth)), count)
    }

    /// One more to the same session.
    pub(super) fn share(&self) -> Self {
        Self::of(Arc::clone(&self.session), &self.count)
    }

    fn of(session: Arc<FakeSession>, count: &Arc<Handles>) -> Self {
        count.made.fetch_add(1, Ordering::Relaxed);
        Self { session, count: Arc::clone(count) }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.count.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

impl Deref for Handle {
    type Target = FakeSession;

    fn deref(&self) -> &FakeSession {
        &self.session
    }
}
