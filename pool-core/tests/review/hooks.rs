//! `Hooked`: what a hook is told, and that nothing of the backend inside is lost.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use pool_core::{
    AcquireError, AsyncBackend, AsyncHooks, AsyncPool, Backend, ErrorKind, Hooked, Hooks,
    Interrupt, KillSwitch, Moment, Pool,
};
use pool_model::{Behaviour, Executor, FakeAsyncBackend, FakeBackend, FakeError, FakeSession};

use crate::rig::{SECOND, patient, until};

/// Writes down what it is told, and says no when told to. Clones are the same.
#[derive(Clone, Default)]
struct Diary {
    told: Arc<Mutex<Vec<(&'static str, u64)>>>,
    unfit_to_begin: Arc<AtomicBool>,
    unfit_to_lend: Arc<AtomicBool>,
    unfit_to_keep: Arc<AtomicBool>,
}

impl Diary {
    fn note(&self, hook: &'static str, session: &FakeSession) {
        self.told.lock().unwrap().push((hook, session.id));
    }

    fn take(&self) -> Vec<(&'static str, u64)> {
        std::mem::take(&mut self.told.lock().unwrap())
    }

    fn verdict(&self, unfit: &AtomicBool) -> ControlFlow<()> {
        match unfit.swap(false, Ordering::SeqCst) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn begin(&self, session: &FakeSession) -> Result<(), FakeError> {
        self.note("after_connect", session);
        match self.unfit_to_begin.swap(false, Ordering::SeqCst) {
            true => Err(FakeError(ErrorKind::Permanent)),
            false => Ok(()),
        }
    }
}

impl Hooks<FakeBackend> for Diary {
    fn after_connect(&self, _: &FakeBackend, session: &mut FakeSession) -> Result<(), FakeError> {
        self.begin(session)
    }

    fn before_acquire(&self, _: &FakeBackend, session: &mut FakeSession) -> ControlFlow<()> {
        self.note("before_acquire", session);
        self.verdict(&self.unfit_to_lend)
    }

    fn after_release(&self, _: &FakeBackend, session: &mut FakeSession) -> ControlFlow<()> {
        self.note("after_release", session);
        self.verdict(&self.unfit_to_keep)
    }

    fn before_close(&self, _: &FakeBackend, session: &mut FakeSession) {
        self.note("before_close", session);
    }
}

impl AsyncHooks<FakeAsyncBackend> for Diary {
    async fn after_connect(
        &self,
        _: &FakeAsyncBackend,
        session: &mut FakeSession,
    ) -> Result<(), FakeError> {
        self.begin(session)
    }

    fn before_acquire(&self, _: &FakeAsyncBackend, session: &mut FakeSession) -> ControlFlow<()> {
        self.note("before_acquire", session);
        self.verdict(&self.unfit_to_lend)
    }

    fn after_release(&self, _: &FakeAsyncBackend, session: &mut FakeSession) -> ControlFlow<()> {
        self.note("after_release", session);
        self.verdict(&self.unfit_to_keep)
    }

    async fn before_close(&self, _: &FakeAsyncBackend, session: &mut FakeSession) {
        self.note("before_close", session);
    }
}

#[test]
fn hooks_are_told_of_every_turn_in_order_on_threads() {
    let (backend, diary) = (FakeBackend::new(), Diary::default());
    let hooked = Hooked::new(backend.clone(), diary.clone());
    let pool = Pool::new(hooked, patient().build().unwrap());
    drop(pool.get().unwrap());
    drop(pool.get().unwrap());
    pool.close().unwrap();
    let use_of = |id| [("before_acquire", id), ("after_release", id)];
    let mut expected = vec![("after_connect", 0)];
    expected.extend(use_of(0));
    expected.extend(use_of(0));
    expected.push(("before_close", 0));
    assert_eq!(diary.take(), expected);
    assert_eq!(backend.truth.closed(), 1);
}

#[test]
fn what_a_hook_finds_unfit_is_closed_on_threads() {
    let (backend, diary) = (FakeBackend::new(), Diary::default());
    let hooked = Hooked::new(backend.clone(), diary.clone());
    let pool = Pool::new(hooked, patient().build().unwrap());
    drop(pool.get().unwrap());
    diary.unfit_to_lend.store(true, Ordering::SeqCst);
    let lease = pool.get().unwrap();
    assert_eq!(lease.id, 1, "before it is lent");
    diary.unfit_to_keep.store(true, Ordering::SeqCst);
    drop(lease);
    assert_eq!(pool.get().unwrap().id, 2, "after it came back");
    until(|| backend.truth.closed() == 2);
    diary.unfit_to_begin.store(true, Ordering::SeqCst);
    pool.evict_all();
    assert!(matches!(pool.get(), Err(AcquireError::Connect(_))), "classified by the backend");
    until(|| backend.truth.closed() == 4);
}

#[test]
fn hooks_are_told_of_every_turn_and_listened_to_on_tasks() {
    let (executor, diary) = (Executor::new(), Diary::default());
    let backend = FakeAsyncBackend::default();
    let hooked = Hooked::new(backend.clone(), diary.clone());
    let config = patient().build().unwrap();
    let pool = AsyncPool::builder_on(executor.runtime(), hooked).config(config).build();
    drop(executor.block_on(pool.get()).unwrap());
    diary.unfit_to_lend.store(true, Ordering::SeqCst);
    drop(executor.block_on(pool.get()).unwrap());
    executor.run();
    let expected = [
        ("after_connect", 0),
        ("before_acquire", 0),
        ("after_release", 0),
        ("before_acquire", 0),
        ("after_connect", 1),
        ("before_close", 0),
        ("before_acquire", 1),
        ("after_release", 1),
    ];
    let mut told = diary.take();
    told.sort_by_key(|&(_, id)| id);
    let mut sorted = expected;
    sorted.sort_by_key(|&(_, id)| id);
    assert_eq!(told, sorted);
    diary.unfit_to_begin.store(true, Ordering::SeqCst);
    pool.evict_all();
    assert!(matches!(executor.block_on(pool.get()), Err(AcquireError::Connect(_))));
    executor.run();
    assert_eq!(backend.0.truth.alive(), 0);
}

/// No hooks at all.
struct None_;

impl<B: Backend> Hooks<B> for None_ {}

impl<B: AsyncBackend> AsyncHooks<B> for None_ {}

/// Counts the calls of every method of a backend.
#[derive(Clone, Default)]
struct Every(Arc<[AtomicUsize; 11]>);

impl Every {
    fn call(&self, method: usize) {
        self.0[method].fetch_add(1, Ordering::SeqCst);
    }

