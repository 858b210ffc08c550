//! Where a session keeps its SFTP channel.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Where a session keeps its SFTP channel, for whoever uses the session next.
pub struct Place<C> {
    state: Mutex<State<C>>,
    changed: Condvar,
}

struct State<C> {
    kept: Option<Arc<C>>,
    /// Somebody is opening one.
    opening: bool,
}

impl<C> Place<C> {
    /// The channel that is kept and good, or the one that `open` opens. One opens while the others
    /// wait for it, so long at most; `None` when that is over.
    ///
    /// # Errors
    ///
    /// That of `open`.
    pub fn get<E>(
        &self,
        patience: Duration,
        is_good: impl Fn(&C) -> bool,
        open: impl FnOnce() -> Result<C, E>,
    ) -> Option<Result<Arc<C>, E>> {
        let deadline = Instant::now().checked_add(patience);
        let mut state = self.lock();
        let bad = loop {
            match &state.kept {
                Some(kept) if is_good(kept) => return Some(Ok(Arc::clone(kept))),
                _ if !state.opening => break state.kept.take(),
                _ => {}
            }
            let left = deadline.map_or(patience, |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return None;
            }
            state = match self.changed.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        };
        state.opening = true;
        drop(state);
        drop(bad);
        // Also where `open` panics.
        let _opening = Opening(self);
        let opened = open().map(Arc::new);
        if let Ok(channel) = &opened {
            self.lock().kept = Some(Arc::clone(channel));
        }
        Some(opened)
    }

    /// Lets go of the channel, if it is this one.
    pub fn drop_kept(&self, channel: &Arc<C>) {
        let mut state = self.lock();
        let kept = state.kept.take_if(|kept| Arc::ptr_eq(kept, channel));
        drop(state);
        drop(kept);
    }

    fn lock(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Opening<'p, C>(&'p Place<C>);

impl<C> Drop for Opening<'_, C> {
    fn drop(&mut self) {
        self.0.lock().opening = false;
        self.0.changed.notify_all();
    }
}

impl<C> Default for Place<C> {
    fn default() -> Self {
        let state = State { kept: None, opening: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl<C> fmt::Debug for Place<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("kept", &self.lock().kept.is_some()).finish()
    }
}
