//! Sessions for a pool.

use std::sync::Arc;
use std::time::Duration;

use pool_core::{AsyncBackend, ErrorKind};
use ssh_session::gate::WhenBusy;
use ssh_session::{AsyncSession as _, Endpoint, FirstKeys, Options, Outlook, SshError};

use crate::session::RusshSession;

/// How long a server may take to answer a check. A pool's own limit is shorter, if anything.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a server may take to close the channel of a command that was given up. One that does
/// not let us kill it takes as long as the command, and a new session is cheaper than to wait.
const RESET_TIMEOUT: Duration = Duration::from_millis(500);

/// Opens, checks and closes [`RusshSession`]s for a pool, which may lend one to several borrowers at
/// once ([`AsyncPoolBuilder::shared`](pool_core::AsyncPoolBuilder::shared)).
///
/// A check is one round trip. A host key that was trusted on first use and could not be recorded
/// must stay the same, a jump host's as well as the target's.
///
/// Let the pool's `connect_timeout` be longer than that of the options, by a second: a session that
/// runs out of time knows whether a credential was on its way, and is then not opened again unasked
/// ([`Outlook::Permanent`]); of one that its pool gives up nobody knows, and the credential is sent
/// again.
#[derive(Debug)]
pub struct RusshBackend {
    endpoint: Endpoint,
    first_keys: FirstKeys,
}

impl RusshBackend {
    /// Takes what is needed to open sessions; opens none.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] if the options make no sense.
    pub fn new(options: Options) -> Result<Self, SshError> {
        Ok(Self::for_endpoint(&Endpoint::new(options)?))
    }

    /// As [`new`](Self::new), for what the key of a keyed pool names.
    pub fn for_endpoint(endpoint: &Endpoint) -> Self {
        let first_keys = FirstKeys::new(endpoint.options());
        Self { endpoint: endpoint.clone(), first_keys }
    }

    /// What sessions are opened with.
    pub fn options(&self) -> &Options {
        self.endpoint.options()
    }
}

impl AsyncBackend for RusshBackend {
    type Session = Arc<RusshSession>;
    type Error = SshError;

    async fn connect(&self) -> Result<Arc<RusshSession>, SshError> {
        let (options, keys) = (self.options(), &self.first_keys);
        RusshSession::connect_as_before(options, keys, WhenBusy::SaySo).await.map(Arc::new)
    }

    fn is_broken(&self, session: &mut Arc<RusshSession>) -> bool {
        !session.is_alive()
    }

    async fn check(&self, session: &mut Arc<RusshSession>) -> Result<(), SshError> {
        session.ping(CHECK_TIMEOUT).await
    }

    fn needs_reset(&self, session: &mut Arc<RusshSession>) -> bool {
        session.has_abandoned_channels()
    }

    async fn reset(&self, session: &mut Arc<RusshSession>) -> Result<(), SshError> {
        session.wait_until_closed(RESET_TIMEOUT).await
    }

    async fn close(&self, session: Arc<RusshSession>) {
        session.finish().await;
    }

    fn classify(&self, error: &SshError) -> ErrorKind {
        match error.outlook() {
            Outlook::Busy => ErrorKind::Busy,
            Outlook::Unreachable => ErrorKind::Unreachable,
            Outlook::Permanent => ErrorKind::Permanent,
            _ => ErrorKind::Transient,
        }
    }
}
