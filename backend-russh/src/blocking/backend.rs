//! Blocking sessions for a pool.

use pool_core::{AsyncBackend as _, Backend, ErrorKind};
use ssh_session::{Endpoint, Options, SshError};

use super::BlockingSession;
use super::runtime::{Runtime, wait};
use crate::backend::RusshBackend;

/// Opens, checks and closes [`BlockingSession`]s for a [`pool_core::Pool`].
///
/// A check is one round trip; host keys are as for [`RusshBackend`].
#[derive(Debug)]
pub struct BlockingBackend {
    inner: RusshBackend,
}

impl BlockingBackend {
    /// Takes what is needed to open sessions; opens none.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] if the options make no sense.
    pub fn new(options: Options) -> Result<Self, SshError> {
        Ok(Self { inner: RusshBackend::new(options)? })
    }

    /// As [`new`](Self::new), for what the key of a keyed pool names.
    pub fn for_endpoint(endpoint: &Endpoint) -> Self {
        Self { inner: RusshBackend::for_endpoint(endpoint) }
    }

    /// What sessions are opened with.
    pub fn options(&self) -> &Options {
        self.inner.options()
    }
}

impl Backend for BlockingBackend {
    type Session = BlockingSession;
    type Error = SshError;

    fn connect(&self) -> Result<BlockingSession, SshError> {
        let runtime = Runtime::shared(&self.options().target)?;
        let inner = wait(&runtime, self.inner.connect())?;
        Ok(BlockingSession { inner, runtime })
    }

    fn is_broken(&self, session: &mut BlockingSession) -> bool {
        self.inner.is_broken(&mut session.inner)
    }

    fn check(&self, session: &mut BlockingSession) -> Result<(), SshError> {
        wait(&session.runtime, self.inner.check(&mut session.inner))
    }

    fn needs_reset(&self, session: &mut BlockingSession) -> bool {
        self.inner.needs_reset(&mut session.inner)
    }

    fn reset(&self, session: &mut BlockingSession) -> Result<(), SshError> {
        wait(&session.runtime, self.inner.reset(&mut session.inner))
    }

    fn close(&self, session: BlockingSession) {
        let BlockingSession { inner, runtime } = session;
        wait(&runtime, self.inner.close(inner));
    }

    fn classify(&self, error: &SshError) -> ErrorKind {
        self.inner.classify(error)
    }
}
