//! One error for everything.

use std::fmt;
use std::sync::Arc;

use pool_core::{DrainTimeout, WarmError};
use ssh_session::{Kind, PartialOutput, SshError, Target};

/// Why a pool has no connection for a borrower.
pub(crate) type AcquireError = pool_core::AcquireError<SshError>;

/// Why something failed, in one sentence that names the host and what to do. Cheap to clone.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Error {
    /// The connection or the command failed.
    Ssh(SshError),
    /// No connection of the pool came free in time, or the pool is closed.
    Pool {
        /// Whom the pool talks to.
        target: Target,
        /// What it was waiting for, who holds the connections, and the last connect's error.
        source: Arc<AcquireError>,
    },
    /// Fewer connections than wanted were opened in time.
    Warm {
        /// Whom the pool talks to.
        target: Target,
        /// How many, and why the last connect failed.
        source: WarmError<SshError>,
    },
    /// Connections were still open when the time to close the pool was up.
    Close {
        /// Whom the pool talks to.
        target: Target,
        /// How many, and what they were doing.
        source: DrainTimeout,
    },
}

impl Error {
    pub(crate) fn from_pool(target: &Target, error: AcquireError) -> Self {
        if let AcquireError::Connect(cause) = &error {
            return Self::Ssh(SshError::clone(cause));
        }
        Self::Pool { target: target.clone(), source: Arc::new(error) }
    }

    /// The class of the SSH error behind it, if there is one: for a pool that ran out of time, that
    /// of its last failed connect.
    pub fn kind(&self) -> Option<Kind> {
        self.ssh().map(SshError::kind)
    }

    /// The SSH error behind it, if there is one.
    pub fn ssh(&self) -> Option<&SshError> {
        match self {
            Self::Ssh(error) => Some(error),
            Self::Pool { source, .. } => source.connect_error(),
            Self::Warm { source, .. } => source.last_failure.as_deref(),
            Self::Close { .. } => None,
        }
    }

    /// Whether time ran out: the command's, the connect's or that of waiting for the pool.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::Ssh(error) => error.kind() == Kind::Timeout,
            Self::Pool { source, .. } => source.is_timeout(),
            Self::Warm { .. } | Self::Close { .. } => true,
        }
    }

    /// Whether the same call may succeed later without anybody changing anything, and repeating it
    /// does no harm.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Ssh(error) => error.is_retryable(),
            Self::Pool { source, .. } => {
                source.is_timeout() || matches!(&**source, AcquireError::Overloaded { .. })
            }
            Self::Warm { .. } => self.ssh().is_none_or(SshError::is_retryable),
            Self::Close { .. } => true,
        }
    }

    /// Whether the command can have started on the server. Where this is false it has not.
    pub fn may_have_started(&self) -> bool {
        matches!(self, Self::Ssh(error) if error.may_have_started())
    }

    /// What the command had written when the call failed.
    pub fn partial_output(&self) -> Option<&PartialOutput> {
        match self {
            Self::Ssh(error) => error.partial_output(),
            Self::Pool { .. } | Self::Warm { .. } | Self::Close { .. } => None,
        }
    }
}

impl From<SshError> for Error {
    fn from(error: SshError) -> Self {
        Self::Ssh(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ssh(error) => error.fmt(f),
            Self::Pool { target, source } => write!(f, "{target}: {source}"),
            Self::Warm { target, source } => write!(f, "{target}: {source}"),
            Self::Close { target, source } => write!(f, "{target}: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Ssh(error) => error.source(),
            Self::Pool { .. } | Self::Warm { .. } => self.ssh().map(|error| error as _),
            Self::Close { .. } => None,
        }
    }
}
