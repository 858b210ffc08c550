//! A session, held or on loan.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use hussh::{AsyncConnection, Command, PooledAsyncConnection};
use pyo3::prelude::*;

use crate::files::{self, FileSettings};
use crate::operation::{Operation, timed};
use crate::owned::Owned;
use crate::settings::CommandSettings;
use crate::stream;

/// A session that commands are run on; empty once it was closed or given back.
#[pyclass(frozen, module = "hussh._native")]
pub(crate) struct Session {
    carrier: Mutex<Option<Owned<Carrier>>>,
}

/// What carries commands.
#[derive(Clone)]
pub(crate) enum Carrier {
    Held(Arc<AsyncConnection>),
    Lent(Arc<PooledAsyncConnection>),
}

/// Does not keep what carries.
pub(crate) enum WeakCarrier {
    Held(Weak<AsyncConnection>),
    Lent(Weak<PooledAsyncConnection>),
}

impl Carrier {
    pub(crate) fn downgrade(&self) -> WeakCarrier {
        match self {
            Self::Held(connection) => WeakCarrier::Held(Arc::downgrade(connection)),
            Self::Lent(lease) => WeakCarrier::Lent(Arc::downgrade(lease)),
        }
    }
}

impl WeakCarrier {
    pub(crate) fn upgrade(&self) -> Option<Carrier> {
        match self {
            Self::Held(connection) => connection.upgrade().map(Carrier::Held),
            Self::Lent(lease) => lease.upgrade().map(Carrier::Lent),
        }
    }
}

impl Deref for Carrier {
    type Target = AsyncConnection;

    fn deref(&self) -> &AsyncConnection {
        match self {
            Self::Held(connection) => connection,
            Self::Lent(lease) => lease,
        }
    }
}

impl Session {
    pub(crate) fn new(carrier: Carrier) -> Self {
        Self { carrier: Mutex::new(Some(Owned::new(carrier))) }
    }

    fn carrier(&self) -> Option<Carrier> {
        let carrier = self.carrier.lock().unwrap_or_else(PoisonError::into_inner);
        carrier.as_ref().and_then(Owned::here).cloned()
    }
}

#[pymethods]
impl Session {
    /// Starts a command; `None` where the session was closed or given back.
    fn execute(
        &self,
        py: Python<'_>,
        command: CommandSettings,
        stream: bool,
    ) -> PyResult<Option<Operation>> {
        let Some(carrier) = self.carrier() else { return Ok(None) };
        let keep = command.keep_output;
        let command = Command::from(command);
        let operation = if stream {
            Operation::start(py, |desk| async move {
                stream::run(&carrier, &command, &desk, keep).await
            })
        } else {
            Operation::start(py, |_| async move { timed(carrier.execute_with(&command)).await })
        };
        operation.map(Some)
    }

    /// Starts something with files; `None` where the session was closed or given back.
    fn files(&self, py: Python<'_>, call: FileSettings) -> PyResult<Option<Operation>> {
        let Some(carrier) = self.carrier() else { return Ok(None) };
        let run = |desk| files::run(carrier, call, desk, false);
        Operation::start(py, run).map(Some)
    }

    /// Whether nothing is known that makes it unusable. Never waits.
    fn is_alive(&self) -> bool {
        self.carrier().is_some_and(|carrier| carrier.is_alive())
    }

    /// Closes a held session, with the commands under way on it; gives a lent one back once no
    /// command is under way. Never waits.
    fn close(&self) {
        let carrier = self.carrier.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Carrier::Held(connection)) = carrier.as_ref().and_then(Owned::here) {
            connection.close();
        }
    }
}
