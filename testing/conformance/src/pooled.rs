//! Kinds of sessions as a pool opens, checks, resets and closes them.

use std::sync::Arc;

use backend_russh::blocking::{BlockingBackend, BlockingSession};
use backend_russh::{RusshBackend, RusshSession};
use backend_ssh2::{Ssh2Backend, Ssh2Session};
use pool_core::{AsyncBackend as _, Backend, ErrorKind};
use ssh_session::{Options, SshError};

use crate::suite::{Blocking, Subject, runtime};
use crate::{BlockingRussh, Russh, Ssh2};

/// A kind of session with the implementation of pool-core's trait that the product runs.
pub trait Pooled: Subject {
    /// That implementation; an async one is waited for.
    type Backend: Backend<Session: Send + Sync, Error = SshError>;

    /// What opens sessions with these options.
    ///
    /// # Panics
    ///
    /// If the options make no sense.
    fn backend(&self, options: Options) -> Self::Backend;

    /// The session that a pool lends.
    fn session(pooled: &<Self::Backend as Backend>::Session) -> &Self::Session;
}

impl Pooled for Ssh2 {
    type Backend = Ssh2Backend;

    fn backend(&self, options: Options) -> Ssh2Backend {
        Ssh2Backend::new(options).expect("valid options")
    }

    fn session(pooled: &Arc<Ssh2Session>) -> &Ssh2Session {
        pooled
    }
}

impl Pooled for BlockingRussh {
    type Backend = BlockingBackend;

    fn backend(&self, options: Options) -> BlockingBackend {
        BlockingBackend::new(options).expect("valid options")
    }

    fn session(pooled: &Arc<BlockingSession>) -> &BlockingSession {
        pooled
    }
}

impl Pooled for Russh {
    type Backend = Waited;

    fn backend(&self, options: Options) -> Waited {
        Waited(RusshBackend::new(options).expect("valid options"))
    }

    fn session(pooled: &Blocking<RusshSession>) -> &Blocking<RusshSession> {
        pooled
    }
}

/// The async backend, each of its futures waited for on the suite's runtime.
#[derive(Debug)]
pub struct Waited(RusshBackend);

impl Backend for Waited {
    type Session = Blocking<RusshSession>;
    type Error = SshError;

    fn connect(&self) -> Result<Self::Session, SshError> {
        runtime().block_on(self.0.connect()).map(Blocking::new)
    }

    fn is_broken(&self, session: &mut Self::Session) -> bool {
        self.0.is_broken(&mut session.inner)
    }

    fn check(&self, session: &mut Self::Session) -> Result<(), SshError> {
        runtime().block_on(self.0.check(&mut session.inner))
    }

    fn needs_reset(&self, session: &mut Self::Session) -> bool {
        self.0.needs_reset(&mut session.inner)
    }

    fn reset(&self, session: &mut Self::Session) -> Result<(), SshError> {
        runtime().block_on(self.0.reset(&mut session.inner))
    }

    fn close(&self, session: Self::Session) {
        runtime().block_on(self.0.close(session.inner));
    }

    fn classify(&self, error: &SshError) -> ErrorKind {
        self.0.classify(error)
    }
}

/// Makes of each case, a function of the module, a test for each kind of session.
#[macro_export]
macro_rules! for_all {
    ($($case:ident),* $(,)?) => {
        mod ssh2 {
            $(#[test] fn $case() { super::$case(&$crate::Ssh2); })*
        }
        mod russh {
            $(#[test] fn $case() { super::$case(&$crate::Russh); })*
        }
        mod blocking_russh {
            $(#[test] fn $case() { super::$case(&$crate::BlockingRussh); })*
        }
    };
}
