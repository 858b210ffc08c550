//! What a front drives: one core, or one for each key.
//!
//! Acquiring, giving back, workers and drivers are written once, over a [`Domain`].

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Instant;

use crate::backend::Moment;
use crate::core::{Core, Lease, LeaseId, Notice, Returned, Task};
use crate::event::{Event, Observer};

/// What both kinds of backend can tell about a session without waiting.
#[doc(hidden)]
pub trait LocalChecks: Send + Sync + 'static {
    /// What is pooled.
    type Session: Send + 'static;
    /// Why a connect failed.
    type Error: std::error::Error + Send + Sync + 'static;

    /// See [`Backend::is_broken_at`](crate::Backend::is_broken_at).
    fn is_broken(&self, session: &mut Self::Session, moment: Moment) -> bool;
    /// See [`Backend::needs_reset`](crate::Backend::needs_reset).
    fn needs_reset(&self, session: &mut Self::Session) -> bool;
}

pub(crate) type SessionOf<D> = <<D as Domain>::Backend as LocalChecks>::Session;
pub(crate) type ErrorOf<D> = <<D as Domain>::Backend as LocalChecks>::Error;
pub(crate) type CoreOf<D> = Core<SessionOf<D>, Arc<ErrorOf<D>>>;

/// What the pool of one kind consists of: a backend, or one for each key.
#[doc(hidden)]
pub trait Domain: Send + Sync + Sized + 'static {
    /// How sessions are opened, checked and closed.
    type Backend: LocalChecks;
    /// Names one core.
    type Key: Copy + Eq + std::hash::Hash + Send + Sync + fmt::Debug + 'static;
    /// Keeps the backend of one core at hand.
    type Place: Clone + Send + Sync + 'static;
    /// The books.
    type Machine: Machine<
            Key = Self::Key,
            Session = <Self::Backend as LocalChecks>::Session,
            Error = Arc<<Self::Backend as LocalChecks>::Error>,
        >;
    /// Where the books keep the places of their cores.
    type Places: Send + Default + 'static;

    /// A small number that no other core has at the same time.
    fn index(key: Self::Key) -> usize;
    /// The backend of a place.
    fn backend<'a>(&'a self, place: &'a Self::Place) -> &'a Self::Backend;
    /// The place of a core, unless it is forgotten.
    fn place(places: &Self::Places, key: Self::Key) -> Option<Self::Place>;
    /// A core has been forgotten: its place comes back, to be dropped.
    fn forget(&self, places: &mut Self::Places, key: Self::Key) -> Option<Self::Place>;
    /// Outside all locks: a core's place is gone from the books.
    fn forgotten(&self, key: Self::Key, place: Self::Place);
    /// Whether anybody is told what happens.
    fn is_observed(&self) -> bool;
    /// Tells the observer. Outside all locks.
    fn observe(&self, place: &Self::Place, event: &Event);
}

/// The books of a pool, be it one core or one for each key; see [`core`](crate::core) for what
/// the methods mean.
#[doc(hidden)]
#[allow(missing_docs)]
pub trait Machine: Send + 'static {
    type Key;
    type Session;
    type Error;

    /// Uses one core; `None` where it is forgotten.
    fn with_core<R>(
        &mut self,
        key: Self::Key,
        now: Instant,
        input: impl FnOnce(&mut Core<Self::Session, Self::Error>) -> R,
    ) -> Option<R>;
    /// As [`Core::acquire_ready`] and [`Core::release`], which happen more often than all else.
    fn acquire_ready(
        &mut self,
        key: Self::Key,
        site: &'static Location<'static>,
        now: Instant,
    ) -> Result<Lease<Self::Session>, NotReady>;
    fn release(
        &mut self,
        key: Self::Key,
        lease: LeaseId,
        session: Option<Self::Session>,
        state: Returned,
        now: Instant,
    ) -> Option<Self::Session>;
    /// Reads one core, which is no use of it; `None` where it is forgotten.
    fn look<R>(
        &mut self,
        key: Self::Key,
        read: impl FnOnce(&Core<Self::Session, Self::Error>) -> R,
    ) -> Option<R>;
    fn handle_timeout(&mut self, now: Instant);
    fn poll_timeout(&self) -> Option<Instant>;
    fn has_task(&self, now: Instant) -> bool;
    fn poll_task(&mut self, now: Instant) -> Option<(Self::Key, Task<Self::Session>)>;
    fn has_notice(&self) -> bool;
    fn poll_notice(&mut self) -> Option<(Self::Key, Said)>;
    fn close(&mut self, now: Instant);
    fn is_drained(&self) -> bool;
    /// Whether sessions are open or borrowers wait.
    fn is_busy(&self) -> bool;
    /// A hint: whether whoever comes to this core now has to wait.
    fn is_crowded(&mut self) -> bool;
}

