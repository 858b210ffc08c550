//! Connections that the server opens for us: `direct-tcpip` (RFC 4254, 7.2) and
//! `direct-streamlocal@openssh.com` (OpenSSH's PROTOCOL, 2.4).
//!
//! What is sent is encrypted up to the server, and no further.

#[cfg(feature = "streams")]
mod async_io;
mod blocking;
mod destination;
mod forward;
mod owner;
pub mod socks;
pub mod threads;

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use crate::SshError;

#[cfg(feature = "streams")]
pub use async_io::AsyncTunnelStream;
pub use blocking::TunnelStream;
pub use destination::Destination;
pub use forward::{ForwardSlot, ForwardState, ForwardStats, Forwarding, LocalForward};
pub use owner::{Close, OpenTunnels};

/// How long the server may take to reach a destination, where nothing else was said.
pub const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection that the server has opened for us, for callers that wait. Several threads may use it
/// at once. It stays beside its session, and fails once that is closed or dropped. Dropped, it is
/// closed in both directions, without waiting.
///
/// What is not read is kept within bounds, as with [`Process`](crate::Process): by the window of its
/// channel over libssh2; over russh the session is held back while nobody else uses it, and a
/// tunnel of which 64 MiB lie unread beside others is closed with [`SshError::Unread`].
pub trait Tunnel: Close + 'static {
    /// The next piece of what comes, never empty; `None` where the other side has ended its
    /// direction. Waits for so long at most, and goes on when that is over.
    ///
    /// # Errors
    ///
    /// [`SshError::Timeout`] when `patience` is over, and where the connection or tunnel ended: what
    /// had come before is read first.
    fn read(&self, patience: Option<Duration>) -> Result<Option<Bytes>, SshError>;

    /// Writes all of this, waiting while the other side takes nothing. When `patience` is over nobody
    /// knows how much was written, and the tunnel is closed.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); [`SshError::Tunnel`] where the other side has closed it, or we have
    /// ended our direction.
    fn write(&self, bytes: &[u8], patience: Option<Duration>) -> Result<(), SshError>;

    /// Ends our direction, behind what was written; the other one goes on. Calls after the first do
    /// nothing.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    fn close_write(&self) -> Result<(), SshError>;
}

/// The async twin of [`Tunnel`]: each method means what it means there. A future that is dropped
/// loses nothing; bytes of a write that was dropped may have been sent in part.
pub trait AsyncTunnel: Close + 'static {
    /// The next piece of what comes; `None` where the other side has ended its direction.
    fn read(&self) -> impl Future<Output = Result<Option<Bytes>, SshError>> + Send;

    /// Writes all of this.
    fn write(&self, bytes: Bytes) -> impl Future<Output = Result<(), SshError>> + Send;

    /// Ends our direction, behind what was written.
    fn close_write(&self) -> impl Future<Output = Result<(), SshError>> + Send;
}
