//! Connections that the server opens, for threads.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ssh_session::tunnel::{
    Destination, Forwarding, LocalForward, OPEN_TIMEOUT, TunnelStream, threads,
};
use ssh_session::{Session, SshError};

use super::{Connection, Library};
use crate::Error;

/// A connection that the server has opened: [`Connection::open_tcp`]. It ends with the connection that
/// it was opened on, and with a pooled one when that is given back.
pub type Tunnel<L> = TunnelStream<<<L as Library>::Session as Session>::Tunnel>;

impl<L: Library> Connection<L> {
    /// Has the server connect to a TCP port that it reaches, within 10 seconds (`direct-tcpip`,
    /// RFC 4254, 7.2). Takes none of its `MaxSessions`.
    ///
    /// ```no_run
    /// use std::io::{Read as _, Write as _};
    ///
    /// use hussh::Connection;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let connection = Connection::builder("gateway.example.com", "deploy").agent().connect()?;
    /// let mut tunnel = connection.open_tcp("intranet", 80)?;
    /// tunnel.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    /// tunnel.shutdown_write()?;
    /// let mut page = String::new();
    /// tunnel.read_to_string(&mut page)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`SshError::Tunnel`] with the server's reason where it refuses or cannot connect, and
    /// [`SshError::Timeout`].
    pub fn open_tcp(&self, host: impl Into<String>, port: u16) -> Result<Tunnel<L>, Error> {
        self.open_tunnel(&Destination::tcp(host, port), OPEN_TIMEOUT)
    }

    /// Has the server connect to a Unix socket on it, within 10 seconds
    /// (`direct-streamlocal@openssh.com`).
    ///
    /// # Errors
    ///
    /// As [`open_tcp`](Self::open_tcp).
    pub fn open_unix(&self, path: impl AsRef<Path>) -> Result<Tunnel<L>, Error> {
        self.open_tunnel(&Destination::unix(path), OPEN_TIMEOUT)
    }

    /// As [`open_tcp`](Self::open_tcp), to wherever, within this time.
    ///
    /// # Errors
    ///
    /// As [`open_tcp`](Self::open_tcp).
    pub fn open_tunnel(&self, to: &Destination, timeout: Duration) -> Result<Tunnel<L>, Error> {
        let tunnel = Arc::new(self.session().open_tunnel(to, timeout)?);
        self.tunnels.add(&tunnel);
        Ok(TunnelStream::new(tunnel))
    }

    /// Listens here, and has the server carry on what connects, until the guard is dropped or this
    /// connection is: dropped, or given back to its pool. Commands go on beside it.
    ///
    /// ```no_run
    /// use hussh::{Connection, LocalForward};
    ///
    /// let connection = Connection::builder("gateway.example.com", "deploy").agent().connect()?;
    /// let forwarding = connection.forward_local(&LocalForward::to_tcp("db.intranet", 5432))?;
    /// println!("psql -h 127.0.0.1 -p {}", forwarding.local_addr().port());
    /// # Ok::<(), hussh::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] where its address cannot be listened on. What the server refuses is
    /// told by [`Forwarding::last_error`].
    pub fn forward_local(&self, forward: &LocalForward) -> Result<Forwarding, Error> {
        if !self.is_alive() {
            let (target, maybe_started) = (self.target().clone(), false);
            return Err(SshError::Closed { target, maybe_started }.into());
        }
        let forwarding = threads::forward(&self.session, forward)?;
        self.tunnels.add(forwarding.state());
        Ok(forwarding)
    }
}
