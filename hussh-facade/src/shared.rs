//! Sessions that several borrowers use at once: a backend's own, each behind an `Arc`, as
//! [`pool_core::Multiplexed`] wants them. What borrowers do to a session is then asked of the
//! session itself.

use std::sync::Arc;
use std::time::Duration;

use pool_core::{Backend, ErrorKind};
use ssh_session::{Session, SshError};

/// How long a server may take to answer a check. A pool's own limit is shorter, if anything: this
/// bounds the threads of calls that it has written off.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a server may take to close the channel of a command that was given up. One that does
/// not let us kill it takes as long as the command, and a new session is cheaper than to wait.
const SETTLE: Duration = Duration::from_millis(500);

pub(crate) struct Shared<B>(pub(crate) B);

impl<B> Backend for Shared<B>
where
    B: Backend<Error = SshError, Session: Session>,
{
    type Session = Arc<B::Session>;
    type Error = SshError;

    fn connect(&self) -> Result<Arc<B::Session>, SshError> {
        self.0.connect().map(Arc::new)
    }

    fn is_broken(&self, session: &mut Arc<B::Session>) -> bool {
        !session.is_alive()
    }

    fn check(&self, session: &mut Arc<B::Session>) -> Result<(), SshError> {
        session.ping(PATIENCE)
    }

    fn needs_reset(&self, session: &mut Arc<B::Session>) -> bool {
        session.has_leftovers()
    }

    fn reset(&self, session: &mut Arc<B::Session>) -> Result<(), SshError> {
        session.settle(SETTLE)
    }

    fn close(&self, session: Arc<B::Session>) {
        if let Some(session) = Arc::into_inner(session) {
            self.0.close(session);
        }
    }

    fn classify(&self, error: &SshError) -> ErrorKind {
        self.0.classify(error)
    }
}

#[cfg(feature = "russh")]
impl<B> pool_core::AsyncBackend for Shared<B>
where
    B: pool_core::AsyncBackend<Error = SshError, Session: ssh_session::AsyncSession + Sync>,
{
    type Session = Arc<B::Session>;
    type Error = SshError;

    async fn connect(&self) -> Result<Arc<B::Session>, SshError> {
        self.0.connect().await.map(Arc::new)
    }

    fn is_broken(&self, session: &mut Arc<B::Session>) -> bool {
        !ssh_session::AsyncSession::is_alive(&**session)
    }

    async fn check(&self, session: &mut Arc<B::Session>) -> Result<(), SshError> {
        ssh_session::AsyncSession::ping(&**session, PATIENCE).await
    }

    fn needs_reset(&self, session: &mut Arc<B::Session>) -> bool {
        ssh_session::AsyncSession::has_leftovers(&**session)
    }

    async fn reset(&self, session: &mut Arc<B::Session>) -> Result<(), SshError> {
        ssh_session::AsyncSession::settle(&**session, SETTLE).await
    }

    async fn close(&self, session: Arc<B::Session>) {
        if let Some(session) = Arc::into_inner(session) {
            self.0.close(session).await;
        }
    }

    fn classify(&self, error: &SshError) -> ErrorKind {
        self.0.classify(error)
    }
}
