//! Callbacks that look at the pool from wherever it calls them, and panic when told to.

use std::future::{Future, poll_fn};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Poll, Wake, Waker};

use pool_core::{AsyncBackend, Backend, ErrorKind, Event, Observer};

use super::{FakeAsyncBackend, FakeBackend, FakeError, FakeSession};

/// The places where a pool runs somebody else's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Call {
    Connect,
    Classify,
    IsBroken,
    Check,
    Keepalive,
    NeedsReset,
    Reset,
    Close,
    Observer,
    Predicate,
    SessionDrop,
    Wake,
    WakerDrop,
}

impl Call {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Connect,
        Self::Classify,
        Self::IsBroken,
        Self::Check,
        Self::Keepalive,
        Self::NeedsReset,
        Self::Reset,
        Self::Close,
        Self::Observer,
        Self::Predicate,
        Self::SessionDrop,
        Self::Wake,
        Self::WakerDrop,
    ];
}

/// Counts the calls of each kind, looks at the pool in each, and panics in one. Clones are the
/// same.
#[derive(Debug, Clone, Default)]
pub struct CallbackSpy {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    calls: [AtomicU64; Call::ALL.len()],
    /// Panics in that call, the first being 1.
    fuse: Mutex<Option<(Call, u64)>>,
    look: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl CallbackSpy {
    /// What every call does from now on; set once.
    pub fn look_with(&self, look: impl Fn() + Send + Sync + 'static) {
        assert!(self.inner.look.set(Box::new(look)).is_ok(), "set once");
    }

    /// Panics in that call of that kind, the first being 1.
    pub fn panic_in(&self, call: Call, number: u64) {
        *self.fuse() = Some((call, number));
    }

    /// Panics no more.
    pub fn disarm(&self) {
        *self.fuse() = None;
    }

    /// Calls of that kind so far.
    pub fn calls(&self, call: Call) -> u64 {
        self.inner.calls[call as usize].load(Ordering::SeqCst)
    }

    /// A call of that kind happens.
    pub fn note(&self, call: Call) {
        let number = self.inner.calls[call as usize].fetch_add(1, Ordering::SeqCst) + 1;
        if let Some(look) = self.inner.look.get() {
            look();
        }
        let now = *self.fuse() == Some((call, number));
        // A second panic in one thread would end the process.
        if now && !std::thread::panicking() {
            panic!("{call:?} number {number} panics as told");
        }
    }

    /// A waker that looks at the pool when it wakes and when it is dropped.
    pub fn waker(&self, inner: Waker) -> Waker {
        Waker::from(Arc::new(NosyWaker { spy: self.clone(), inner }))
    }

    fn fuse(&self) -> std::sync::MutexGuard<'_, Option<(Call, u64)>> {
        self.inner.fuse.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallbackSpy").field("calls", &self.calls).finish_non_exhaustive()
    }
}

impl Observer for CallbackSpy {
    fn on_event(&self, _event: &Event) {
        self.note(Call::Observer);
    }
}

struct NosyWaker {
    spy: CallbackSpy,
    inner: Waker,
}

impl Wake for NosyWaker {
    fn wake(self: Arc<Self>) {
        self.inner.wake_by_ref();
        self.spy.note(Call::Wake);
    }
}

impl Drop for NosyWaker {
    fn drop(&mut self) {
        self.spy.note(Call::WakerDrop);
    }
}

/// A [`FakeSession`] that is as spy as its backend.
#[derive(Debug)]
pub struct SpySession {
    fake: FakeSession,
    spy: CallbackSpy,
}

impl Deref for SpySession {
    type Target = FakeSession;

    fn deref(&self) -> &FakeSession {
        &self.fake
    }
}

impl DerefMut for SpySession {
    fn deref_mut(&mut self) -> &mut FakeSession {
        &mut self.fake
    }
}

impl Drop for SpySession {
    fn drop(&mut self) {
        self.spy.note(Call::SessionDrop);
    }
}

