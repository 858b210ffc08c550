//! Backends chosen at run time.
//!
//! [`Backend`] is object-safe once its session and error types are named, and an `Arc` of a backend
//! is one, so `Pool<Arc<dyn Backend<Session = S, Error = E>>>` is a pool of whatever backend the
//! program chose. [`DynAsyncBackend`] is the same for tasks, at the price of one box per operation
//! that waits; a borrow that finds an idle session costs none.

use std::sync::Arc;

use async_trait::async_trait;

use crate::backend::{Backend, ErrorKind, Moment};
use crate::interrupt::{Interrupt, KillSwitch};
use crate::tasks::AsyncBackend;

impl<B: Backend + ?Sized> Backend for Arc<B> {
    type Session = B::Session;
    type Error = B::Error;

    fn connect(&self) -> Result<B::Session, B::Error> {
        (**self).connect()
    }

    fn connect_interruptible(&self, interrupt: &Interrupt) -> Result<B::Session, B::Error> {
        (**self).connect_interruptible(interrupt)
    }

    fn kill_switch(&self, session: &mut B::Session) -> Option<KillSwitch> {
        (**self).kill_switch(session)
    }

    fn is_broken(&self, session: &mut B::Session) -> bool {
        (**self).is_broken(session)
    }

    fn is_broken_at(&self, session: &mut B::Session, moment: Moment) -> bool {
        (**self).is_broken_at(session, moment)
    }

    fn check(&self, session: &mut B::Session) -> Result<(), B::Error> {
        (**self).check(session)
    }

    fn keepalive(&self, session: &mut B::Session) -> Result<(), B::Error> {
        (**self).keepalive(session)
    }

    fn needs_reset(&self, session: &mut B::Session) -> bool {
        (**self).needs_reset(session)
    }

    fn reset(&self, session: &mut B::Session) -> Result<(), B::Error> {
        (**self).reset(session)
    }

    fn close(&self, session: B::Session) {
        (**self).close(session);
    }

    fn classify(&self, error: &B::Error) -> ErrorKind {
        (**self).classify(error)
    }
}

/// The object-safe twin of [`AsyncBackend`], implemented for every one of them. An
/// `Arc<dyn DynAsyncBackend<S, E>>` is itself an [`AsyncBackend`].
#[async_trait]
pub trait DynAsyncBackend<S, E>: Send + Sync + 'static {
    /// See [`AsyncBackend::connect`].
    async fn connect(&self) -> Result<S, E>;
    /// See [`AsyncBackend::is_broken`].
    fn is_broken(&self, session: &mut S) -> bool;
    /// See [`AsyncBackend::is_broken_at`].
    fn is_broken_at(&self, session: &mut S, moment: Moment) -> bool;
    /// See [`AsyncBackend::check`].
    async fn check(&self, session: &mut S) -> Result<(), E>;
    /// See [`AsyncBackend::keepalive`].
    async fn keepalive(&self, session: &mut S) -> Result<(), E>;
    /// See [`AsyncBackend::needs_reset`].
    fn needs_reset(&self, session: &mut S) -> bool;
    /// See [`AsyncBackend::reset`].
    async fn reset(&self, session: &mut S) -> Result<(), E>;
    /// See [`AsyncBackend::close`].
    async fn close(&self, session: S);
    /// See [`AsyncBackend::classify`].
    fn classify(&self, error: &E) -> ErrorKind;
}

#[async_trait]
impl<B: AsyncBackend> DynAsyncBackend<B::Session, B::Error> for B {
    async fn connect(&self) -> Result<B::Session, B::Error> {
        AsyncBackend::connect(self).await
    }

    fn is_broken(&self, session: &mut B::Session) -> bool {
        AsyncBackend::is_broken(self, session)
    }

    fn is_broken_at(&self, session: &mut B::Session, moment: Moment) -> bool {
        AsyncBackend::is_broken_at(self, session, moment)
    }

    async fn check(&self, session: &mut B::Session) -> Result<(), B::Error> {
        AsyncBackend::check(self, session).await
    }

    async fn keepalive(&self, session: &mut B::Session) -> Result<(), B::Error> {
        AsyncBackend::keepalive(self, session).await
    }

    fn needs_reset(&self, session: &mut B::Session) -> bool {
        AsyncBackend::needs_reset(self, session)
    }

    async fn reset(&self, session: &mut B::Session) -> Result<(), B::Error> {
        AsyncBackend::reset(self, session).await
    }

    async fn close(&self, session: B::Session) {
        AsyncBackend::close(self, session).await;
    }

    fn classify(&self, error: &B::Error) -> ErrorKind {
        AsyncBackend::classify(self, error)
    }
}

impl<S, E> AsyncBackend for Arc<dyn DynAsyncBackend<S, E>>
where
    S: Send + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    type Session = S;
    type Error = E;

    async fn connect(&self) -> Result<S, E> {
        (**self).connect().await
    }

    fn is_broken(&self, session: &mut S) -> bool {
        (**self).is_broken(session)
    }

    fn is_broken_at(&self, session: &mut S, moment: Moment) -> bool {
        (**self).is_broken_at(session, moment)
    }

    async fn check(&self, session: &mut S) -> Result<(), E> {
        (**self).check(session).await
    }

    async fn keepalive(&self, session: &mut S) -> Result<(), E> {
        (**self).keepalive(session).await
    }

    fn needs_reset(&self, session: &mut S) -> bool {
        (**self).needs_reset(session)
    }

    async fn reset(&self, session: &mut S) -> Result<(), E> {
        (**self).reset(session).await
    }

    async fn close(&self, session: S) {
        (**self).close(session).await;
    }

    fn classify(&self, error: &E) -> ErrorKind {
        (**self).classify(error)
    }
}
