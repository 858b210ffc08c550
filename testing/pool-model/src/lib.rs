//! A backend that opens nothing and counts everything: for tests of the pool alone.
//!
//! Every operation goes through a [`Gate`] of its kind, which decides call by call whether it
//! succeeds, fails, panics or waits until the test lets it go on.
#![forbid(unsafe_code)]

mod audit;
mod clock;
mod executor;
mod gate;
mod spy;
#[macro_use]
pub mod script;
pub mod keyed_script;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use pool_core::{AsyncBackend, Backend, ErrorKind};

pub use self::audit::audit;
pub use self::clock::ManualClock;
pub use self::executor::{Executor, draw};
pub use self::gate::{Behaviour, Gate};
pub use self::spy::{Call, CallbackSpy, SpyBackend, SpySession};

/// What a fake operation reports when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FakeError(pub ErrorKind);

impl std::fmt::Display for FakeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "fake {:?} error", self.0)
    }
}

impl std::error::Error for FakeError {}

/// The server's truth: what really happened, whatever the pool believes.
#[derive(Debug, Default)]
pub struct SessionCounters {
    created: AtomicU64,
    closed: AtomicU64,
    dropped: AtomicU64,
    alive: AtomicI64,
    most_alive: AtomicI64,
}

impl SessionCounters {
    /// Sessions opened so far.
    pub fn created(&self) -> u64 {
        self.created.load(Ordering::SeqCst)
    }

    /// Sessions that went through `close`.
    pub fn closed(&self) -> u64 {
        self.closed.load(Ordering::SeqCst)
    }

    /// Sessions that exist now.
    pub fn alive(&self) -> i64 {
        self.alive.load(Ordering::SeqCst)
    }

    /// The most sessions that ever existed at once.
    pub fn most_alive(&self) -> i64 {
        self.most_alive.load(Ordering::SeqCst)
    }
}

/// A session that knows whether it is alive and notices when two owners use it.
#[derive(Debug)]
pub struct FakeSession {
    /// Unique within its backend, in order of birth from 0.
    pub id: u64,
    truth: Arc<SessionCounters>,
    broken: Arc<AtomicBool>,
    dirty: bool,
    used: AtomicBool,
}

impl FakeSession {
    fn new(truth: &Arc<SessionCounters>) -> Self {
        let id = truth.created.fetch_add(1, Ordering::SeqCst);
        let alive = truth.alive.fetch_add(1, Ordering::SeqCst) + 1;
        truth.most_alive.fetch_max(alive, Ordering::SeqCst);
        Self {
            id,
            truth: Arc::clone(truth),
            broken: Arc::default(),
            dirty: false,
            used: AtomicBool::new(false),
        }
    }

    /// Uses the session; panics where somebody else does so at the same time.
    pub fn use_it<R>(&self, work: impl FnOnce() -> R) -> R {
        assert!(!self.used.swap(true, Ordering::SeqCst), "session {} has two owners", self.id);
        let result = work();
        self.used.store(false, Ordering::SeqCst);
        result
    }

    /// Kills the session, as a peer would; works from anywhere.
    pub fn killer(&self) -> impl Fn() + Send + Sync + 'static + use<> {
        let broken = Arc::clone(&self.broken);
        move || broken.store(true, Ordering::SeqCst)
    }

    /// Leaves something behind that a reset removes.
    pub fn mark_dirty(&mut self) {
        self.dirty = true;
    }
}

