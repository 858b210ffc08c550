//! How far a transfer has come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Transfer;

/// How far a transfer has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes of files transferred.
    pub bytes: u64,
    /// Files transferred whole.
    pub files: u64,
}

/// Counts.
#[derive(Clone)]
pub(crate) struct Counter {
    counts: Arc<(AtomicU64, AtomicU64)>,
    report: Option<Arc<dyn Fn(Progress) + Send + Sync>>,
}

impl Counter {
    pub(crate) fn new(transfer: &Transfer) -> Self {
        Self { counts: Arc::default(), report: transfer.progress.clone() }
    }

    pub(crate) fn bytes(&self, bytes: usize) {
        let before = self.counts.0.fetch_add(bytes as u64, Ordering::Relaxed);
        self.tell(before + bytes as u64, self.counts.1.load(Ordering::Relaxed));
    }

    pub(crate) fn file(&self) {
        let before = self.counts.1.fetch_add(1, Ordering::Relaxed);
        self.tell(self.counts.0.load(Ordering::Relaxed), before + 1);
    }

    fn tell(&self, bytes: u64, files: u64) {
        if let Some(report) = &self.report {
            report(Progress { bytes, files });
        }
    }
}
