//! What the tests of this folder share: a server of shared sessions whose calls hang, fail or panic
//! as told, and ways to wait for other threads.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use pool_core::{
    AsyncBackend, AsyncPool, Backend, Clock, Config, ConfigBuilder, ErrorKind, Guard, Pool,
};
use pool_model::{Executor, FakeAsyncBackend, FakeError, ManualClock};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// A session that several may use at once.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) number: usize,
    facts: Arc<Facts>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.facts.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The server's truth, and what its calls do.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    opened: AtomicUsize,
    closed: AtomicUsize,
    alive: AtomicUsize,
    probes: AtomicUsize,
    pub(crate) connects: Door,
    pub(crate) checks: Door,
    pub(crate) keepalives: Door,
}

impl Facts {
    /// Sessions opened so far.
    pub(crate) fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }

    /// Sessions that went through `close`.
    pub(crate) fn closed(&self) -> usize {
        self.closed.load(Ordering::SeqCst)
    }

    /// Sessions that exist now.
    pub(crate) fn alive(&self) -> usize {
        self.alive.load(Ordering::SeqCst)
    }

    /// How often `is_broken` was asked.
    pub(crate) fn probes(&self) -> usize {
        self.probes.load(Ordering::SeqCst)
    }
}

/// What the calls of one kind do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Does {
    #[default]
    Succeed,
    Fail,
    Hang,
    Panic,
}

/// Decides about the calls of one kind.
#[derive(Debug, Default)]
pub(crate) struct Door {
    state: Mutex<(Does, usize)>,
    changed: Condvar,
}

impl Door {
    pub(crate) fn now(&self, does: Does) {
        self.state.lock().unwrap().0 = does;
        self.changed.notify_all();
    }

    pub(crate) fn calls(&self) -> usize {
        self.state.lock().unwrap().1
    }

    fn enter(&self) -> Does {
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        self.changed.notify_all();
        state.0
    }

    fn pass(&self) -> Result<(), FakeError> {
        let does = self.enter();
        if does == Does::Hang {
            let mut state = self.state.lock().unwrap();
            while state.0 == Does::Hang {
                state = self.changed.wait(state).unwrap();
            }
        }
        does.result()
    }

    async fn pass_async(&self) -> Result<(), FakeError> {
        let does = self.enter();
        if does == Does::Hang {
            std::future::pending::<()>().await;
        }
        // Nothing that asks a peer is done in no time.
        yield_once().await;
        does.result()
    }
}

impl Does {
    fn result(self) -> Result<(), FakeError> {
        match self {
            Self::Panic => panic!("as told"),
            Self::Fail => Err(FakeError(ErrorKind::Transient)),
            Self::Succeed | Self::Hang => Ok(()),
        }
    }
}

/// A backend of shared sessions. Clones share everything.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines {
    pub(crate) facts: Arc<Facts>,
}

impl Lines {
    fn open(&self) -> Arc<Line> {
        self.facts.alive.fetch_add(1, Ordering::SeqCst);
        Arc::new(Line {
            number: self.facts.opened.fetch_add(1, Ordering::SeqCst),
            facts: Arc::clone(&self.facts),
        })
    }

    fn probe(&self) -> bool {
        self.facts.probes.fetch_add(1, Ordering::SeqCst);
        false
    }
}

impl Backend for Lines {
    type Session = Arc<Line>;
    type Error = FakeError;

    fn connect(&self) -> Result<Arc<Line>, FakeError> {
        self.facts.connects.pass()?;
        Ok(self.open())
    }

    fn is_broken(&self, _: &mut Arc<Line>) -> bool {
        self.probe()
    }

    fn check(&self, _: &mut Arc<Line>) -> Result<(), FakeError> {
        self.facts.checks.pass()
    }

    fn keepalive(&self, _: &mut Arc<Line>) -> Result<(), FakeError> {
        self.facts.keepalives.pass()
    }

    fn close(&self, line: Arc<Line>) {
        self.facts.closed.fetch_add(1, Ordering::SeqCst);
        drop(line);
    }

