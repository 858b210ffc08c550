//! The pool.

use hussh::{AsyncConnectionPool, Builder, Command, Kind};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::Arc;

use crate::failure;
use crate::files::{self, FileSettings};
use crate::operation::{Operation, timed};
use crate::owned::Owned;
use crate::runtime;
use crate::session::Carrier;
use crate::settings::{CommandSettings, Settings};
use crate::stream;
use crate::value::Value;

/// Sessions to one host as one user, lent to whoever asks.
#[pyclass(frozen, module = "hussh._native")]
pub(crate) struct Pool {
    pool: Owned<AsyncConnectionPool>,
}

impl Pool {
    fn pool(&self) -> PyResult<&AsyncConnectionPool> {
        let here = self.pool.here();
        here.ok_or_else(|| pyo3::exceptions::PyRuntimeError::new_err("a parent process's pool"))
    }
}

/// Makes a pool: `("ok", pool)` or `("error", facts)`.
#[pyfunction]
pub(crate) fn open_pool<'py>(
    py: Python<'py>,
    settings: Settings,
) -> PyResult<(&'static str, Bound<'py, PyAny>)> {
    let runtime = runtime::handle(py)?;
    let _context = runtime.enter();
    match settings.builder().and_then(Builder::<AsyncConnectionPool>::build) {
        Ok(pool) => {
            let pool = Pool { pool: Owned::new(pool) };
            Ok(("ok", Bound::new(py, pool)?.into_any()))
        }
        Err(error) => Ok(("error", failure::facts(py, &error)?.into_any())),
    }
}

#[pymethods]
impl Pool {
    /// Starts to borrow a session.
    fn acquire(&self, py: Python<'_>) -> PyResult<Operation> {
        let pool = self.pool()?.clone();
        Operation::start(py, |_| async move { pool.get().await.map(Value::Lent) })
    }

    /// Starts a command on a session of its own choice.
    fn execute(
        &self,
        py: Python<'_>,
        command: CommandSettings,
        stream: bool,
    ) -> PyResult<Operation> {
        let pool = self.pool()?.clone();
        let keep = command.keep_output;
        let command = Command::from(command);
        if stream {
            return Operation::start(py, |desk| async move {
                let carrier = Carrier::Lent(Arc::new(pool.get().await?));
                stream::run(&carrier, &command, &desk, keep).await
            });
        }
        Operation::start(py, |_| async move { timed(pool.execute_with(&command)).await })
    }

    /// Starts something with files on a session of its own choice. A file that is opened keeps it.
    fn files(&self, py: Python<'_>, call: FileSettings) -> PyResult<Operation> {
        let pool = self.pool()?.clone();
        Operation::start(py, |desk| async move {
            let mut lease = pool.get().await?;
            // It died after it was checked: nothing was asked yet, so that another will do.
            if matches!(lease.sftp_with(call.bounds()).await, Err(e) if e.kind() == Some(Kind::ConnectionLost))
            {
                drop(lease);
                lease = pool.get().await?;
            }
            files::run(Carrier::Lent(Arc::new(lease)), call, desk, true).await
        })
    }

    /// Starts to close it.
    fn close(&self, py: Python<'_>) -> PyResult<Operation> {
        let pool = self.pool()?.clone();
        Operation::start(py, |_| async move { pool.close().await.map(|()| Value::Nothing) })
    }

    /// Its counts, all of one moment.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let pool = self.pool()?;
        let stats = pool.stats();
        let counters = &stats.counters;
        let facts = PyDict::new(py);
        facts.set_item("connections", pool.connections())?;
        facts.set_item("channels_per_connection", pool.channels_per_connection())?;
        facts.set_item("connecting", stats.connecting)?;
        facts.set_item("idle", stats.idle + stats.reserved + stats.checking + stats.resetting)?;
        facts.set_item("lent", stats.lent)?;
        facts.set_item("closing", stats.closing)?;
        facts.set_item("waiting", stats.waiting)?;
        facts.set_item("closed", stats.closed)?;
        facts.set_item("acquires", counters.acquires)?;
        facts.set_item("served", counters.served)?;
        facts.set_item("timed_out", counters.timed_out)?;
        facts.set_item("cancelled", counters.cancelled)?;
        facts.set_item("connects", counters.connects)?;
        facts.set_item("connect_failures", counters.connect_failures)?;
        facts.set_item("replaced", counters.replaced)?;
        Ok(facts)
    }
}
