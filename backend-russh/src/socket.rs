//! What the bytes of a session go through: a TCP connection, or one end of a pair of sockets, the
//! system's or in memory, whose other end leads on to the server.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use ssh_session::OwnSocket;
use ssh_session::net::{self, Pending};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::pipe;

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Pair(UnixStream),
    Pipe(pipe::End),
}

/// A second handle of a socket, for those who do not read or write it.
#[derive(Debug)]
pub(crate) enum Switch {
    System { descriptor: OwnedFd, is_tcp: bool },
    Pipe(pipe::Switch),
}

impl Socket {
    pub(crate) fn switch(&self) -> io::Result<Switch> {
        Ok(match self {
            Self::Tcp(stream) => {
                let descriptor = stream.as_fd().try_clone_to_owned()?;
                Switch::System { descriptor, is_tcp: true }
            }
            Self::Pair(stream) => {
                let descriptor = stream.as_fd().try_clone_to_owned()?;
                Switch::System { descriptor, is_tcp: false }
            }
            Self::Pipe(end) => Switch::Pipe(end.switch()),
        })
    }
}

impl Socket {
    /// A socket that somebody else has connected.
    pub(crate) fn owned(socket: OwnSocket) -> io::Result<Self> {
        let OwnSocket { descriptor, is_tcp } = socket;
        Ok(if is_tcp {
            let stream = std::net::TcpStream::from(descriptor);
            stream.set_nonblocking(true)?;
            Self::Tcp(TcpStream::from_std(stream)?)
        } else {
            // Whatever its family: it is read and written like this one.
            let stream = std::os::unix::net::UnixStream::from(descriptor);
            stream.set_nonblocking(true)?;
            Self::Pair(UnixStream::from_std(stream)?)
        })
    }
}

impl Switch {
    /// Ends the connection in both directions, whoever is in the middle of using it.
    pub(crate) fn shutdown(&self) {
        match self {
            Self::System { descriptor, .. } => {
                // Fails only where it is not connected any more.
                let _ = socket2::SockRef::from(descriptor).shutdown(Shutdown::Both);
            }
            Self::Pipe(switch) => switch.shutdown(),
        }
    }

    /// What is there to be read, without taking it.
    pub(crate) fn pending(&self) -> Pending {
        match self {
            Self::System { descriptor, .. } => net::pending(descriptor),
            Self::Pipe(switch) => switch.pending(),
        }
    }

    /// See [`net::acknowledge_quickly`].
    pub(crate) fn acknowledge_quickly(&self) {
        if let Self::System { descriptor, is_tcp: true } = self {
            net::acknowledge_quickly(descriptor);
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Pair(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Pipe(end) => Pin::new(end).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Pair(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Pipe(end) => Pin::new(end).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Pair(stream) => Pin::new(stream).poll_flush(context),
            Self::Pipe(end) => Pin::new(end).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Pair(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Pipe(end) => Pin::new(end).poll_shutdown(context),
        }
    }
}
