//! Blocking sessions for a pool.

use std::sync::Arc;

use pool_core::{AsyncBackend as _, Backend, ErrorKind, Interrupt, KillSwitch};
use ssh_session::{AsyncSession as _, Endpoint, Options, SshError};
use tokio::sync::oneshot;

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
    type Session = Arc<BlockingSession>;
    type Error = SshError;

    fn connect(&self) -> Result<Arc<BlockingSession>, SshError> {
        self.connect_interruptible(&Interrupt::default())
    }

    fn connect_interruptible(
        &self,
        interrupt: &Interrupt,
    ) -> Result<Arc<BlockingSession>, SshError> {
        let target = &self.options().target;
        let runtime = Runtime::shared(target)?;
        let (give_up, given_up) = oneshot::channel::<()>();
        interrupt.on_interrupt(move || drop(give_up));
        let connected = wait(&runtime, async {
            tokio::select! {
                connected = self.inner.connect() => connected,
                _ = given_up => Err(SshError::Closed { target: target.clone(), maybe_started: false }),
            }
        })?;
        Ok(Arc::new(BlockingSession::new(connected, runtime)))
    }

    fn kill_switch(&self, session: &mut Arc<BlockingSession>) -> Option<KillSwitch> {
        let inner = Arc::clone(&session.inner);
        Some(Box::new(move || inner.close()))
    }

    fn is_broken(&self, session: &mut Arc<BlockingSession>) -> bool {
        !session.inner.is_alive()
    }

    fn check(&self, session: &mut Arc<BlockingSession>) -> Result<(), SshError> {
        wait(&session.runtime, self.inner.check(&mut Arc::clone(&session.inner)))
    }

    fn needs_reset(&self, session: &mut Arc<BlockingSession>) -> bool {
        session.inner.has_abandoned_channels()
    }

    fn reset(&self, session: &mut Arc<BlockingSession>) -> Result<(), SshError> {
        wait(&session.runtime, self.inner.reset(&mut Arc::clone(&session.inner)))
    }

    fn close(&self, session: Arc<BlockingSession>) {
        wait(&session.runtime, session.inner.finish());
    }

    fn classify(&self, error: &SshError) -> ErrorKind {
        self.inner.classify(error)
    }
}
