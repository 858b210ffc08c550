//! What operations result in.

use std::sync::Arc;
use std::time::Duration;

use hussh::{AsyncConnection, ExitStatus, Output, PooledAsyncConnection};
use pyo3::IntoPyObjectExt as _;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::session::{Carrier, Session};

/// The value of an operation that went well.
pub(crate) enum Value {
    Nothing,
    /// What a command left, and how long its call took.
    Output(Output, Duration),
    Connected(AsyncConnection),
    Lent(PooledAsyncConnection),
}

impl Value {
    pub(crate) fn into_python(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        match self {
            Self::Nothing => Ok(py.None().into_bound(py)),
            Self::Output(output, took) => {
                let (signal, core_dumped) = match &output.status {
                    ExitStatus::Code(_) => (None, false),
                    ExitStatus::Signal { name, core_dumped, .. } => {
                        (Some(name.as_str()), *core_dumped)
                    }
                };
                let stdout = PyBytes::new(py, &output.stdout);
                let stderr = PyBytes::new(py, &output.stderr);
                let code = output.status.code();
                let took = took.as_secs_f64();
                (stdout, stderr, code, signal, core_dumped, took).into_bound_py_any(py)
            }
            Self::Connected(connection) => {
                Session::new(Carrier::Held(Arc::new(connection))).into_bound_py_any(py)
            }
            Self::Lent(lease) => Session::new(Carrier::Lent(Arc::new(lease))).into_bound_py_any(py),
        }
    }
}
