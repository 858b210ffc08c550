//! Several leases of one session at once.
//!
//! Where a session carries several independent streams (an SSH connection its channels, an HTTP/2
//! connection its requests), a pool of whole sessions opens more of them than are needed.
//! [`Multiplexed`] is a decorator: the pool lends [`Share`]s, and several of them are one session
//! underneath. All that a pool promises holds for shares.
//!
//! How many shares a session really carries is the peer's decision. A borrower that is refused
//! says so with [`Share::refused`]; from then on fewer shares of each session are lent.
//!
//! A check or reset of one share is one of its session, on which others may be at work: the backend
//! must not disturb them. Where it fails, the session takes no more shares, and is closed when the
//! last one has come back.

mod books;
mod pools;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use self::books::{Books, Member};
use crate::backend::{Backend, ErrorKind};
use crate::tasks::AsyncBackend;

/// A decorator that lends several [`Share`]s of each session of `B`, whose sessions are
/// `Arc<S>`. Made by [`pool`](Self::pool) or [`async_pool`](Self::async_pool).
pub struct Multiplexed<B, S> {
    inner: B,
    books: Arc<Books<S>>,
}

/// A lease of a session that others use at the same time. It dereferences to the session.
pub struct Share<S> {
    session: Arc<S>,
    member: Arc<Member>,
    books: Arc<Books<S>>,
    /// A borrower has it now.
    lent: bool,
    left: bool,
}

/// Why no share could be had.
#[derive(Debug, thiserror::Error)]
pub enum MultiplexError<E> {
    /// The session underneath could not be opened.
    #[error(transparent)]
    Connect(E),
    /// All sessions carry as many shares as they can; one has to come back first.
    #[error("all {sessions} sessions carry {leases} leases each, which is all they can")]
    Full {
        /// How many sessions are open.
        sessions: usize,
        /// How many leases each carries.
        leases: usize,
    },
}

impl<S> Share<S> {
    /// Says that the peer refused this borrower its stream: this share is closed when it comes
    /// back (the session is not), and from now on no session carries as many shares as this one
    /// does now.
    pub fn refused(&self) {
        self.books.refused(&self.member);
    }

    /// How many shares a session carries at most, as far as is known.
    pub fn limit(&self) -> usize {
        self.books.limit()
    }
}

impl<B, S> Multiplexed<B, S> {
    /// How many shares a session carries at most, as far as is known.
    pub fn limit(&self) -> usize {
        self.books.limit()
    }

    /// Sets the most sessions open underneath at once; see [`Pool::resize`](crate::Pool::resize).
    pub fn resize(&self, max_sessions: usize) {
        self.books.resize(max_sessions);
    }

    /// Sessions open underneath.
    pub fn sessions(&self) -> usize {
        self.books.sessions()
    }

    fn attach(&self) -> Option<Share<S>> {
        let (session, member) = self.books.attach()?;
        Some(self.share(session, member))
    }

    fn admit<E>(&self, session: Arc<S>) -> Result<Share<S>, (Arc<S>, MultiplexError<E>)> {
        match self.books.admit(Arc::clone(&session)) {
            Some(member) => Ok(self.share(session, member)),
            None => Err((session, self.full())),
        }
    }

    fn share(&self, session: Arc<S>, member: Arc<Member>) -> Share<S> {
        Share { session, member, books: Arc::clone(&self.books), lent: false, left: false }
    }

    fn full<E>(&self) -> MultiplexError<E> {
        MultiplexError::Full { sessions: self.books.sessions(), leases: self.books.limit() }
    }
}

