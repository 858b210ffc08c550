//! Something under way on the runtime, and how Python waits for it, hears of it and ends it.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hussh::{Chunk, Error, Progress};
use pyo3::IntoPyObjectExt as _;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::failure;
use crate::mailbox;
use crate::owned::Owned;
use crate::runtime;
use crate::value::Value;

/// How long a thread waits at a time before it looks whether a signal has come in.
pub(crate) const SLICE: Duration = Duration::from_millis(50);

/// How long an interrupted wait goes on for the operation's own end.
const END_PATIENCE: Duration = Duration::from_secs(1);

/// How much output may lie about for a callback before the command has to wait.
const MOST_UNREAD: usize = 1 << 20;

/// An operation under way. Dropped, it is given up: a command is ended, a session goes back.
#[pyclass(frozen, module = "hussh._native")]
pub(crate) struct Operation {
    task: Owned<Task>,
}

struct Task {
    desk: Arc<Desk>,
    abort: AbortHandle,
}

impl Task {
    fn give_up(&self) {
        self.abort.abort();
        let mut state = self.desk.lock();
        state.unwanted = true;
        let unwanted = (std::mem::take(&mut state.chunks), state.outcome.take());
        drop(state);
        drop(unwanted);
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

/// What there is to hear of an operation before its end.
enum News {
    Output(Chunk),
    Progress(Progress),
}

impl News {
    /// Whether it is of standard error, and the bytes; or bytes and files transferred.
    fn into_python(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        match self {
            Self::Output(chunk) => {
                let is_stderr = matches!(chunk, Chunk::Stderr(_));
                (is_stderr, PyBytes::new(py, chunk.bytes())).into_bound_py_any(py)
            }
            Self::Progress(progress) => (progress.bytes, progress.files).into_bound_py_any(py),
        }
    }
}

/// Where the operation leaves what Python is to fetch.
#[derive(Default)]
pub(crate) struct Desk {
    state: Mutex<State>,
    changed: Condvar,
    room: Notify,
}

#[derive(Default)]
struct State {
    chunks: VecDeque<Chunk>,
    unread: usize,
    /// How far a transfer is: the newest only.
    progress: Option<Progress>,
    outcome: Option<Result<Value, Error>>,
    finished: bool,
    /// Nobody is going to fetch the outcome.
    unwanted: bool,
    listener: Option<(Arc<mailbox::Inner>, u64)>,
}

impl State {
    fn has_news(&self) -> bool {
        self.finished || self.progress.is_some() || !self.chunks.is_empty()
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self, mut state: MutexGuard<'_, State>) {
        let listener = state.listener.take();
        drop(state);
        self.changed.notify_all();
        if let Some((mailbox, token)) = listener {
            mailbox.post(token);
        }
    }

    /// Hands over a piece of output, once there is room for it.
    pub(crate) async fn put(&self, mut chunk: Chunk) {
        loop {
            let room = self.room.notified();
            match self.try_put(chunk) {
                Ok(()) => return,
                Err(refused) => chunk = refused,
            }
            room.await;
        }
    }

    /// Says how far it is, in place of what was said before and not heard.
    pub(crate) fn tell(&self, progress: Progress) {
        let mut state = self.lock();
        state.progress = Some(progress);
        self.announce(state);
    }

    fn try_put(&self, chunk: Chunk) -> Result<(), Chunk> {
        let mut state = self.lock();
        if state.unread >= MOST_UNREAD {
            return Err(chunk);
        }
        state.unread += chunk.bytes().len();
        state.chunks.push_back(chunk);
        self.announce(state);
        Ok(())
    }

    fn finish(&self, outcome: Option<Result<Value, Error>>) {
        let mut state = self.lock();
        if state.finished {
            return;
        }
        state.finished = true;
        let unwanted = match state.unwanted {
            true => outcome,
            false => std::mem::replace(&mut state.outcome, outcome),
        };
        self.announce(state);
        // A session on loan, perhaps: goes back, and not under the lock.
        drop(unwanted);
    }

    fn next_chunk(&self) -> Option<Chunk> {
        let mut state = self.lock();
        let chunk = state.chunks.pop_front()?;
        state.unread -= chunk.bytes().len();
        drop(state);
        self.room.notify_one();
        Some(chunk)
    }

    fn next_news(&self) -> Option<News> {
        if let Some(chunk) = self.next_chunk() {
            return Some(News::Output(chunk));
        }
        self.lock().progress.take().map(News::Progress)
    }

    /// Waits for news.
    fn wait(&self, time: Duration, enough: fn(&State) -> bool) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), time, |state| !enough(state));
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        enough(&state)
    }
}

