//! A tunnel for `std::io`.

use std::fmt;
use std::io::{self, BufRead, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};

use super::Tunnel;

/// A connection that the server has opened, as a stream of bytes in each direction: what a
/// [`TcpStream`](std::net::TcpStream) is to the network. [`split`](Self::split) gives each direction
/// to a thread of its own. Closed when dropped, both halves of it.
///
/// Errors are those of sockets by their kinds (`TimedOut`, `BrokenPipe`, `NotConnected`), with an
/// [`SshError`](crate::SshError) within.
pub struct TunnelStream<T: Tunnel> {
    tunnel: Arc<Owned<T>>,
    left: Bytes,
    patience: [Option<Duration>; 2],
}

/// Closes the tunnel with the last handle.
struct Owned<T: Tunnel>(Arc<T>);

impl<T: Tunnel> TunnelStream<T> {
    /// A stream over a tunnel. Whoever else has the tunnel may end it, and keeps it no longer open.
    pub fn new(tunnel: Arc<T>) -> Self {
        Self { tunnel: Arc::new(Owned(tunnel)), left: Bytes::new(), patience: [None; 2] }
    }

    /// How long a read waits; then it is `TimedOut`, and the tunnel goes on. `None`, the default, is
    /// for ever.
    pub fn set_read_timeout(&mut self, timeout: impl Into<Option<Duration>>) {
        self.patience[0] = timeout.into();
    }

    /// How long a write waits until all of it is taken; then it is `TimedOut`, and the tunnel closed,
    /// as nobody knows how much was. `None`, the default, is for ever.
    pub fn set_write_timeout(&mut self, timeout: impl Into<Option<Duration>>) {
        self.patience[1] = timeout.into();
    }

    /// Ends our direction, behind what was written; the other one goes on.
    ///
    /// # Errors
    ///
    /// Where the tunnel, or its connection, is closed.
    pub fn shutdown_write(&self) -> io::Result<()> {
        Ok(self.tunnel.0.close_write()?)
    }

    /// Ends both directions. Never waits; whoever waits on the other half gets an error.
    pub fn close(&self) {
        self.tunnel.0.close();
    }

    /// Two handles of the tunnel: one to read, with what was not yet read, and one to write. What is
    /// set on one does not change the other.
    pub fn split(self) -> (Self, Self) {
        let writer =
            Self { tunnel: Arc::clone(&self.tunnel), left: Bytes::new(), patience: self.patience };
        (self, writer)
    }
}

impl<T: Tunnel> Read for TunnelStream<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl<T: Tunnel> BufRead for TunnelStream<T> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left.is_empty()
            && let Some(bytes) = self.tunnel.0.read(self.patience[0])?
        {
            self.left = bytes;
        }
        Ok(&self.left)
    }

    fn consume(&mut self, count: usize) {
        self.left.advance(count.min(self.left.len()));
    }
}

impl<T: Tunnel> Write for TunnelStream<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tunnel.0.write(bytes, self.patience[1])?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<T: Tunnel> Drop for Owned<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<T: Tunnel> fmt::Debug for TunnelStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TunnelStream").finish_non_exhaustive()
    }
}