impl<B, S> Backend for Multiplexed<B, S>
where
    B: Backend<Session = Arc<S>>,
    S: Send + Sync + 'static,
{
    type Session = Share<S>;
    type Error = MultiplexError<B::Error>;

    fn connect(&self) -> Result<Share<S>, Self::Error> {
        if let Some(share) = self.attach() {
            return Ok(share);
        }
        if !self.books.has_room() {
            return Err(self.full());
        }
        let session = self.inner.connect().map_err(MultiplexError::Connect)?;
        self.admit(session).map_err(|(session, error)| {
            self.inner.close(session);
            error
        })
    }

    fn is_broken(&self, share: &mut Share<S>) -> bool {
        share.turn(|session| self.inner.is_broken(session))
    }

    fn check(&self, share: &mut Share<S>) -> Result<(), Self::Error> {
        let checked = self.inner.check(&mut share.session);
        share.note(checked)
    }

    fn keepalive(&self, share: &mut Share<S>) -> Result<(), Self::Error> {
        let checked = self.inner.keepalive(&mut share.session);
        share.note(checked)
    }

    fn needs_reset(&self, share: &mut Share<S>) -> bool {
        self.inner.needs_reset(&mut share.session)
    }

    fn reset(&self, share: &mut Share<S>) -> Result<(), Self::Error> {
        let reset = self.inner.reset(&mut share.session);
        share.note(reset)
    }

    fn close(&self, share: Share<S>) {
        if let Some(session) = share.leave() {
            self.inner.close(session);
        }
    }

    fn classify(&self, error: &Self::Error) -> ErrorKind {
        match error {
            MultiplexError::Connect(error) => self.inner.classify(error),
            MultiplexError::Full { .. } => ErrorKind::Busy,
        }
    }
}

impl<B, S> AsyncBackend for Multiplexed<B, S>
where
    B: AsyncBackend<Session = Arc<S>>,
    S: Send + Sync + 'static,
{
    type Session = Share<S>;
    type Error = MultiplexError<B::Error>;

    async fn connect(&self) -> Result<Share<S>, Self::Error> {
        if let Some(share) = self.attach() {
            return Ok(share);
        }
        if !self.books.has_room() {
            return Err(self.full());
        }
        let session = self.inner.connect().await.map_err(MultiplexError::Connect)?;
        match self.admit(session) {
            Ok(share) => Ok(share),
            Err((session, error)) => {
                self.inner.close(session).await;
                Err(error)
            }
        }
    }

    fn is_broken(&self, share: &mut Share<S>) -> bool {
        share.turn(|session| self.inner.is_broken(session))
    }

    async fn check(&self, share: &mut Share<S>) -> Result<(), Self::Error> {
        let checked = self.inner.check(&mut share.session).await;
        share.note(checked)
    }

    async fn keepalive(&self, share: &mut Share<S>) -> Result<(), Self::Error> {
        let checked = self.inner.keepalive(&mut share.session).await;
        share.note(checked)
    }

    fn needs_reset(&self, share: &mut Share<S>) -> bool {
        self.inner.needs_reset(&mut share.session)
    }

    async fn reset(&self, share: &mut Share<S>) -> Result<(), Self::Error> {
        let reset = self.inner.reset(&mut share.session).await;
        share.note(reset)
    }

    async fn close(&self, share: Share<S>) {
        if let Some(session) = share.leave() {
            self.inner.close(session).await;
        }
    }

    fn classify(&self, error: &Self::Error) -> ErrorKind {
        match error {
            MultiplexError::Connect(error) => self.inner.classify(error),
            MultiplexError::Full { .. } => ErrorKind::Busy,
        }
    }
}

impl<S> Share<S> {
    /// The pool asks about a session when it lends it and when it comes back, so every other
    /// answer starts a loan. A session that broke takes no more shares, and all its shares are
    /// broken.
    fn turn(&mut self, is_broken: impl FnOnce(&mut Arc<S>) -> bool) -> bool {
        if is_broken(&mut self.session) {
            self.member.mark_broken();
        }
        self.lent = !self.lent;
        self.books.count_loan(&self.member, self.lent);
        self.member.is_broken() || self.books.is_surplus(&self.member)
    }

    fn note<E>(&self, checked: Result<(), E>) -> Result<(), MultiplexError<E>> {
        if checked.is_err() {
            self.member.mark_broken();
        }
        checked.map_err(MultiplexError::Connect)
    }

    /// Ends this share; the session comes back where it was the last.
    fn leave(mut self) -> Option<Arc<S>> {
        self.left = true;
        self.books.leave(&self.member, self.lent)
    }
}

impl<S> Deref for Share<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.session
    }
}

impl<S> Drop for Share<S> {
    fn drop(&mut self) {
        // A share that was detached or lost in a panic leaves too; what it may leave behind is
        // dropped with it.
        if !self.left {
            drop(self.books.leave(&self.member, self.lent));
        }
    }
}

impl<S> fmt::Debug for Share<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share").finish_non_exhaustive()
    }
}

impl<B, S> fmt::Debug for Multiplexed<B, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Multiplexed").field("sessions", &self.sessions()).finish_non_exhaustive()
    }
}
