//! The native half of the Python package `hussh`: sessions and pools of the facade, and operations
//! on them that Python waits for.
//!
//! * `runtime`: the threads that do the work. They never touch Python.
//! * `operation`, `value`, `failure`: something under way, what it gives, what went wrong.
//! * `mailbox`: how event loops and waiting threads hear of it.
//! * `session`, `stream`, `files`, `pool`, `settings`: the facade's sessions and pools.
//! * `owned`: nothing of a parent process is touched in a forked child.
//! * `log`: our events, for Python's `logging`.
//!
//! Signatures, defaults, exceptions and results are Python's own half: `python/hussh`.
#![forbid(unsafe_code)]

mod failure;
mod files;
mod log;
mod mailbox;
mod operation;
mod owned;
mod pool;
mod runtime;
mod session;
mod settings;
mod stream;
mod value;

use hussh::AsyncConnection;
use pyo3::prelude::*;

use operation::Operation;
use settings::Settings;
use value::Value;

/// Starts to connect.
#[pyfunction]
fn connect(py: Python<'_>, settings: Settings) -> PyResult<Operation> {
    Operation::start(py, |_| async move {
        settings.builder::<AsyncConnection>()?.connect().await.map(Value::Connected)
    })
}

#[pymodule(gil_used = false)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    log::install();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<files::File>()?;
    module.add_class::<mailbox::Mailbox>()?;
    module.add_class::<Operation>()?;
    module.add_class::<pool::Pool>()?;
    module.add_class::<session::Session>()?;
    module.add_function(wrap_pyfunction!(connect, module)?)?;
    module.add_function(wrap_pyfunction!(pool::open_pool, module)?)?;
    module.add_function(wrap_pyfunction!(log::log_level, module)?)?;
    module.add_function(wrap_pyfunction!(log::log_waiting, module)?)?;
    module.add_function(wrap_pyfunction!(log::log_take, module)?)?;
    module.add_function(wrap_pyfunction!(log::not_recorded_take, module)?)?;
    Ok(())
}