/// Why nothing was acquired at once.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotReady {
    /// Nothing is ready.
    Busy,
    /// The core is forgotten.
    Forgotten,
}

/// A notice of a core, or of those who count for several.
#[doc(hidden)]
#[derive(Debug)]
pub enum Said {
    /// By a core.
    Core(Notice),
    /// The core is forgotten.
    Forgotten,
}

/// A pool of one backend.
#[doc(hidden)]
#[allow(missing_debug_implementations)]
pub struct Single<P> {
    pub(crate) backend: P,
    pub(crate) observer: Option<Arc<dyn Observer>>,
}

impl<P: LocalChecks> Domain for Single<P> {
    type Backend = P;
    type Key = ();
    type Place = ();
    type Machine = Core<P::Session, Arc<P::Error>>;
    type Places = ();

    #[inline]
    fn index((): ()) -> usize {
        0
    }

    #[inline]
    fn backend<'a>(&'a self, (): &'a ()) -> &'a P {
        &self.backend
    }

    fn place((): &(), (): ()) -> Option<()> {
        Some(())
    }

    fn forget(&self, (): &mut (), (): ()) -> Option<()> {
        None
    }

    fn forgotten(&self, (): (), (): ()) {}

    #[inline]
    fn is_observed(&self) -> bool {
        self.observer.is_some()
    }

    fn observe(&self, (): &(), event: &Event) {
        if let Some(observer) = &self.observer {
            observer.on_event(event);
        }
    }
}

impl<S: Send + 'static, E: Clone + Send + 'static> Machine for Core<S, E> {
    type Key = ();
    type Session = S;
    type Error = E;

    #[inline]
    fn with_core<R>(
        &mut self,
        (): (),
        _now: Instant,
        input: impl FnOnce(&mut Self) -> R,
    ) -> Option<R> {
        Some(input(self))
    }

    #[inline]
    fn acquire_ready(
        &mut self,
        (): (),
        site: &'static Location<'static>,
        now: Instant,
    ) -> Result<Lease<S>, NotReady> {
        Core::acquire_ready(self, site, now).ok_or(NotReady::Busy)
    }

    #[inline]
    fn release(
        &mut self,
        (): (),
        lease: LeaseId,
        session: Option<S>,
        state: Returned,
        now: Instant,
    ) -> Option<S> {
        Core::release(self, lease, session, state, now)
    }

    fn look<R>(&mut self, (): (), read: impl FnOnce(&Self) -> R) -> Option<R> {
        Some(read(self))
    }

    fn handle_timeout(&mut self, now: Instant) {
        Core::handle_timeout(self, now);
    }

    #[inline]
    fn poll_timeout(&self) -> Option<Instant> {
        Core::poll_timeout(self)
    }

    #[inline]
    fn has_task(&self, now: Instant) -> bool {
        Core::has_task(self, now)
    }

    fn poll_task(&mut self, now: Instant) -> Option<((), Task<S>)> {
        Core::poll_task(self, now).map(|task| ((), task))
    }

    #[inline]
    fn has_notice(&self) -> bool {
        Core::has_notice(self)
    }

    fn poll_notice(&mut self) -> Option<((), Said)> {
        Core::poll_notice(self).map(|notice| ((), Said::Core(notice)))
    }

    fn close(&mut self, now: Instant) {
        Core::close(self, now);
    }

    #[inline]
    fn is_drained(&self) -> bool {
        Core::is_drained(self)
    }

    fn is_busy(&self) -> bool {
        let stats = self.stats();
        stats.open() + stats.waiting + stats.orphans > 0
    }

    #[inline]
    fn is_crowded(&mut self) -> bool {
        Core::is_crowded(self)
    }
}