    fn calls(&self) -> Vec<usize> {
        self.0.iter().map(|calls| calls.load(Ordering::SeqCst)).collect()
    }
}

impl Backend for Every {
    type Session = ();
    type Error = FakeError;

    fn connect(&self) -> Result<(), FakeError> {
        self.call(0);
        Ok(())
    }

    fn connect_interruptible(&self, _: &Interrupt) -> Result<(), FakeError> {
        self.call(1);
        Ok(())
    }

    fn kill_switch(&self, (): &mut ()) -> Option<KillSwitch> {
        self.call(2);
        None
    }

    fn is_broken(&self, (): &mut ()) -> bool {
        self.call(3);
        false
    }

    fn is_broken_at(&self, (): &mut (), _: Moment) -> bool {
        self.call(4);
        false
    }

    fn check(&self, (): &mut ()) -> Result<(), FakeError> {
        self.call(5);
        Ok(())
    }

    fn keepalive(&self, (): &mut ()) -> Result<(), FakeError> {
        self.call(6);
        Ok(())
    }

    fn needs_reset(&self, (): &mut ()) -> bool {
        self.call(7);
        true
    }

    fn reset(&self, (): &mut ()) -> Result<(), FakeError> {
        self.call(8);
        Ok(())
    }

    fn close(&self, (): ()) {
        self.call(9);
    }

    fn classify(&self, _: &FakeError) -> ErrorKind {
        self.call(10);
        ErrorKind::Busy
    }
}

fn call_all(backend: &impl Backend<Session = (), Error = FakeError>) {
    backend.connect().unwrap();
    backend.is_broken(&mut ());
    backend.is_broken_at(&mut (), Moment::Acquire);
    backend.check(&mut ()).unwrap();
    backend.keepalive(&mut ()).unwrap();
    assert!(backend.needs_reset(&mut ()));
    backend.reset(&mut ()).unwrap();
    backend.close(());
    assert!(backend.kill_switch(&mut ()).is_none());
    assert_eq!(backend.classify(&FakeError(ErrorKind::Transient)), ErrorKind::Busy);
}

#[test]
fn no_method_of_the_backend_inside_is_lost() {
    let every = Every::default();
    call_all(&Hooked::new(every.clone(), None_));
    assert_eq!(every.calls(), [1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    let every = Every::default();
    call_all(&Arc::new(every.clone()));
    assert_eq!(every.calls(), [1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    // As a pool calls it.
    let every = Every::default();
    let pool = Pool::new(Hooked::new(every.clone(), None_), patient().build().unwrap());
    drop(pool.get().unwrap());
    pool.close().unwrap();
    let calls = every.calls();
    assert_eq!((calls[0], calls[1], calls[4], calls[7], calls[9]), (0, 1, 2, 1, 1), "{calls:?}");
}

#[test]
fn keepalives_resets_and_kinds_of_errors_of_the_backend_inside_work_as_ever() {
    let (executor, backend) = (Executor::new(), FakeAsyncBackend::default());
    let config = patient().keepalive_interval(Some(30 * SECOND)).jitter(0.0).build().unwrap();
    let hooked = Hooked::new(backend.clone(), None_);
    let pool = AsyncPool::builder_on(executor.runtime(), hooked).config(config).build();
    let mut lease = executor.block_on(pool.get()).unwrap();
    lease.mark_dirty();
    drop(lease);
    executor.advance(31 * SECOND);
    assert_eq!((backend.0.resets.calls(), backend.0.keepalives.calls()), (1, 1));
    pool.evict_all();
    backend.0.connects.always(Behaviour::Err(ErrorKind::Permanent));
    assert!(matches!(executor.block_on(pool.get()), Err(AcquireError::Connect(_))));
    executor.run();
    assert_eq!(backend.0.truth.closed(), 1);
}