/// A [`FakeBackend`] whose every method is spy, for both kinds of pool. A method that may wait
/// counts as three calls in an async pool: when it is called, at the first poll and at a later one.
#[derive(Debug, Clone, Default)]
pub struct SpyBackend {
    /// Does the work.
    pub fake: FakeBackend,
    /// Watches.
    pub spy: CallbackSpy,
}

impl SpyBackend {
    fn session(&self, fake: FakeSession) -> SpySession {
        SpySession { fake, spy: self.spy.clone() }
    }

    fn twice(&self, call: Call) -> impl Future<Output = ()> + Send {
        let spy = self.spy.clone();
        let mut polled = false;
        poll_fn(move |cx| {
            spy.note(call);
            if std::mem::replace(&mut polled, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }
}

impl Backend for SpyBackend {
    type Session = SpySession;
    type Error = FakeError;

    fn connect(&self) -> Result<SpySession, FakeError> {
        self.spy.note(Call::Connect);
        Backend::connect(&self.fake).map(|fake| self.session(fake))
    }

    fn is_broken(&self, session: &mut SpySession) -> bool {
        self.spy.note(Call::IsBroken);
        Backend::is_broken(&self.fake, session)
    }

    fn check(&self, session: &mut SpySession) -> Result<(), FakeError> {
        self.spy.note(Call::Check);
        Backend::check(&self.fake, session)
    }

    fn keepalive(&self, session: &mut SpySession) -> Result<(), FakeError> {
        self.spy.note(Call::Keepalive);
        Backend::keepalive(&self.fake, session)
    }

    fn needs_reset(&self, session: &mut SpySession) -> bool {
        self.spy.note(Call::NeedsReset);
        Backend::needs_reset(&self.fake, session)
    }

    fn reset(&self, session: &mut SpySession) -> Result<(), FakeError> {
        self.spy.note(Call::Reset);
        Backend::reset(&self.fake, session)
    }

    fn close(&self, session: SpySession) {
        self.spy.note(Call::Close);
        let _ = self.fake.closes.pass();
        drop(session);
    }

    fn classify(&self, error: &FakeError) -> ErrorKind {
        self.spy.note(Call::Classify);
        error.0
    }
}

impl AsyncBackend for SpyBackend {
    type Session = SpySession;
    type Error = FakeError;

    fn connect(&self) -> impl Future<Output = Result<SpySession, FakeError>> + Send {
        self.spy.note(Call::Connect);
        async {
            self.twice(Call::Connect).await;
            let fake = AsyncBackend::connect(&FakeAsyncBackend(self.fake.clone())).await?;
            Ok(self.session(fake))
        }
    }

    fn is_broken(&self, session: &mut SpySession) -> bool {
        Backend::is_broken(self, session)
    }

    fn check(
        &self,
        session: &mut SpySession,
    ) -> impl Future<Output = Result<(), FakeError>> + Send {
        self.spy.note(Call::Check);
        async {
            self.twice(Call::Check).await;
            AsyncBackend::check(&FakeAsyncBackend(self.fake.clone()), session).await
        }
    }

    fn keepalive(
        &self,
        session: &mut SpySession,
    ) -> impl Future<Output = Result<(), FakeError>> + Send {
        self.spy.note(Call::Keepalive);
        async {
            self.twice(Call::Keepalive).await;
            AsyncBackend::keepalive(&FakeAsyncBackend(self.fake.clone()), session).await
        }
    }

    fn needs_reset(&self, session: &mut SpySession) -> bool {
        Backend::needs_reset(self, session)
    }

    fn reset(
        &self,
        session: &mut SpySession,
    ) -> impl Future<Output = Result<(), FakeError>> + Send {
        self.spy.note(Call::Reset);
        async {
            self.twice(Call::Reset).await;
            AsyncBackend::reset(&FakeAsyncBackend(self.fake.clone()), session).await
        }
    }

    fn close(&self, session: SpySession) -> impl Future<Output = ()> + Send {
        self.spy.note(Call::Close);
        async {
            let session = session;
            self.twice(Call::Close).await;
            let _ = self.fake.closes.pass_async().await;
            drop(session);
        }
    }

    fn classify(&self, error: &FakeError) -> ErrorKind {
        Backend::classify(self, error)
    }
}
