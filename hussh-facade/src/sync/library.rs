//! The libraries that can be below the sync API.

use std::sync::Arc;

use pool_core::Backend;
use ssh_session::{Endpoint, Options, Session, SshError};

/// A library below the sync API: [`Libssh2`] or [`Russh`], by cargo feature. Nobody else can
/// implement it.
pub trait Library: sealed::Sealed + 'static {
    /// Its sessions.
    #[doc(hidden)]
    type Session: Session + 'static;
    /// What opens them for a pool.
    #[doc(hidden)]
    type Backend: Backend<Session = Arc<Self::Session>, Error = SshError>;

    #[doc(hidden)]
    fn connect(options: &Options) -> Result<Self::Session, SshError>;

    #[doc(hidden)]
    fn for_endpoint(endpoint: &Endpoint) -> Self::Backend;
}

mod sealed {
    pub trait Sealed {}
}

/// libssh2: one lock and no thread for a connection, OpenSSL's cryptography.
#[cfg(feature = "ssh2")]
#[derive(Debug)]
pub enum Libssh2 {}

#[cfg(feature = "ssh2")]
impl sealed::Sealed for Libssh2 {}

#[cfg(feature = "ssh2")]
impl Library for Libssh2 {
    type Session = backend_ssh2::Ssh2Session;
    type Backend = backend_ssh2::Ssh2Backend;

    fn connect(options: &Options) -> Result<Self::Session, SshError> {
        backend_ssh2::Ssh2Session::connect(options)
    }

    fn for_endpoint(endpoint: &Endpoint) -> Self::Backend {
        backend_ssh2::Ssh2Backend::for_endpoint(endpoint)
    }
}

/// russh on a runtime of its own: one for the process, on threads that it starts when the first
/// connection is opened.
#[cfg(feature = "russh")]
#[derive(Debug)]
pub enum Russh {}

#[cfg(feature = "russh")]
impl sealed::Sealed for Russh {}

#[cfg(feature = "russh")]
impl Library for Russh {
    type Session = backend_russh::blocking::BlockingSession;
    type Backend = backend_russh::blocking::BlockingBackend;

    fn connect(options: &Options) -> Result<Self::Session, SshError> {
        backend_russh::blocking::BlockingSession::connect(options)
    }

    fn for_endpoint(endpoint: &Endpoint) -> Self::Backend {
        backend_russh::blocking::BlockingBackend::for_endpoint(endpoint)
    }
}
