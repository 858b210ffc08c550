//! A tunnel for tokio.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::AsyncTunnel;
use crate::SshError;

/// As much of a write is taken at once.
const PIECE: usize = 64 * 1024;

type Work<T> = Pin<Box<dyn Future<Output = Result<T, SshError>> + Send>>;

/// A connection that the server has opened, as a stream of bytes in each direction: what tokio's
/// `TcpStream` is to the network; `tokio::io::split` gives each direction to a task of its own.
/// Shutting it down ends our direction, dropping it both.
///
/// One piece of what is written, 64 KiB at most, may be on its way when a write is done; `flush` waits
/// until it is taken. Errors are those of sockets by their kinds, with an [`SshError`] within.
pub struct AsyncTunnelStream<T: AsyncTunnel> {
    tunnel: Arc<T>,
    left: Bytes,
    reading: Option<Work<Option<Bytes>>>,
    writing: Option<Work<()>>,
    closing: bool,
}

impl<T: AsyncTunnel> AsyncTunnelStream<T> {
    /// A stream over a tunnel. Whoever else has the tunnel may end it, and keeps it no longer open.
    pub fn new(tunnel: Arc<T>) -> Self {
        Self { tunnel, left: Bytes::new(), reading: None, writing: None, closing: false }
    }

    fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(writing) = &mut self.writing else { return Poll::Ready(Ok(())) };
        let written = ready!(writing.as_mut().poll(context));
        self.writing = None;
        Poll::Ready(written.map_err(io::Error::from))
    }
}

impl<T: AsyncTunnel> AsyncRead for AsyncTunnelStream<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.left.is_empty() && buffer.remaining() > 0 {
            let reading = this.reading.get_or_insert_with(|| {
                let tunnel = Arc::clone(&this.tunnel);
                Box::pin(async move { tunnel.read().await })
            });
            let read = ready!(reading.as_mut().poll(context));
            this.reading = None;
            this.left = read?.unwrap_or_default();
        }
        let count = this.left.len().min(buffer.remaining());
        buffer.put_slice(&this.left[..count]);
        this.left.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncTunnel> AsyncWrite for AsyncTunnelStream<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_written(context))?;
        let tunnel = Arc::clone(&this.tunnel);
        let piece = Bytes::copy_from_slice(&bytes[..bytes.len().min(PIECE)]);
        let count = piece.len();
        this.writing = Some(Box::pin(async move { tunnel.write(piece).await }));
        match this.poll_written(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(count)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_written(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_written(context))?;
        if !std::mem::replace(&mut this.closing, true) {
            let tunnel = Arc::clone(&this.tunnel);
            this.writing = Some(Box::pin(async move { tunnel.close_write().await }));
        }
        this.poll_written(context)
    }
}

impl<T: AsyncTunnel> Drop for AsyncTunnelStream<T> {
    fn drop(&mut self) {
        self.tunnel.close();
    }
}

impl<T: AsyncTunnel> fmt::Debug for AsyncTunnelStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncTunnelStream").finish_non_exhaustive()
    }
}
