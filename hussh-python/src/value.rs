//! What operations result in.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hussh::{
    AsyncConnection, Entry, ExitStatus, FileSystem, Metadata, Outcome, Output,
    PooledAsyncConnection, Report,
};
use pyo3::IntoPyObjectExt as _;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::failure;
use crate::files::File;
use crate::session::{Carrier, Session};

/// The value of an operation that went well.
pub(crate) enum Value {
    Nothing,
    /// What a command left, and how long its call took.
    Output(Output, Duration),
    Connected(AsyncConnection),
    Lent(PooledAsyncConnection),
    File(File),
    Bytes(Vec<u8>),
    Path(PathBuf),
    Metadata(Metadata),
    Entries(Vec<Entry>),
    FileSystem(FileSystem),
    Report(Report),
}

macro_rules! from {
    ($($kind:ident: $type:ty),*) => {
        $(
            impl From<$type> for Value {
                fn from(value: $type) -> Self {
                    Self::$kind(value)
                }
            }
        )*
    };
}

from!(
    Bytes: Vec<u8>, Path: PathBuf, Metadata: Metadata, Entries: Vec<Entry>, FileSystem: FileSystem,
    Report: Report
);

impl From<()> for Value {
    fn from((): ()) -> Self {
        Self::Nothing
    }
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
            Self::File(file) => file.into_bound_py_any(py),
            Self::Bytes(bytes) => PyBytes::new(py, &bytes).into_bound_py_any(py),
            Self::Path(found) => path(py, &found).into_bound_py_any(py),
            Self::Metadata(found) => metadata(&found).into_bound_py_any(py),
            Self::Entries(entries) => {
                let entry = |entry: &Entry| (path(py, &entry.path), metadata(&entry.metadata));
                entries.iter().map(entry).collect::<Vec<_>>().into_bound_py_any(py)
            }
            Self::FileSystem(found) => {
                let (blocks, files) = (
                    (found.block_size, found.blocks, found.blocks_free, found.blocks_available),
                    (found.files, found.files_free),
                );
                (blocks, files, found.read_only, found.name_max).into_bound_py_any(py)
            }
            Self::Report(report) => report_of(py, &report),
        }
    }
}

/// A path is bytes to a server.
fn path<'py>(py: Python<'py>, path: &Path) -> Bound<'py, PyBytes> {
    PyBytes::new(py, path.as_os_str().as_bytes())
}

/// Size, owner, mode, times: as much as the server said.
type Attributes = (Option<u64>, Option<(u32, u32)>, Option<u32>, Option<(u32, u32)>);

fn metadata(found: &Metadata) -> Attributes {
    (found.size, found.owner, found.mode, found.times)
}

/// Of each file its path, what became of it, how many bytes, why not, and the error's facts.
fn report_of<'py>(py: Python<'py>, report: &Report) -> PyResult<Bound<'py, PyAny>> {
    let entries = report.entries.iter().map(|entry| {
        let (kind, bytes, why, error) = match &entry.outcome {
            Outcome::File(bytes) => ("file", *bytes, None, None),
            Outcome::Directory => ("directory", 0, None, None),
            Outcome::Link => ("link", 0, None, None),
            Outcome::Skipped(why) => ("skipped", 0, Some(why.as_str()), None),
            Outcome::Failed(error) => ("failed", 0, None, Some(failure::ssh(py, error)?)),
        };
        Ok((path(py, &entry.path), kind, bytes, why, error))
    });
    entries.collect::<PyResult<Vec<_>>>()?.into_bound_py_any(py)
}