/// Tells whoever waits that the operation is over, also when it was given up or panicked.
struct Ending(Arc<Desk>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.finish(None);
    }
}

impl Operation {
    /// Starts an operation; `make` is given the desk to leave output on.
    pub(crate) fn start<F>(py: Python<'_>, make: impl FnOnce(Arc<Desk>) -> F) -> PyResult<Self>
    where
        F: Future<Output = Result<Value, Error>> + Send + 'static,
    {
        let runtime = runtime::handle(py)?;
        let desk = Arc::<Desk>::default();
        let work = make(Arc::clone(&desk));
        let ending = Ending(Arc::clone(&desk));
        let task = runtime.spawn(async move {
            // Dropped after the work: "over" is said when all of it is gone.
            let ending = ending;
            let outcome = work.await;
            ending.0.finish(Some(outcome));
        });
        let abort = task.abort_handle();
        Ok(Self { task: Owned::new(Task { desk, abort }) })
    }

    fn task(&self) -> PyResult<&Task> {
        self.task.here().ok_or_else(|| PyRuntimeError::new_err("a parent process's operation"))
    }
}

#[pymethods]
impl Operation {
    /// Waits for the next piece of output or word of progress, and gives `None` when the operation
    /// is over. Ends the operation when a signal's handler raises.
    fn wait<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let task = self.task()?;
        while !py.detach(|| task.desk.wait(SLICE, State::has_news)) {
            if let Err(raised) = py.check_signals() {
                task.give_up();
                py.detach(|| task.desk.wait(END_PATIENCE, |state| state.finished));
                return Err(raised);
            }
        }
        self.news(py)
    }

    /// The next piece of output, if there is one: whether it is of standard error, and the bytes.
    /// Or else how far it is: bytes and files transferred.
    fn news<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.task()?.desk.next_news().map(|news| news.into_python(py)).transpose()
    }

    /// Has `token` put into the mailbox, once, when there is output or the operation is over.
    fn notify(&self, mailbox: &mailbox::Mailbox, token: u64) -> PyResult<()> {
        let inner = Arc::clone(mailbox.inner()?);
        let mut state = self.task()?.desk.lock();
        if state.has_news() {
            drop(state);
            inner.post(token);
        } else {
            state.listener = Some((inner, token));
        }
        Ok(())
    }

    /// Whether it is over.
    fn done(&self) -> PyResult<bool> {
        Ok(self.task()?.desk.lock().finished)
    }

    /// What came of it: `("ok", value)` or `("error", facts)`. To be fetched once.
    fn outcome<'py>(&self, py: Python<'py>) -> PyResult<(&'static str, Bound<'py, PyAny>)> {
        let outcome = self.task()?.desk.lock().outcome.take();
        Ok(match outcome {
            Some(Ok(value)) => ("ok", value.into_python(py)?),
            Some(Err(error)) => ("error", failure::facts(py, &error)?.into_any()),
            None => ("over", PyString::new(py, "it was given up").into_bound_py_any(py)?),
        })
    }

    /// Gives it up, and what came of it if that was not fetched. Its end comes soon after.
    fn cancel(&self) {
        if let Some(task) = self.task.here() {
            task.give_up();
        }
    }
}

/// Measures a call that gives output.
pub(crate) async fn timed<F>(work: F) -> Result<Value, Error>
where
    F: Future<Output = Result<hussh::Output, Error>>,
{
    let start = Instant::now();
    let output = work.await?;
    Ok(Value::Output(output, start.elapsed()))
}

/// What a command wrote so far.
#[derive(Default)]
pub(crate) struct Collected {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Collected {
    /// Adds a piece, as far as the limit of its stream allows. The limit is the error where it does
    /// not allow all of it.
    pub(crate) fn add(&mut self, chunk: &Chunk, limit: Option<usize>) -> Result<(), usize> {
        let (stream, bytes) = match chunk {
            Chunk::Stdout(bytes) => (&mut self.stdout, bytes),
            Chunk::Stderr(bytes) => (&mut self.stderr, bytes),
        };
        let limit = limit.unwrap_or(usize::MAX);
        let room = limit.saturating_sub(stream.len());
        stream.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        if bytes.len() > room { Err(limit) } else { Ok(()) }
    }

    pub(crate) fn into_bytes(self) -> (Bytes, Bytes) {
        (self.stdout.into(), self.stderr.into())
    }
}