    fn classify(&self, error: &FakeError) -> ErrorKind {
        error.0
    }
}

impl AsyncBackend for Lines {
    type Session = Arc<Line>;
    type Error = FakeError;

    async fn connect(&self) -> Result<Arc<Line>, FakeError> {
        self.facts.connects.pass_async().await?;
        Ok(self.open())
    }

    fn is_broken(&self, _: &mut Arc<Line>) -> bool {
        self.probe()
    }

    async fn check(&self, _: &mut Arc<Line>) -> Result<(), FakeError> {
        self.facts.checks.pass_async().await
    }

    async fn keepalive(&self, _: &mut Arc<Line>) -> Result<(), FakeError> {
        self.facts.keepalives.pass_async().await
    }

    async fn close(&self, line: Arc<Line>) {
        self.facts.closed.fetch_add(1, Ordering::SeqCst);
        drop(line);
    }

    fn classify(&self, error: &FakeError) -> ErrorKind {
        error.0
    }
}

/// Borrowers have an hour, and sessions no end.
pub(crate) fn patient() -> ConfigBuilder {
    Config::builder().acquire_timeout(Some(HOUR)).max_lifetime(None).idle_timeout(None)
}

/// A pool for tasks.
pub(crate) fn pool(
    executor: &Executor,
    backend: &FakeAsyncBackend,
    config: ConfigBuilder,
) -> AsyncPool<FakeAsyncBackend> {
    let config = config.seed(Some(7)).build().unwrap();
    AsyncPool::builder_on(executor.runtime(), backend.clone()).config(config).build()
}

pub(crate) type SharedTasks = AsyncPool<Lines>;
pub(crate) type SharedThreads = Pool<Lines>;

/// A pool for tasks whose sessions carry so many leases.
pub(crate) fn tasks(
    executor: &Executor,
    lines: &Lines,
    leases: usize,
    config: ConfigBuilder,
) -> SharedTasks {
    let config = config.leases_per_session(leases).seed(Some(7)).build().unwrap();
    AsyncPool::builder_on(executor.runtime(), lines.clone()).config(config).shared().build()
}

/// A pool for threads whose sessions carry so many leases.
pub(crate) fn threads(
    clock: &Arc<ManualClock>,
    lines: &Lines,
    leases: usize,
    config: ConfigBuilder,
) -> SharedThreads {
    let config = config.leases_per_session(leases).seed(Some(7)).build().unwrap();
    Pool::builder(lines.clone()).config(config).clock(clock.clone()).shared().build()
}

/// The peer refuses this borrower.
pub(crate) fn refuse(lease: &mut pool_core::AsyncPooled<Lines>) {
    Guard::refused(lease);
}

/// How many leases a session is believed to carry.
pub(crate) fn limit(pool: &SharedTasks) -> usize {
    pool.leases_per_session()
}

/// Polls a future once.
pub(crate) fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Lets other tasks run once.
pub(crate) async fn yield_once() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The longest that anything may hang before a test says so: far beyond what it takes.
const WATCHDOG: Duration = Duration::from_secs(20);

/// Runs what might hang on a thread of its own; `None` where it does.
pub(crate) fn within_watchdog<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || drop(send.send(work())));
    receive.recv_timeout(WATCHDOG).ok()
}

/// Waits for what other threads are about to do.
#[track_caller]
pub(crate) fn until(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < WATCHDOG, "what is waited for does not happen");
        thread::yield_now();
    }
}

/// Lets virtual time pass, in steps of half a second, until `work` has an answer; with how long
/// that took. Other threads get a little real time for each step.
pub(crate) fn while_time_passes<T: Send + 'static>(
    clock: &Arc<ManualClock>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<(T, Duration)> {
    let start = clock.now();
    let (send, receive) = mpsc::channel();
    thread::spawn(move || drop(send.send(work())));
    for _ in 0..2000 {
        match receive.recv_timeout(Duration::from_millis(5)) {
            Ok(answer) => return Some((answer, clock.now() - start)),
            Err(_) => clock.advance(SECOND / 2),
        }
    }
    None
}
