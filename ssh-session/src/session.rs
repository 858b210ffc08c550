//! What every session can do, whichever library is below it.

use std::future::Future;
use std::time::Duration;

use crate::{Command, Output, SshError, Target};

/// A logged-in session whose methods wait for the peer. Usable from many threads at once.
pub trait Session: Send + Sync {
    /// Whom the session talks to.
    fn target(&self) -> &Target;

    /// Runs a command to its end and collects what it wrote.
    ///
    /// # Errors
    ///
    /// Whenever there is no exit status to report; [`SshError::may_have_started`] tells whether
    /// the command can have run.
    fn exec(&self, command: &Command) -> Result<Output, SshError>;

    /// Whether nothing is known that makes the session unusable. Never waits, so a peer that
    /// fell silent still counts as alive; [`ping`](Self::ping) finds out.
    fn is_alive(&self) -> bool;

    /// Asks the peer for a sign of life: one round trip.
    ///
    /// # Errors
    ///
    /// If none comes within `timeout`, or the connection is lost. The session is dead then.
    fn ping(&self, timeout: Duration) -> Result<(), SshError>;

    /// Ends the session. Whoever waits on it gets [`SshError::ConnectionLost`]. Never waits; calls
    /// after the first do nothing.
    fn close(&self);
}

/// The async twin of [`Session`]: each method means what it means there.
///
/// A future that is dropped gives up what it was doing and nothing else: a command is killed as
/// far as the server allows and its channel closed, and the session goes on.
pub trait AsyncSession: Send + Sync {
    /// Whom the session talks to.
    fn target(&self) -> &Target;

    /// Runs a command to its end and collects what it wrote.
    fn exec(&self, command: &Command) -> impl Future<Output = Result<Output, SshError>> + Send;

    /// Whether nothing is known that makes the session unusable. Never waits.
    fn is_alive(&self) -> bool;

    /// Asks the peer for a sign of life: one round trip. A session that gives none within
    /// `timeout` is dead.
    fn ping(&self, timeout: Duration) -> impl Future<Output = Result<(), SshError>> + Send;

    /// Ends the session. Whoever waits on it gets an error. Never waits; calls after the first do
    /// nothing.
    fn close(&self);
}
