//! Every operation that may wait × every way it can end × many tasks that are aborted at random,
//! in virtual time: nothing leaks, limits hold, everybody gets an outcome.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use pool_core::{AsyncBackend, AsyncPool, Config, ErrorKind, Runtime};
use pool_model::{Executor, FakeAsyncBackend, FakeBackend, FakeError, FakeSession, audit, draw};

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const SIZE: usize = 3;
const MAINTAINING: usize = 2;
const TASKS: u64 = 12;
const ROUNDS: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Gate {
    Ok,
    Err,
    Slow,
    Never,
}

const GATES: [Gate; 4] = [Gate::Ok, Gate::Err, Gate::Slow, Gate::Never];

#[derive(Debug, Clone, Copy)]
struct Gates {
    connect: Gate,
    check: Gate,
    reset: Gate,
    close: Gate,
}

impl Gates {
    fn all() -> impl Iterator<Item = Self> {
        (0..256).map(|code| {
            let [connect, check, reset, close] = [0, 2, 4, 6].map(|bit| GATES[code >> bit & 3]);
            Self { connect, check, reset, close }
        })
    }
}

struct Gated {
    fake: FakeAsyncBackend,
    gates: Gates,
    /// All is well from now on.
    recovered: Arc<AtomicBool>,
    runtime: Arc<dyn Runtime>,
}

impl Gated {
    async fn pass(&self, gate: Gate) -> Result<(), FakeError> {
        match gate {
            _ if self.recovered.load(Ordering::SeqCst) => {}
            Gate::Ok => {}
            Gate::Err => return Err(FakeError(ErrorKind::Transient)),
            Gate::Slow => self.runtime.sleep_until(self.runtime.now() + 15 * MILLI).await,
            Gate::Never => pending().await,
        }
        Ok(())
    }
}

impl AsyncBackend for Gated {
    type Session = FakeSession;
    type Error = FakeError;

    async fn connect(&self) -> Result<FakeSession, FakeError> {
        self.pass(self.gates.connect).await?;
        self.fake.connect().await
    }

    fn is_broken(&self, session: &mut FakeSession) -> bool {
        self.fake.is_broken(session)
    }

    async fn check(&self, session: &mut FakeSession) -> Result<(), FakeError> {
        self.pass(self.gates.check).await?;
        self.fake.check(session).await
    }

    fn needs_reset(&self, session: &mut FakeSession) -> bool {
        self.fake.needs_reset(session)
    }

    async fn reset(&self, session: &mut FakeSession) -> Result<(), FakeError> {
        self.pass(self.gates.reset).await?;
        self.fake.reset(session).await
    }

    async fn close(&self, session: FakeSession) {
        let _ = self.pass(self.gates.close).await;
        self.fake.close(session).await;
    }
}

fn config() -> Config {
    Config::builder()
        .max_size(SIZE)
        .max_maintaining(MAINTAINING)
        .acquire_timeout(Some(500 * MILLI))
        .connect_timeout(60 * MILLI)
        .check_timeout(40 * MILLI)
        .reset_timeout(40 * MILLI)
        .close_timeout(40 * MILLI)
        .check_after_idle(5 * MILLI)
        .max_lifetime(Some(300 * MILLI))
        .keepalive_interval(Some(50 * MILLI))
        .backoff_base(2 * MILLI)
        .backoff_max(20 * MILLI)
        .seed(Some(3))
        .build()
        .unwrap()
}