impl Drop for FakeSession {
    fn drop(&mut self) {
        self.truth.alive.fetch_sub(1, Ordering::SeqCst);
        self.truth.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

/// The backend. Clones share everything.
#[derive(Debug, Clone, Default)]
pub struct FakeBackend {
    /// What really happened.
    pub truth: Arc<SessionCounters>,
    /// Decides about each `connect`.
    pub connects: Gate,
    /// Decides about each `check`.
    pub checks: Gate,
    /// Decides about each `keepalive`.
    pub keepalives: Gate,
    /// Decides about each `reset`.
    pub resets: Gate,
    /// Decides about each `close`; an error counts as success.
    pub closes: Gate,
    /// Decides about each `is_broken`; an error is `true`.
    pub probes: Gate,
}

impl FakeBackend {
    /// A backend where all succeeds at once.
    pub fn new() -> Self {
        Self::default()
    }

    fn ask(&self, gate: &Gate, session: &FakeSession) -> Result<(), FakeError> {
        session.use_it(|| gate.pass())?;
        match session.broken.load(Ordering::SeqCst) {
            true => Err(FakeError(ErrorKind::Transient)),
            false => Ok(()),
        }
    }
}

impl Backend for FakeBackend {
    type Session = FakeSession;
    type Error = FakeError;

    fn connect(&self) -> Result<FakeSession, FakeError> {
        self.connects.pass()?;
        Ok(FakeSession::new(&self.truth))
    }

    fn is_broken(&self, session: &mut FakeSession) -> bool {
        session.use_it(|| self.probes.pass()).is_err() || session.broken.load(Ordering::SeqCst)
    }

    fn check(&self, session: &mut FakeSession) -> Result<(), FakeError> {
        self.ask(&self.checks, session)
    }

    fn keepalive(&self, session: &mut FakeSession) -> Result<(), FakeError> {
        self.ask(&self.keepalives, session)
    }

    fn needs_reset(&self, session: &mut FakeSession) -> bool {
        session.dirty
    }

    fn reset(&self, session: &mut FakeSession) -> Result<(), FakeError> {
        self.ask(&self.resets, session)?;
        session.dirty = false;
        Ok(())
    }

    fn close(&self, session: FakeSession) {
        let _ = self.closes.pass();
        self.truth.closed.fetch_add(1, Ordering::SeqCst);
        drop(session);
    }

    fn classify(&self, error: &FakeError) -> ErrorKind {
        error.0
    }
}

/// The same backend for async pools. Its operations share the gates and the truth.
#[derive(Debug, Clone, Default)]
pub struct FakeAsyncBackend(pub FakeBackend);

impl FakeAsyncBackend {
    async fn ask(&self, gate: &Gate, session: &FakeSession) -> Result<(), FakeError> {
        let _in_use = InUse::begin(session);
        gate.pass_async().await?;
        match session.broken.load(Ordering::SeqCst) {
            true => Err(FakeError(ErrorKind::Transient)),
            false => Ok(()),
        }
    }
}

/// As [`FakeSession::use_it`], across awaits.
struct InUse<'a>(&'a FakeSession);

impl<'a> InUse<'a> {
    fn begin(session: &'a FakeSession) -> Self {
        let used = session.used.swap(true, Ordering::SeqCst);
        assert!(!used, "session {} has two owners", session.id);
        Self(session)
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.0.used.store(false, Ordering::SeqCst);
    }
}

impl AsyncBackend for FakeAsyncBackend {
    type Session = FakeSession;
    type Error = FakeError;

    async fn connect(&self) -> Result<FakeSession, FakeError> {
        self.0.connects.pass_async().await?;
        Ok(FakeSession::new(&self.0.truth))
    }

    fn is_broken(&self, session: &mut FakeSession) -> bool {
        Backend::is_broken(&self.0, session)
    }

    async fn check(&self, session: &mut FakeSession) -> Result<(), FakeError> {
        self.ask(&self.0.checks, session).await
    }

    async fn keepalive(&self, session: &mut FakeSession) -> Result<(), FakeError> {
        self.ask(&self.0.keepalives, session).await
    }

    fn needs_reset(&self, session: &mut FakeSession) -> bool {
        session.dirty
    }

    async fn reset(&self, session: &mut FakeSession) -> Result<(), FakeError> {
        self.ask(&self.0.resets, session).await?;
        session.dirty = false;
        Ok(())
    }

    async fn close(&self, session: FakeSession) {
        let _ = self.0.closes.pass_async().await;
        self.0.truth.closed.fetch_add(1, Ordering::SeqCst);
        drop(session);
    }

    fn classify(&self, error: &FakeError) -> ErrorKind {
        error.0
    }
}
