//! Connections that the server opens, for tasks.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use backend_russh::RusshTunnel;
use ssh_session::tunnel::{AsyncTunnelStream, Destination, Forwarding, LocalForward, OPEN_TIMEOUT};
use ssh_session::{AsyncSession as _, SshError};

use super::AsyncConnection;
use crate::Error;

/// A connection that the server has opened: [`AsyncConnection::open_tcp`]. It ends with the connection
/// that it was opened on, and with a pooled one when that is given back.
pub type AsyncTunnel = AsyncTunnelStream<RusshTunnel>;

impl AsyncConnection {
    /// Has the server connect to a TCP port that it reaches, within 10 seconds (`direct-tcpip`,
    /// RFC 4254, 7.2). Takes none of its `MaxSessions`.
    ///
    /// ```no_run
    /// use hussh::AsyncConnection;
    /// use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let builder = AsyncConnection::builder("gateway.example.com", "deploy").agent();
    /// let connection = builder.connect().await?;
    /// let mut tunnel = connection.open_tcp("intranet", 80).await?;
    /// tunnel.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    /// tunnel.shutdown().await?;
    /// let mut page = String::new();
    /// tunnel.read_to_string(&mut page).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`SshError::Tunnel`] with the server's reason where it refuses or cannot connect, and
    /// [`SshError::Timeout`].
    pub async fn open_tcp(&self, host: impl Into<String>, port: u16) -> Result<AsyncTunnel, Error> {
        self.open_tunnel(&Destination::tcp(host, port), OPEN_TIMEOUT).await
    }

    /// Has the server connect to a Unix socket on it, within 10 seconds
    /// (`direct-streamlocal@openssh.com`).
    ///
    /// # Errors
    ///
    /// As [`open_tcp`](Self::open_tcp).
    pub async fn open_unix(&self, path: impl AsRef<Path>) -> Result<AsyncTunnel, Error> {
        self.open_tunnel(&Destination::unix(path), OPEN_TIMEOUT).await
    }

    /// As [`open_tcp`](Self::open_tcp), to wherever, within this time.
    ///
    /// # Errors
    ///
    /// As [`open_tcp`](Self::open_tcp).
    pub async fn open_tunnel(
        &self,
        to: &Destination,
        timeout: Duration,
    ) -> Result<AsyncTunnel, Error> {
        let tunnel = Arc::new(self.session().open_tunnel(to, timeout).await?);
        self.tunnels.add(&tunnel);
        Ok(AsyncTunnelStream::new(tunnel))
    }

    /// Listens here, and has the server carry on what connects, until the guard is dropped or this
    /// connection is: dropped, or given back to its pool. Commands go on beside it.
    ///
    /// ```no_run
    /// use hussh::{AsyncConnection, LocalForward};
    ///
    /// # async fn run() -> Result<(), hussh::Error> {
    /// let builder = AsyncConnection::builder("gateway.example.com", "deploy").agent();
    /// let connection = builder.connect().await?;
    /// let forwarding = connection.forward_local(&LocalForward::to_tcp("db.intranet", 5432))?;
    /// println!("psql -h 127.0.0.1 -p {}", forwarding.local_addr().port());
    /// # Ok(())
    /// # }
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
        let forwarding = self.session.forward_local(forward)?;
        self.tunnels.add(forwarding.state());
        Ok(forwarding)
    }
}
