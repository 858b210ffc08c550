//! All that clients, network and sites of one run share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::books::Books;
use crate::net::Path;
use crate::site::Site;
use crate::trace::Trace;

/// One run's network, sites and books. Clones are the same world.
#[derive(Debug, Clone)]
pub(crate) struct World(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) trace: Trace,
    net: Mutex<Vec<Path>>,
    sites: Vec<Site>,
    books: Mutex<Books>,
    links: AtomicU64,
}

/// How late something may be: what tokio's clock rounds to, and a little.
pub(crate) const TICK: Duration = Duration::from_millis(5);

impl World {
    pub(crate) fn new(trace: Trace, net: Vec<Path>, sites: Vec<Site>, books: Books) -> Self {
        let (net, books) = (Mutex::new(net), Mutex::new(books));
        Self(Arc::new(Inner { trace, net, sites, books, links: AtomicU64::new(0) }))
    }

    pub(crate) fn net(&self) -> MutexGuard<'_, Vec<Path>> {
        self.0.net.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.0.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn site(&self, number: usize) -> &Site {
        &self.0.sites[number]
    }

    pub(crate) fn sites(&self) -> &[Site] {
        &self.0.sites
    }

    pub(crate) fn next_link(&self) -> u64 {
        self.0.links.fetch_add(1, Ordering::Relaxed)
    }
}

impl std::ops::Deref for World {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
