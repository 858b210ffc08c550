//! Telling how far a call is.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ssh_session::Target;

/// How far a call over many hosts is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MultiProgress {
    /// Whom it is about.
    pub host: Target,
    /// What has happened there.
    pub step: MultiStep,
    /// How many hosts are done.
    pub done: usize,
    /// How many of those have failed.
    pub failed: usize,
    /// How many hosts there are.
    pub total: usize,
}

/// What has happened on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MultiStep {
    /// It is its turn: it is connected to, where it is not connected already.
    Started,
    /// All was done there, and well.
    Succeeded,
    /// It could not be done, or the command ended with another code than 0.
    Failed,
}

/// A function of the caller's to tell.
#[derive(Clone)]
pub(crate) struct Progress(Arc<dyn Fn(&MultiProgress) + Send + Sync>);

impl Progress {
    pub(crate) fn new(tell: impl Fn(&MultiProgress) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

/// Counts the hosts of one call.
#[derive(Debug)]
pub(crate) struct Tally {
    progress: Option<Progress>,
    total: usize,
    done: AtomicUsize,
    failed: AtomicUsize,
}

impl Tally {
    pub(crate) fn new(progress: Option<Progress>, total: usize) -> Self {
        Self { progress, total, done: AtomicUsize::new(0), failed: AtomicUsize::new(0) }
    }

    pub(crate) fn started(&self, host: &Target) {
        self.tell(host, MultiStep::Started);
    }

    pub(crate) fn ended(&self, host: &Target, success: bool) {
        if !success {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        self.done.fetch_add(1, Ordering::Relaxed);
        self.tell(host, if success { MultiStep::Succeeded } else { MultiStep::Failed });
    }

    /// A panic there is told by the panic hook, and ends nothing here.
    fn tell(&self, host: &Target, step: MultiStep) {
        let Some(Progress(tell)) = &self.progress else { return };
        let progress = MultiProgress {
            host: host.clone(),
            step,
            done: self.done.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            total: self.total,
        };
        let _ = catch_unwind(AssertUnwindSafe(|| tell(&progress)));
    }
}
