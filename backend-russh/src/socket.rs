//! What the bytes of a session go through: a TCP connection, or one end of a pair of sockets whose
//! other end leads on to the server.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use ssh_session::net::{self, Pending};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Pair(UnixStream),
}

/// A second descriptor of a socket, for those who do not read or write it.
#[derive(Debug)]
pub(crate) struct Switch {
    descriptor: OwnedFd,
    is_tcp: bool,
}

impl Socket {
    pub(crate) fn switch(&self) -> io::Result<Switch> {
        Ok(match self {
            Self::Tcp(stream) => {
                Switch { descriptor: stream.as_fd().try_clone_to_owned()?, is_tcp: true }
            }
            Self::Pair(stream) => {
                Switch { descriptor: stream.as_fd().try_clone_to_owned()?, is_tcp: false }
            }
        })
    }
}

impl Switch {
    /// Ends the connection in both directions, whoever is in the middle of using it.
    pub(crate) fn shutdown(&self) {
        // Fails only where it is not connected any more.
        let _ = socket2::SockRef::from(&self.descriptor).shutdown(Shutdown::Both);
    }

    /// What is there to be read, without taking it.
    pub(crate) fn pending(&self) -> Pending {
        net::pending(&self.descriptor)
    }

    /// See [`net::acknowledge_quickly`].
    pub(crate) fn acknowledge_quickly(&self) {
        if self.is_tcp {
            net::acknowledge_quickly(&self.descriptor);
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
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Pair(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Pair(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
