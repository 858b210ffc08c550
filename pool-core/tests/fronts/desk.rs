//! A backend whose every operation waits at a desk until the script lets it go, so that all
//! fronts do one thing at a time in the order of the script.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use pool_core::{AsyncBackend, Backend, ErrorKind};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Close,
    Reset,
    Check,
    Keepalive,
    Connect,
}

/// What waits: the kind, the key, and the number of the key's session or connect.
pub(crate) type Ticket = (Kind, u8, u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Ok,
    Transient,
    Permanent,
}

#[derive(Debug, thiserror::Error)]
#[error("{0:?}")]
pub(crate) struct Failed(Verdict);

impl Verdict {
    pub(crate) fn result(self) -> Result<(), Failed> {
        if self == Self::Ok { Ok(()) } else { Err(Failed(self)) }
    }

    pub(crate) fn kind(self) -> ErrorKind {
        if self == Self::Permanent { ErrorKind::Permanent } else { ErrorKind::Transient }
    }
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) key: u8,
    pub(crate) id: u64,
    pub(crate) dirty: AtomicBool,
    pub(crate) broken: AtomicBool,
}

impl Session {
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::SeqCst)
    }
}

#[derive(Debug, Default)]
struct Waiting {
    queue: BTreeMap<Ticket, (Option<Verdict>, Option<Waker>)>,
}

/// The most keys of a script.
pub(crate) const KEYS: usize = 4;

/// The most sessions over all keys, until a script says otherwise.
pub(crate) const TOTAL: usize = 3;

#[derive(Debug, Default)]
struct Numbers {
    connects: AtomicU64,
    sessions: AtomicU64,
}

/// Clones are the same desk, each as the backend of one key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Desk {
    inner: Arc<(Mutex<Waiting>, Condvar)>,
    pub(crate) key: u8,
    /// Connects and sessions so far, by key: two keys may connect at once.
    numbers: Arc<[Numbers; KEYS]>,
}

impl Desk {
    pub(crate) fn of(&self, key: u8) -> Self {
        Self { key, ..self.clone() }
    }

    /// What waits for a verdict.
    pub(crate) fn waiting(&self) -> Vec<Ticket> {
        let state = self.state();
        state.queue.iter().filter(|(_, (done, _))| done.is_none()).map(|(t, _)| *t).collect()
    }

    pub(crate) fn finish(&self, ticket: Ticket, verdict: Verdict) {
        let waker = self.state().queue.get_mut(&ticket).and_then(|(done, waker)| {
            *done = Some(verdict);
            waker.take()
        });
        self.inner.1.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The session that a connect brings.
    pub(crate) fn session(&self) -> Arc<Session> {
        let id = self.numbers().sessions.fetch_add(1, Ordering::SeqCst);
        Arc::new(Session {
            key: self.key,
            id,
            dirty: AtomicBool::default(),
            broken: AtomicBool::default(),
        })
    }

    pub(crate) fn next_connect(&self) -> u64 {
        self.numbers().connects.fetch_add(1, Ordering::SeqCst)
    }

    fn numbers(&self) -> &Numbers {
        &self.numbers[usize::from(self.key)]
    }

    fn pass(&self, ticket: Ticket) -> Result<(), Failed> {
        let mut state = self.state();
        state.queue.insert(ticket, (None, None));
        loop {
            if let Some((Some(verdict), _)) = state.queue.get(&ticket) {
                let verdict = *verdict;
                state.queue.remove(&ticket);
                return verdict.result();
            }
            state = self.inner.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    async fn pass_async(&self, ticket: Ticket) -> Result<(), Failed> {
        self.state().queue.insert(ticket, (None, None));
        let verdict = poll_fn(|cx| match self.state().queue.get_mut(&ticket) {
            Some((None, waker)) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Some((Some(verdict), _)) => Poll::Ready(*verdict),
            None => unreachable!("only we take it out"),
        });
        let _leaves = Leaves(self, ticket);
        verdict.await.result()
    }

    fn state(&self) -> MutexGuard<'_, Waiting> {
        self.inner.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes what waits from the desk, also where it is dropped.
struct Leaves<'a>(&'a Desk, Ticket);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.state().queue.remove(&self.1);
    }
}

impl Backend for Desk {
    type Session = Arc<Session>;
    type Error = Failed;

    fn connect(&self) -> Result<Arc<Session>, Failed> {
        self.pass((Kind::Connect, self.key, self.next_connect()))?;
        Ok(self.session())
    }

    fn is_broken(&self, session: &mut Arc<Session>) -> bool {
        session.is_broken()
    }

    fn check(&self, session: &mut Arc<Session>) -> Result<(), Failed> {
        self.pass((Kind::Check, session.key, session.id))
    }

    fn keepalive(&self, session: &mut Arc<Session>) -> Result<(), Failed> {
        self.pass((Kind::Keepalive, session.key, session.id))
    }

    fn needs_reset(&self, session: &mut Arc<Session>) -> bool {
        session.dirty.load(Ordering::SeqCst)
    }

    fn reset(&self, session: &mut Arc<Session>) -> Result<(), Failed> {
        self.pass((Kind::Reset, session.key, session.id))?;
        session.dirty.store(false, Ordering::SeqCst);
        Ok(())
    }

    fn close(&self, session: Arc<Session>) {
        let _ = self.pass((Kind::Close, session.key, session.id));
    }

    fn classify(&self, error: &Failed) -> ErrorKind {
        error.0.kind()
    }
}

/// The same for tasks.
#[derive(Debug, Clone, Default)]
pub(crate) struct AsyncDesk(pub(crate) Desk);

impl AsyncBackend for AsyncDesk {
    type Session = Arc<Session>;
    type Error = Failed;

    async fn connect(&self) -> Result<Arc<Session>, Failed> {
        self.0.pass_async((Kind::Connect, self.0.key, self.0.next_connect())).await?;
        Ok(self.0.session())
    }

    fn is_broken(&self, session: &mut Arc<Session>) -> bool {
        session.is_broken()
    }

    async fn check(&self, session: &mut Arc<Session>) -> Result<(), Failed> {
        self.0.pass_async((Kind::Check, session.key, session.id)).await
    }

    async fn keepalive(&self, session: &mut Arc<Session>) -> Result<(), Failed> {
        self.0.pass_async((Kind::Keepalive, session.key, session.id)).await
    }

    fn needs_reset(&self, session: &mut Arc<Session>) -> bool {
        session.dirty.load(Ordering::SeqCst)
    }

    async fn reset(&self, session: &mut Arc<Session>) -> Result<(), Failed> {
        self.0.pass_async((Kind::Reset, session.key, session.id)).await?;
        session.dirty.store(false, Ordering::SeqCst);
        Ok(())
    }

    async fn close(&self, session: Arc<Session>) {
        let _ = self.0.pass_async((Kind::Close, session.key, session.id)).await;
    }

    fn classify(&self, error: &Failed) -> ErrorKind {
        error.0.kind()
    }
}