/// A future, given up at that time if it is still under way.
async fn abort<F: Future>(runtime: &dyn Runtime, after: Duration, future: F) -> Option<F::Output> {
    let mut sleep = runtime.sleep_until(runtime.now() + after);
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => sleep.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// Borrows and returns in all the ways there are, and may be aborted anywhere.
async fn borrower(pool: AsyncPool<Gated>, runtime: Arc<dyn Runtime>, mut seed: u64) {
    for _ in 0..ROUNDS {
        let patience = draw(&mut seed, 200) as u32 * MILLI;
        let got = abort(&*runtime, patience, pool.get()).await;
        let Some(Ok(mut session)) = got else { continue };
        session.use_it(|| ());
        runtime.sleep_until(runtime.now() + draw(&mut seed, 20) as u32 * MILLI).await;
        let dice = draw(&mut seed, 8);
        if dice & 1 == 0 {
            session.mark_dirty();
        }
        match dice >> 1 {
            0 => session.killer()(),
            1 => {
                let patience = draw(&mut seed, 30) as u32 * MILLI;
                abort(&*runtime, patience, pool.release(session)).await;
                continue;
            }
            _ => {}
        }
        drop(session);
        runtime.sleep_until(runtime.now() + draw(&mut seed, 40) as u32 * MILLI).await;
    }
}

struct Storm {
    backend: FakeBackend,
    pool: AsyncPool<Gated>,
    recovered: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    gates: Gates,
}

impl Storm {
    fn begin(runtime: &Arc<dyn Runtime>, gates: Gates, seed: u64) -> Self {
        let (backend, recovered) = (FakeBackend::new(), Arc::new(AtomicBool::new(false)));
        let gated = Gated {
            fake: FakeAsyncBackend(backend.clone()),
            gates,
            recovered: Arc::clone(&recovered),
            runtime: Arc::clone(runtime),
        };
        let builder = AsyncPool::builder_on(Arc::clone(runtime), gated);
        let pool = builder.config(config()).build();
        let done = Arc::new(AtomicU64::new(0));
        for task in 0..TASKS {
            let (pool, runtime, done) = (pool.clone(), Arc::clone(runtime), Arc::clone(&done));
            let mut dice = seed << 32 | task;
            let (aborted, life) = (draw(&mut dice, 3) == 0, draw(&mut dice, 400) as u32 * MILLI);
            let outer = Arc::clone(&runtime);
            let spawned = outer.spawn(Box::pin(async move {
                let borrowing = borrower(pool, Arc::clone(&runtime), dice);
                if aborted {
                    abort(&*runtime, life, borrowing).await;
                } else {
                    borrowing.await;
                }
                done.fetch_add(1, Ordering::SeqCst);
            }));
            assert!(spawned);
        }
        Self { backend, pool, recovered, done, gates }
    }

    fn verify_storm(&self, context: &dyn std::fmt::Debug) {
        assert_eq!(self.done.load(Ordering::SeqCst), TASKS, "all got an outcome: {context:?}");
        let stats = self.pool.stats();
        assert_eq!((stats.waiting, stats.lent, stats.reserved), (0, 0, 0), "{context:?} {stats:?}");
        // A session whose close never ends may outlive its slot by the time it takes to drop it.
        let given_up = if self.gates.close == Gate::Never { MAINTAINING } else { 0 };
        let most = self.backend.truth.most_alive();
        assert!(most <= (SIZE + given_up) as i64, "{most} alive at once: {context:?}");
        self.recovered.store(true, Ordering::SeqCst);
    }

    async fn recover(&self, context: &dyn std::fmt::Debug) {
        let mut all = Vec::new();
        for _ in 0..SIZE {
            all.push(self.pool.get().await.unwrap_or_else(|error| panic!("{error}: {context:?}")));
        }
        assert!(self.pool.try_get().is_none(), "{context:?}");
        drop(all);
        let closed = self.pool.close_timeout(SECOND).await;
        closed.unwrap_or_else(|error| panic!("{error}: {context:?}"));
        audit(&self.pool.stats(), &self.backend.truth, context);
        assert_eq!(self.backend.truth.alive(), 0, "{context:?}");
    }
}

#[test]
fn no_combination_of_endings_and_aborts_leaks_anything_in_any_order_of_tasks() {
    for gates in Gates::all() {
        for seed in 0..3 {
            let executor = Executor::shuffled(seed);
            let storm = Storm::begin(&executor.runtime(), gates, seed);
            executor.advance(10 * SECOND);
            storm.verify_storm(&(gates, seed));
            executor.advance(SECOND);
            executor.block_on(storm.recover(&(gates, seed)));
            executor.run();
            assert_eq!(executor.alive(), 0, "all tasks of the pool have ended: {gates:?} {seed}");
        }
    }
}

#[cfg(feature = "tokio")]
#[test]
fn no_combination_of_endings_and_aborts_leaks_anything_on_tokio() {
    for gates in Gates::all() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let storm =
                Storm::begin(&(Arc::new(pool_core::TokioRuntime::default()) as _), gates, 9);
            tokio::time::sleep(10 * SECOND).await;
            storm.verify_storm(&gates);
            tokio::time::sleep(SECOND).await;
            storm.recover(&gates).await;
        });
    }
}
