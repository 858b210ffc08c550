//! F4: every public future, polled any number of times and dropped, in every state of the pool.
//!
//! After each the server's truth and the books agree (I2, I3, I5), nobody is left in the queue
//! (I14), and every session can be lent.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use pool_core::{AsyncPool, AsyncPooled, Config, ErrorKind};
use pool_model::{Behaviour, Executor, FakeAsyncBackend, FakeBackend, audit};

const SECOND: Duration = Duration::from_secs(1);
const SIZE: usize = 2;

type Pool = AsyncPool<FakeAsyncBackend>;
type Held = Vec<AsyncPooled<FakeAsyncBackend>>;
type Swept = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Empty,
    Idle,
    IdleBroken,
    Lent,
    LentAndQueued,
    StaleGood,
    StaleBad,
    StaleHanging,
    ConnectFailsOnce,
    ConnectRefused,
    ConnectHangs,
    ConnectPanics,
    Resetting,
    Shrunk,
    ShrunkToNothing,
    Evicted,
    ClosingHangs,
    Closed,
}

const STATES: [State; 18] = [
    State::Empty,
    State::Idle,
    State::IdleBroken,
    State::Lent,
    State::LentAndQueued,
    State::StaleGood,
    State::StaleBad,
    State::StaleHanging,
    State::ConnectFailsOnce,
    State::ConnectRefused,
    State::ConnectHangs,
    State::ConnectPanics,
    State::Resetting,
    State::Shrunk,
    State::ShrunkToNothing,
    State::Evicted,
    State::ClosingHangs,
    State::Closed,
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Subject {
    Get,
    GetTimeout,
    ReleaseClean,
    ReleaseDirty,
    ReleaseDirtyHanging,
    ReleaseDirtyFailing,
    Close,
    CloseTimeout,
}

const SUBJECTS: [Subject; 8] = [
    Subject::Get,
    Subject::GetTimeout,
    Subject::ReleaseClean,
    Subject::ReleaseDirty,
    Subject::ReleaseDirtyHanging,
    Subject::ReleaseDirtyFailing,
    Subject::Close,
    Subject::CloseTimeout,
];

/// What goes on between two polls.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Pace {
    /// Nothing.
    Still,
    /// One task is polled once.
    Step,
    /// All run until they wait.
    Run,
    /// And a second passes.
    Second,
}

const PACES: [Pace; 4] = [Pace::Still, Pace::Step, Pace::Run, Pace::Second];

struct Case {
    executor: Executor,
    backend: FakeBackend,
    pool: Pool,
    held: Held,
}

impl Case {
    fn new() -> Self {
        let executor = Executor::new();
        let backend = FakeBackend::new();
        let config = Config::builder().max_size(SIZE).seed(Some(7)).build().unwrap();
        let async_backend = FakeAsyncBackend(backend.clone());
        let pool = AsyncPool::builder_on(executor.runtime(), async_backend).config(config).build();
        Self { executor, backend, pool, held: Vec::new() }
    }

    fn borrow(&mut self, count: usize) {
        for _ in 0..count {
            self.held.push(self.executor.block_on(self.pool.get()).unwrap());
        }
    }

    fn idle(&mut self, count: usize) {
        self.borrow(count);
        self.held.clear();
        self.executor.run();
    }

    fn enter(&mut self, state: State) {
        let transient = ErrorKind::Transient;
        match state {
            State::Empty => {}
            State::Idle => self.idle(SIZE),
            State::IdleBroken => {
                self.borrow(SIZE);
                let killers: Vec<_> = self.held.iter().map(|session| session.killer()).collect();
                self.held.clear();
                killers.into_iter().for_each(|kill| kill());
            }
            State::Lent => self.borrow(SIZE),
            State::LentAndQueued => {
                self.borrow(SIZE);
                let pool = self.pool.clone();
                self.executor.start(async move { drop(pool.get().await) });
                self.executor.run();
            }
            State::StaleGood | State::StaleBad | State::StaleHanging => {
                self.idle(SIZE);
                self.executor.advance(2 * SECOND);
                match state {
                    State::StaleBad => self.backend.checks.always(Behaviour::Err(transient)),
                    State::StaleHanging => self.backend.checks.always(Behaviour::Block),
                    _ => {}
                }
            }
            State::ConnectFailsOnce => self.backend.connects.next(Behaviour::Err(transient)),
            State::ConnectRefused => {
                self.backend.connects.always(Behaviour::Err(ErrorKind::Permanent));
            }
            State::ConnectHangs => self.backend.connects.always(Behaviour::Block),
            State::ConnectPanics => self.backend.connects.always(Behaviour::Panic),
            State::Resetting => {
                self.borrow(1);
                self.backend.resets.next(Behaviour::Block);
                self.held[0].mark_dirty();
                self.held.clear();
            }
            State::Shrunk | State::ShrunkToNothing => {
                self.borrow(SIZE);
                self.pool.resize(usize::from(state == State::Shrunk));
            }
            State::Evicted => {
                self.borrow(SIZE);
                self.held.pop();
                self.pool.evict_all();
            }
            State::ClosingHangs => {
                self.borrow(SIZE);
                self.backend.closes.always(Behaviour::Block);
                self.pool.evict_all();
                self.held.clear();
            }
            State::Closed => {
                self.borrow(1);
                let pool = self.pool.clone();
                self.executor.start(async move { drop(pool.close().await) });
                self.executor.run();
            }
        }
    }

