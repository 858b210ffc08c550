//! The threads that do the work: one tokio runtime for the process.
//!
//! None of them ever touches Python. Whoever waits in Python fetches results from where they were
//! left, so an interpreter may end whatever is under way.

use std::sync::{Mutex, PoisonError};
use std::thread;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::owned::Owned;

/// The most threads; more than a few do not help where a peer is waited for.
const MOST_THREADS: usize = 4;

static RUNTIME: Mutex<Option<Owned<Runtime>>> = Mutex::new(None);

/// The runtime of this process, started when first needed, and anew in a forked child.
///
/// The lock is held only by threads that are attached to the interpreter, so never during a fork.
pub(crate) fn handle(_: Python<'_>) -> PyResult<Handle> {
    let mut runtime = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = runtime.as_ref().and_then(Owned::here) {
        return Ok(runtime.handle().clone());
    }
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let started = Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("hussh")
        .enable_all()
        .build();
    let started = started
        .map_err(|error| PyRuntimeError::new_err(format!("no threads for hussh: {error}")))?;
    let handle = started.handle().clone();
    *runtime = Some(Owned::new(started));
    Ok(handle)
}
