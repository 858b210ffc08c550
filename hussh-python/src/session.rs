//! A session, held or on loan.

use std::sync::{Arc, Mutex, PoisonError};

use hussh::{AsyncConnection, AsyncProcess, Command, Error, Output, PooledAsyncConnection, Target};
use pyo3::prelude::*;

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

impl Carrier {
    pub(crate) async fn execute(&self, command: &Command) -> Result<Output, Error> {
        match self {
            Self::Held(connection) => connection.execute_with(command).await,
            Self::Lent(lease) => lease.execute_with(command).await,
        }
    }

    pub(crate) fn target(&self) -> &Target {
        match self {
            Self::Held(connection) => connection.target(),
            Self::Lent(lease) => lease.target(),
        }
    }

    pub(crate) async fn spawn(&self, command: &Command) -> Result<AsyncProcess<'_>, Error> {
        match self {
            Self::Held(connection) => connection.spawn(command).await,
            Self::Lent(lease) => lease.spawn(command).await,
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
            Operation::start(py, |_| async move { timed(carrier.execute(&command)).await })
        };
        operation.map(Some)
    }

    /// Whether nothing is known that makes it unusable. Never waits.
    fn is_alive(&self) -> bool {
        match self.carrier() {
            Some(Carrier::Held(connection)) => connection.is_alive(),
            Some(Carrier::Lent(lease)) => lease.is_alive(),
            None => false,
        }
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