    /// `None` where the state leaves nothing to do this with.
    fn subject(&mut self, subject: Subject) -> Option<Swept> {
        let pool = self.pool.clone();
        let release = |case: &mut Self, dirty: bool, behaviour: Behaviour| -> Option<Swept> {
            let mut guard = case.held.pop()?;
            if dirty {
                guard.mark_dirty();
                case.backend.resets.next(behaviour);
            }
            let pool = case.pool.clone();
            Some(Box::pin(async move { pool.release(guard).await }))
        };
        match subject {
            Subject::Get => Some(Box::pin(async move { drop(pool.get().await) })),
            Subject::GetTimeout => Some(Box::pin(async move {
                drop(pool.get_timeout(3 * SECOND).await);
            })),
            Subject::ReleaseClean => release(self, false, Behaviour::Ok),
            Subject::ReleaseDirty => release(self, true, Behaviour::Ok),
            Subject::ReleaseDirtyHanging => release(self, true, Behaviour::Block),
            Subject::ReleaseDirtyFailing => {
                release(self, true, Behaviour::Err(ErrorKind::Transient))
            }
            Subject::Close => Some(Box::pin(async move { drop(pool.close().await) })),
            Subject::CloseTimeout => {
                Some(Box::pin(async move { drop(pool.close_timeout(3 * SECOND).await) }))
            }
        }
    }

    fn pace(&self, pace: Pace) {
        match pace {
            Pace::Still => {}
            Pace::Step => drop(self.executor.step()),
            Pace::Run => self.executor.run(),
            Pace::Second => self.executor.advance(SECOND),
        }
    }

    /// The backend recovers, everybody returns what they hold; then all must be as if nothing
    /// had happened.
    fn verify(mut self, context: &str) {
        let closed = self.pool.stats().closed;
        let backend = &self.backend;
        for gate in [&backend.connects, &backend.checks, &backend.resets, &backend.closes] {
            gate.always(Behaviour::Ok);
            gate.open(gate.blocked());
        }
        self.held.clear();
        self.pool.resize(SIZE);
        self.executor.advance(120 * SECOND);
        let stats = self.pool.stats();
        audit(&stats, &self.backend.truth, &context);
        let busy = (stats.waiting, stats.lent, stats.reserved, stats.checking, stats.closing);
        assert_eq!(busy, (0, 0, 0, 0, 0), "{context}");
        if !closed {
            self.borrow(SIZE);
            assert!(self.pool.try_get().is_none(), "{context}");
            self.held.clear();
        }
        self.executor.block_on(self.pool.close()).expect(context);
        self.executor.run();
        audit(&self.pool.stats(), &self.backend.truth, &context);
        assert_eq!(self.backend.truth.alive(), 0, "{context}");
        assert!(self.backend.truth.most_alive() <= SIZE as i64, "{context}");
        assert_eq!(self.executor.alive(), 0, "{context}: the driver has ended");
    }
}

/// Whether the subject had ended before so many polls, so that more make no difference.
fn sweep(state: State, subject: Subject, pace: Pace, polls: usize) -> bool {
    let mut case = Case::new();
    case.enter(state);
    let Some(mut future) = case.subject(subject) else { return true };
    let mut ended = false;
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..polls {
        if future.as_mut().poll(&mut cx).is_ready() {
            ended = true;
            break;
        }
        case.pace(pace);
    }
    drop(future);
    case.verify(&format!("{subject:?} in {state:?}, {polls} polls, {pace:?}"));
    ended
}

#[test]
fn f4_every_future_dropped_after_any_number_of_polls_leaves_nothing() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let told = info.payload().downcast_ref::<&str>().is_some_and(|text| text.contains("told"));
        if !told {
            hook(info);
        }
    }));
    let mut cases = 0;
    for state in STATES {
        for subject in SUBJECTS {
            for pace in PACES {
                for polls in 0..24 {
                    cases += 1;
                    if sweep(state, subject, pace, polls) {
                        break;
                    }
                }
            }
        }
    }
    assert!(cases > 1000, "{cases} cases");
}
