//! A leased session, which goes back by itself.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::backend::Moment;
use crate::core::{Lease, LeaseId, Returned, SlotId};
use crate::domain::{Domain, LocalChecks, Machine, SessionOf};
use crate::kinds::CloseReason;
use crate::panics::quietly;
use crate::shared::Shared;

/// A leased session. It dereferences to the session, and dropping it gives the session back: the
/// books first, nothing that waits, nothing that panics, wherever it is dropped.
///
/// What concerns the lease and not the session are associated functions, so that they hide no
/// method of the session: `Guard::detach(guard)`.
#[must_use = "dropping the guard returns the session at once"]
pub struct Guard<D: Domain> {
    session: Option<SessionOf<D>>,
    lease: LeaseId,
    shared: Arc<Shared<D>>,
    key: D::Key,
    place: D::Place,
    /// Why the session is not to be lent again, if that is known already.
    broken: Option<CloseReason>,
    /// The peer refused this borrower.
    refused: AtomicBool,
    /// In which state the session comes back, where the backend was asked already.
    settled: Option<Returned>,
    /// Lent while its thread was unwinding already, so a panic says nothing about this session.
    born_unwinding: bool,
    slot: SlotId,
    ticket: u64,
    /// How often the session was lent before, and when it was opened.
    uses: u64,
    born: Instant,
}

impl<D: Domain> Guard<D> {
    #[inline]
    pub(crate) fn new(
        shared: Arc<Shared<D>>,
        key: D::Key,
        place: D::Place,
        lease: Lease<SessionOf<D>>,
    ) -> Self {
        let Lease { id, slot, session, ticket, uses, born, .. } = lease;
        Self {
            session: Some(session),
            lease: id,
            shared,
            key,
            place,
            broken: None,
            refused: AtomicBool::new(false),
            settled: None,
            born_unwinding: std::thread::panicking(),
            slot,
            ticket,
            uses,
            born,
        }
    }

    /// Says that the session is not to be lent again. It is closed when it comes back; where other
    /// borrowers use it too, when the last of them has returned it.
    pub fn mark_broken(guard: &mut Self) {
        guard.broken = Some(CloseReason::Marked);
        if guard.shared.shares_sessions {
            let lease = guard.lease;
            let marked = CloseReason::Marked;
            guard.shared.with_core(guard.key, |core, now| core.mark_broken(lease, marked, now));
        }
    }

    /// Says that the peer refused this borrower what it wanted (an SSH server one more channel, an
    /// HTTP/2 server one more stream), though the session is good: from now on it carries no more
    /// leases than those that others have, and the pool tries one more after `limit_recovery`. A
    /// session that does not even carry this one is closed. The lease ends when the guard is
    /// dropped; [`Pool::exchange`](crate::Pool::exchange) gets another in its place.
    pub fn refused(guard: &Self) {
        guard.refused.store(true, Ordering::Relaxed);
    }

