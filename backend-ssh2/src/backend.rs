//! Sessions for a pool.

use std::time::Duration;

use pool_core::{Backend, ErrorKind};
use ssh_session::{Endpoint, FirstKeys, Kind, Options, Session as _, SshError};

use crate::session::Ssh2Session;

/// How long a server may take to answer a check. A pool's own limit is shorter, if anything: this
/// bounds the threads of calls that it has written off.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a server may take to close the channel of a command that was given up. One that does
/// not let us kill it takes as long as the command, and a new session is cheaper than to wait.
const RESET_PATIENCE: Duration = Duration::from_millis(500);

/// Opens, checks and closes [`Ssh2Session`]s for a pool.
///
/// A check is one round trip. A host key that was trusted on first use and could not be recorded
/// must stay the same, a jump host's as well as the target's.
#[derive(Debug)]
pub struct Ssh2Backend {
    endpoint: Endpoint,
    first_keys: FirstKeys,
}

impl Ssh2Backend {
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

impl Backend for Ssh2Backend {
    type Session = Ssh2Session;
    type Error = SshError;

    fn connect(&self) -> Result<Ssh2Session, SshError> {
        let session = Ssh2Session::connect_as_before(self.options(), &self.first_keys)?;
        session.keep_alive_when_idle();
        Ok(session)
    }

    fn is_broken(&self, session: &mut Ssh2Session) -> bool {
        !session.is_alive()
    }

    fn check(&self, session: &mut Ssh2Session) -> Result<(), SshError> {
        session.ping(PATIENCE)
    }

    fn needs_reset(&self, session: &mut Ssh2Session) -> bool {
        session.has_leftovers()
    }

    fn reset(&self, session: &mut Ssh2Session) -> Result<(), SshError> {
        session.settle(RESET_PATIENCE)
    }

    fn classify(&self, error: &SshError) -> ErrorKind {
        match error.kind() {
            Kind::Busy => ErrorKind::Busy,
            Kind::Timeout | Kind::ConnectionLost => ErrorKind::Transient,
            _ if error.is_retryable() => ErrorKind::Transient,
            // A name without an address stays so within the time anybody waits; the same goes for
            // credentials, keys and what is no SSH server at all.
            _ => ErrorKind::Permanent,
        }
    }
}
