//! A runtime of one thread whose time and order of tasks are the test's.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use pool_core::{BoxFuture, Clock, Runtime};

/// More polls than any test needs without time passing.
const LIVELOCK: usize = 1_000_000;

/// A deterministic runtime: nothing runs and no time passes but in [`run`](Self::run),
/// [`advance`](Self::advance) and [`block_on`](Self::block_on). Clones are the same runtime.
#[derive(Debug, Clone)]
pub struct Executor {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
}

struct State {
    now: Instant,
    /// By number; `None` while it is polled and after its end.
    tasks: Vec<Option<BoxFuture<()>>>,
    ready: VecDeque<usize>,
    timers: Vec<(Instant, u64, Waker)>,
    next_timer: u64,
    /// Chooses the next task; in order of arrival where it is `None`.
    seed: Option<u64>,
    down: bool,
}

impl Executor {
    /// Runs tasks in the order in which they were woken.
    pub fn new() -> Self {
        Self::with(None)
    }

    /// Runs tasks in an order drawn from the seed.
    pub fn shuffled(seed: u64) -> Self {
        Self::with(Some(seed))
    }

    fn with(seed: Option<u64>) -> Self {
        let state = State {
            now: Instant::now(),
            tasks: Vec::new(),
            ready: VecDeque::new(),
            timers: Vec::new(),
            next_timer: 0,
            seed,
            down: false,
        };
        Self { inner: Arc::new(Inner { state: Mutex::new(state) }) }
    }

    /// For [`AsyncPool::builder_on`](pool_core::AsyncPool::builder_on).
    pub fn runtime(&self) -> Arc<dyn Runtime> {
        Arc::new(self.clone())
    }

    /// Starts a task of the test.
    pub fn start(&self, task: impl Future<Output = ()> + Send + 'static) {
        assert!(self.spawn(Box::pin(task)), "the runtime is down");
    }

    /// Runs tasks until all wait for something.
    pub fn run(&self) {
        for _ in 0..LIVELOCK {
            if !self.step() {
                return;
            }
        }
        panic!("tasks wake each other for ever");
    }

    /// Polls one task that is ready; false where there is none.
    pub fn step(&self) -> bool {
        let Some((id, mut task)) = self.state().next_ready() else { return false };
        let waker = self.waker(id);
        let polled = task.as_mut().poll(&mut Context::from_waker(&waker));
        if polled.is_pending() {
            let mut state = self.state();
            if !state.down {
                state.tasks[id] = Some(task);
            }
        }
        true
    }

    /// Lets time pass, and runs what it wakes.
    pub fn advance(&self, by: Duration) {
        let end = self.now() + by;
        self.run();
        while self.jump(Some(end)) {
            self.run();
        }
        self.state().now = end;
        self.run();
    }

    /// Runs a future to its end, and time with it.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        for _ in 0..LIVELOCK {
            let mut cx = Context::from_waker(Waker::noop());
            if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
                return output;
            }
            if !self.step() {
                assert!(self.jump(None), "a future waits for what can never come");
            }
        }
        panic!("a future never ends");
    }

    /// Ends the runtime as a real one ends: all tasks are dropped where they are, and none starts
    /// any more.
    pub fn shut_down(&self) {
        let tasks = {
            let mut state = self.state();
            state.down = true;
            state.ready.clear();
            std::mem::take(&mut state.tasks)
        };
        drop(tasks);
        let timers = std::mem::take(&mut self.state().timers);
        drop(timers);
    }

    /// Tasks that have not ended.
    pub fn alive(&self) -> usize {
        self.state().tasks.iter().flatten().count()
    }

    /// Goes to the next timer, if it is due by then.
    fn jump(&self, until: Option<Instant>) -> bool {
        let due: Vec<Waker> = {
            let mut state = self.state();
            let Some(at) = state.timers.iter().map(|timer| timer.0).min() else { return false };
            if until.is_some_and(|until| at > until) {
                return false;
            }
            state.now = state.now.max(at);
            let now = state.now;
            let mut due: Vec<_> = state.timers.extract_if(.., |timer| timer.0 <= now).collect();
            due.sort_by_key(|timer| (timer.0, timer.1));
            due.into_iter().map(|timer| timer.2).collect()
        };
        due.into_iter().for_each(Waker::wake);
        true
    }

    fn waker(&self, id: usize) -> Waker {
        Waker::from(Arc::new(TaskWaker { id, inner: Arc::downgrade(&self.inner) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state()
    }
}

impl Default for Executor {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for Executor {
    fn now(&self) -> Instant {
        self.state().now
    }
}

impl Runtime for Executor {
    fn spawn(&self, task: BoxFuture<()>) -> bool {
        let mut state = self.state();
        if state.down {
            drop(state);
            drop(task);
            return false;
        }
        let id = state.tasks.len();
        state.tasks.push(Some(task));
        state.ready.push_back(id);
        true
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        Box::pin(Sleep { at, timer: None, inner: Arc::clone(&self.inner) })
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next_ready(&mut self) -> Option<(usize, BoxFuture<()>)> {
        loop {
            let place = match &mut self.seed {
                Some(seed) if !self.ready.is_empty() => draw(seed, self.ready.len() as u64),
                _ => 0,
            };
            let id = self.ready.remove(place as usize)?;
            if let Some(task) = self.tasks[id].take() {
                return Some((id, task));
            }
        }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("now", &self.now).finish_non_exhaustive()
    }
}

/// A number below `below`: splitmix64.
pub fn draw(seed: &mut u64, below: u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % below
}

struct TaskWaker {
    id: usize,
    inner: Weak<Inner>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if let Some(inner) = self.inner.upgrade() {
            let mut state = inner.state();
            if !state.down && !state.ready.contains(&self.id) {
                state.ready.push_back(self.id);
            }
        }
    }
}

struct Sleep {
    at: Instant,
    timer: Option<u64>,
    inner: Arc<Inner>,
}

impl Sleep {
    fn disarm(&mut self) {
        if let Some(number) = self.timer.take() {
            let mut state = self.inner.state();
            let place = state.timers.iter().position(|timer| timer.1 == number);
            let timer = place.map(|place| state.timers.swap_remove(place));
            drop(state);
            drop(timer);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.disarm();
        let mut state = self.inner.state();
        if state.now >= self.at {
            return Poll::Ready(());
        }
        let number = state.next_timer;
        state.next_timer += 1;
        state.timers.push((self.at, number, cx.waker().clone()));
        drop(state);
        self.timer = Some(number);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.disarm();
    }
}
