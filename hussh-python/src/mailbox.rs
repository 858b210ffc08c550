//! Where operations say that there is something to fetch: to a thread that waits, or to an event
//! loop that watches a descriptor.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::operation::SLICE;
use crate::owned::Owned;

/// Collects the tokens of operations that have news.
#[pyclass(frozen, module = "hussh._native")]
pub(crate) struct Mailbox {
    inner: Owned<Arc<Inner>>,
}

pub(crate) struct Inner {
    tokens: Mutex<Vec<u64>>,
    arrived: Condvar,
    bell: Option<(UnixStream, UnixStream)>,
}

impl Inner {
    pub(crate) fn post(&self, token: u64) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = tokens.is_empty();
        tokens.push(token);
        drop(tokens);
        self.arrived.notify_one();
        if let Some((_, ring)) = self.bell.as_ref().filter(|_| silent) {
            // Full or without a listener: then nobody needs another ring.
            let _ = (&*ring).write(&[0]);
        }
    }

    fn take(&self) -> Vec<u64> {
        if let Some((listen, _)) = &self.bell {
            let mut rings = [0; 64];
            // The bell first: whoever posts after this rings again.
            loop {
                match (&*listen).read(&mut rings) {
                    Ok(64) => {}
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    _ => break,
                }
            }
        }
        std::mem::take(&mut *self.tokens.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn wait(&self, time: Duration) {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.arrived.wait_timeout_while(tokens, time, |tokens| tokens.is_empty());
        drop(waited);
    }
}

#[pymethods]
impl Mailbox {
    /// With a `bell`, a descriptor becomes readable when tokens arrive.
    #[new]
    fn new(bell: bool) -> PyResult<Self> {
        let bell = bell.then(UnixStream::pair).transpose()?;
        if let Some((listen, ring)) = &bell {
            listen.set_nonblocking(true)?;
            ring.set_nonblocking(true)?;
        }
        let inner = Inner { tokens: Mutex::default(), arrived: Condvar::new(), bell };
        Ok(Self { inner: Owned::new(Arc::new(inner)) })
    }

    /// The descriptor to watch.
    fn fileno(&self) -> PyResult<i32> {
        match &self.inner()?.bell {
            Some((listen, _)) => Ok(listen.as_raw_fd()),
            None => Err(PyRuntimeError::new_err("this mailbox has no bell")),
        }
    }

    /// The tokens that arrived, without waiting.
    fn take(&self) -> PyResult<Vec<u64>> {
        Ok(self.inner()?.take())
    }

    /// Waits until tokens arrive, or a signal's handler raises.
    fn wait(&self, py: Python<'_>) -> PyResult<Vec<u64>> {
        let inner = self.inner()?;
        loop {
            let tokens = py.detach(|| {
                inner.wait(SLICE);
                inner.take()
            });
            py.check_signals()?;
            if !tokens.is_empty() {
                return Ok(tokens);
            }
        }
    }
}

impl Mailbox {
    pub(crate) fn inner(&self) -> PyResult<&Arc<Inner>> {
        self.inner.here().ok_or_else(|| PyRuntimeError::new_err("a parent process's mailbox"))
    }
}
