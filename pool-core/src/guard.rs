//! A borrowed session, which goes back by itself.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use crate::core::{Returned, SlotId};
use crate::event::CloseReason;
use crate::shared::{Probe, Shared, quietly};

/// A session on loan. It dereferences to the session, and dropping it gives the session back:
/// the books first, nothing that waits, nothing that panics, wherever it is dropped.
///
/// What concerns the loan and not the session are associated functions, so that they hide no
/// method of the session: `Guard::detach(guard)`.
#[must_use = "dropping the guard returns the session at once"]
pub struct Guard<P: Probe> {
    lease: Option<(SlotId, P::Session)>,
    shared: Arc<Shared<P>>,
    /// Why the session is not to be lent again, if that is known already.
    broken: Option<CloseReason>,
    /// Lent while its thread was unwinding already, so a panic says nothing about this session.
    born_unwinding: bool,
}

impl<P: Probe> Guard<P> {
    pub(crate) fn new(shared: Arc<Shared<P>>, slot: SlotId, session: P::Session) -> Self {
        let born_unwinding = std::thread::panicking();
        Self { lease: Some((slot, session)), shared, broken: None, born_unwinding }
    }

    /// Says that the session is not to be lent again; it is closed when it comes back.
    pub fn mark_broken(guard: &mut Self) {
        guard.broken = Some(CloseReason::Marked);
    }

    /// Takes the session out of the pool for good. The pool may open another in its place.
    pub fn detach(mut guard: Self) -> P::Session {
        let Some((slot, session)) = guard.lease.take() else {
            unreachable!("a guard owns its session until it is dropped")
        };
        guard.shared.with(|state, now| state.core.detach(slot, now));
        // A keyed pool may be waiting for the place.
        guard.shared.nudge();
        session
    }

    /// Where the session needs a reset: how long that may take. Until
    /// [`end_reset`](Self::end_reset) the session is as good as broken.
    pub(crate) fn begin_reset(guard: &mut Self) -> Option<Duration> {
        let (slot, mut session) = guard.lease.take()?;
        let state = guard.state(&mut session);
        guard.lease = Some((slot, session));
        guard.broken = match state {
            Returned::Clean => None,
            Returned::NeedsReset => Some(CloseReason::Interrupted),
            Returned::Broken(reason) => Some(reason),
        };
        let needed = state == Returned::NeedsReset;
        needed.then(|| guard.shared.lock().core.config().reset_timeout)
    }

    /// The reset came to its end, well or not.
    pub(crate) fn end_reset(guard: &mut Self, clean: bool) {
        guard.broken = (!clean).then_some(CloseReason::ResetFailed);
    }

    fn state(&self, session: &mut P::Session) -> Returned {
        if let Some(reason) = self.broken {
            return Returned::Broken(reason);
        }
        if std::thread::panicking() && !self.born_unwinding {
            return Returned::Broken(CloseReason::Panicked);
        }
        let probe = &self.shared.probe;
        match quietly(|| (probe.is_broken(session), probe.needs_reset(session))) {
            Some((false, false)) => Returned::Clean,
            Some((false, true)) => Returned::NeedsReset,
            Some((true, _)) => Returned::Broken(CloseReason::Broken),
            None => Returned::Broken(CloseReason::Panicked),
        }
    }
}

impl<P: Probe> Drop for Guard<P> {
    fn drop(&mut self) {
        if let Some((slot, mut session)) = self.lease.take() {
            let state = self.state(&mut session);
            self.shared.with_coarse(|shared, now| shared.core.release(slot, session, state, now));
        }
    }
}

impl<P: Probe> Deref for Guard<P> {
    type Target = P::Session;

    fn deref(&self) -> &P::Session {
        match &self.lease {
            Some((_, session)) => session,
            None => unreachable!("a guard owns its session until it is dropped"),
        }
    }
}

impl<P: Probe> DerefMut for Guard<P> {
    fn deref_mut(&mut self) -> &mut P::Session {
        match &mut self.lease {
            Some((_, session)) => session,
            None => unreachable!("a guard owns its session until it is dropped"),
        }
    }
}

impl<P: Probe> fmt::Debug for Guard<P>
where
    P::Session: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("session", &self.lease).finish_non_exhaustive()
    }
}
