//! What can be pooled by an async pool.

use std::error::Error as StdError;
use std::future::{Future, ready};

use crate::backend::{ErrorKind, Moment};
use crate::domain::LocalChecks;

/// Opens, checks and closes the sessions of an [`AsyncPool`](crate::AsyncPool).
///
/// The async twin of [`Backend`](crate::Backend): each method means what it means there. Those
/// that may wait return futures that are `Send`; implement them as plain `async fn`. Each runs in
/// a task of its own and is dropped at the matching timeout of the [`Config`](crate::Config); a
/// session whose operation was dropped is closed.
pub trait AsyncBackend: Send + Sync + 'static {
    /// What is pooled. It is owned by the pool or by one guard, never by both.
    type Session: Send + 'static;
    /// Why an operation failed.
    type Error: StdError + Send + Sync + 'static;

    /// Opens a session, ready for use.
    fn connect(&self) -> impl Future<Output = Result<Self::Session, Self::Error>> + Send;

    /// Whether the session is known to be unusable. Never waits.
    fn is_broken(&self, session: &mut Self::Session) -> bool;

    /// See [`Backend::is_broken_at`](crate::Backend::is_broken_at).
    #[allow(unused_variables)]
    fn is_broken_at(&self, session: &mut Self::Session, moment: Moment) -> bool {
        self.is_broken(session)
    }

    /// Asks the peer for a sign of life: one round trip.
    fn check(
        &self,
        session: &mut Self::Session,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Keeps an idle session open. By default the same as [`check`](Self::check).
    fn keepalive(
        &self,
        session: &mut Self::Session,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        self.check(session)
    }

    /// Whether a returned session must be [`reset`](Self::reset) first. Never waits. By default
    /// no.
    #[allow(unused_variables)]
    fn needs_reset(&self, session: &mut Self::Session) -> bool {
        false
    }

    /// Removes what a borrower left behind.
    #[allow(unused_variables)]
    fn reset(
        &self,
        session: &mut Self::Session,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        ready(Ok(()))
    }

    /// Ends a session. By default drops it.
    fn close(&self, session: Self::Session) -> impl Future<Output = ()> + Send {
        drop(session);
        ready(())
    }

    /// What a failed [`connect`](Self::connect) means for those who wait. By default
    /// [`ErrorKind::Transient`].
    #[allow(unused_variables)]
    fn classify(&self, error: &Self::Error) -> ErrorKind {
        ErrorKind::Transient
    }
}

/// An [`AsyncBackend`] as the async pool sees it.
#[doc(hidden)]
#[allow(missing_debug_implementations)]
pub struct AsyncAdapter<B>(pub(crate) B);

impl<B: AsyncBackend> LocalChecks for AsyncAdapter<B> {
    type Session = B::Session;
    type Error = B::Error;

    #[inline]
    fn is_broken(&self, session: &mut B::Session, moment: Moment) -> bool {
        self.0.is_broken_at(session, moment)
    }

    #[inline]
    fn needs_reset(&self, session: &mut B::Session) -> bool {
        self.0.needs_reset(session)
    }
}