    /// Uses the session for something that must not be cut off: until [`Scope::done`] is called
    /// the session counts as broken. A task that is cancelled in between, or a panic, leaves no
    /// session half in use to be lent again.
    pub fn scope(guard: &mut Self) -> Scope<'_, D> {
        let before = guard.broken.replace(CloseReason::Interrupted);
        Scope { guard, before }
    }

    /// Takes the session out of the pool for good. The pool may open another in its place.
    pub fn detach(mut guard: Self) -> SessionOf<D> {
        let Some(session) = guard.session.take() else {
            unreachable!("a guard owns its session until it is dropped")
        };
        let lease = guard.lease;
        guard.shared.with_core(guard.key, |core, now| core.detach(lease, now));
        session
    }

    /// The number of the session, as events name it.
    pub fn id(guard: &Self) -> u64 {
        guard.slot.number()
    }

    /// How old the session is.
    pub fn age(guard: &Self) -> Duration {
        guard.shared.clock.now().saturating_duration_since(guard.born)
    }

    /// How often the session was lent before this lease.
    pub fn uses(guard: &Self) -> u64 {
        guard.uses
    }

    /// Whether two guards are leases of one session.
    pub fn same_session(guard: &Self, other: &Self) -> bool {
        Arc::ptr_eq(&guard.shared, &other.shared)
            && guard.key == other.key
            && guard.slot == other.slot
    }

    pub(crate) fn ticket(guard: &Self) -> u64 {
        guard.ticket
    }

    pub(crate) fn place(guard: &Self) -> &D::Place {
        &guard.place
    }

    pub(crate) fn domain(guard: &Self) -> &Arc<Shared<D>> {
        &guard.shared
    }

    /// Where a reset is needed before the next lease: how long it may take. Until
    /// [`end_reset`](Self::end_reset) the session is as good as broken.
    pub(crate) fn begin_reset(guard: &mut Self) -> Option<Duration> {
        if guard.shared.shares_sessions {
            return None;
        }
        let state = guard.state();
        let needed = state == Returned::NeedsReset;
        let interrupted = Returned::Broken(CloseReason::Interrupted);
        guard.settled = Some(if needed { interrupted } else { state });
        needed.then(|| guard.shared.with_core(guard.key, |core, _| core.config().reset_timeout))?
    }

    /// The reset came to its end, well or not.
    pub(crate) fn end_reset(guard: &mut Self, clean: bool) {
        let failed = Returned::Broken(CloseReason::ResetFailed);
        guard.settled = Some(if clean { Returned::Clean } else { failed });
    }

    #[inline]
    fn state(&mut self) -> Returned {
        if let Some(settled) = self.settled {
            return settled;
        }
        if let Some(reason) = self.broken {
            return Returned::Broken(reason);
        }
        if std::thread::panicking() && !self.born_unwinding {
            return Returned::Broken(CloseReason::Panicked);
        }
        let (backend, Some(session)) = (self.shared.domain.backend(&self.place), &mut self.session)
        else {
            return Returned::Broken(CloseReason::Panicked);
        };
        match quietly(|| {
            (backend.is_broken(session, Moment::Release), backend.needs_reset(session))
        }) {
            Some((false, _)) if *self.refused.get_mut() => Returned::Refused,
            Some((false, false)) => Returned::Clean,
            Some((false, true)) => Returned::NeedsReset,
            Some((true, _)) => Returned::Broken(CloseReason::Broken),
            None => Returned::Broken(CloseReason::Panicked),
        }
    }
}

impl<D: Domain> Drop for Guard<D> {
    #[inline]
    fn drop(&mut self) {
        if self.session.is_none() {
            return;
        }
        let state = self.state();
        let Some(session) = self.session.take() else { return };
        let (lease, key) = (self.lease, self.key);
        let session = self.shared.hand_back(session);
        let left = self
            .shared
            .with_coarse(|books, now| books.machine.release(key, lease, session, state, now));
        if left.is_some() {
            quietly(|| drop(left));
        }
    }
}

/// A use of a session that counts as broken until it is [`done`](Self::done); made by
/// [`Guard::scope`]. It dereferences to the session.
#[must_use = "a session whose use is never done is closed when it comes back"]
pub struct Scope<'a, D: Domain> {
    guard: &'a mut Guard<D>,
    before: Option<CloseReason>,
}

impl<D: Domain> Scope<'_, D> {
    /// The use came to its end: the session may be lent again.
    pub fn done(self) {
        self.guard.broken = self.before;
    }
}

impl<D: Domain> Deref for Scope<'_, D> {
    type Target = SessionOf<D>;

    fn deref(&self) -> &SessionOf<D> {
        self.guard
    }
}

impl<D: Domain> DerefMut for Scope<'_, D> {
    fn deref_mut(&mut self) -> &mut SessionOf<D> {
        self.guard
    }
}

impl<D: Domain> fmt::Debug for Scope<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").finish_non_exhaustive()
    }
}

impl<D: Domain> Deref for Guard<D> {
    type Target = SessionOf<D>;

    fn deref(&self) -> &SessionOf<D> {
        match &self.session {
            Some(session) => session,
            None => unreachable!("a guard owns its session until it is dropped"),
        }
    }
}

impl<D: Domain> DerefMut for Guard<D> {
    fn deref_mut(&mut self) -> &mut SessionOf<D> {
        match &mut self.session {
            Some(session) => session,
            None => unreachable!("a guard owns its session until it is dropped"),
        }
    }
}

impl<D: Domain> fmt::Debug for Guard<D>
where
    SessionOf<D>: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("session", &self.session).finish_non_exhaustive()
    }
}
