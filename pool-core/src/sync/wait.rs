//! How a thread waits: for a session, for a closed pool to be drained, for sessions to be opened.

use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use super::park::{park, waker};
use super::worker::{Blocking, ensure_worker};
use crate::acquire::Acquiring;
use crate::backend::Backend;
use crate::domain::{Domain, Machine};
use crate::error::AcquireError;
use crate::guard::Guard;
use crate::locate::Locate;
use crate::shared::{Shared, Watcher};

/// Waits on this thread for a lease.
pub(crate) fn wait<D, B, L>(
    mut acquiring: Acquiring<D, L>,
    shared: &Arc<Shared<D>>,
) -> Result<Guard<D>, AcquireError<B::Error>>
where
    D: Domain<Backend = Blocking<B>>,
    L: Locate<D>,
    B: Backend,
{
    loop {
        let polled = acquiring.poll(waker);
        if !acquiring.is_attended()
            && let Err(error) = ensure_worker(shared)
            && polled.is_pending()
        {
            return Err(AcquireError::NoWorker(error));
        }
        if let Poll::Ready(result) = polled {
            return result;
        }
        let deadline = acquiring.deadline();
        park(deadline.and_then(|at| shared.clock.sleep_for(at)));
        // A worker minds the deadlines; where all of them are busy, this thread does.
        if deadline.is_some_and(|at| at <= shared.clock.now()) {
            shared.with(|state, now| state.machine.handle_timeout(now));
        }
    }
}

/// Waits on this thread until `look` has an answer; it is asked again whenever the pool has news
/// for those who [watch](Shared::watch). `None` where that is not in time.
pub(crate) fn watch<D: Domain, R>(
    shared: &Shared<D>,
    deadline: Option<Instant>,
    mut look: impl FnMut(&Shared<D>, &Arc<Watcher>) -> Option<R>,
) -> Option<R> {
    let watcher = Arc::new(Watcher(waker()));
    // The core knows no deadline of ours, so no worker wakes us where time is set by hand.
    if deadline.is_some_and(|at| shared.clock.sleep_for(at).is_none()) {
        shared.clock.subscribe(waker());
    }
    loop {
        if let Some(answer) = look(shared, &watcher) {
            return Some(answer);
        }
        if deadline.is_some_and(|at| at <= shared.clock.now()) {
            return None;
        }
        park(deadline.and_then(|at| shared.clock.sleep_for(at)));
    }
}
