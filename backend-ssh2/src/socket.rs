//! The socket of a session, and waiting for it.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown};
use ssh_session::net;
pub(crate) use ssh_session::net::Pending;
use ssh_session::{KeepaliveOptions, OwnSocket};

/// Sends without a signal where nobody listens any more.
#[cfg(not(target_vendor = "apple"))]
pub(crate) const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL;
/// Sockets that std makes raise no signal there.
#[cfg(target_vendor = "apple")]
pub(crate) const SEND_FLAGS: SendFlags = SendFlags::empty();

/// A connected socket that never blocks, shared with libssh2. Shutting it down is the one way to
/// end whatever libssh2 is in the middle of.
#[derive(Debug, Clone)]
pub(crate) struct Socket {
    descriptor: Arc<OwnedFd>,
    /// One end of a pair has no options to be set.
    is_tcp: bool,
}

impl Socket {
    /// A connection, with what every session wants set.
    pub(crate) fn tcp(stream: TcpStream, keepalive: KeepaliveOptions) -> Self {
        net::tune(&stream, keepalive);
        Self { descriptor: Arc::new(stream.into()), is_tcp: true }
    }

    /// One end of a pair, behind whose other end there is somebody who leads on.
    pub(crate) fn pair(end: UnixStream) -> io::Result<Self> {
        end.set_nonblocking(true)?;
        Ok(Self { descriptor: Arc::new(end.into()), is_tcp: false })
    }

    /// One that the caller has connected.
    pub(crate) fn owned(socket: OwnSocket, keepalive: KeepaliveOptions) -> io::Result<Self> {
        let OwnSocket { descriptor, is_tcp } = socket;
        rustix::io::ioctl_fionbio(&descriptor, true)?;
        if is_tcp {
            net::tune(&descriptor, keepalive);
        }
        Ok(Self { descriptor: Arc::new(descriptor), is_tcp })
    }

    /// Acknowledges at once for a while.
    pub(crate) fn acknowledge_quickly(&self) {
        if self.is_tcp {
            net::acknowledge_quickly(&*self.descriptor);
        }
    }

    /// Waits until the socket can be read (or written), somebody wakes us, or time is up.
    pub(crate) fn wait(&self, write: bool, until: Option<Instant>, waker: Option<&Waker>) {
        let mut events = PollFlags::IN;
        events.set(PollFlags::OUT, write);
        let socket = PollFd::new(self, events);
        // An interrupted or failed wait is a short wait: the caller looks anew anyhow.
        let Some(waker) = waker else {
            let _ = poll_until(&mut [socket], until);
            return;
        };
        let mut watched = [socket, PollFd::new(waker, PollFlags::IN)];
        let _ = poll_until(&mut watched, until);
        if watched[1].revents().contains(PollFlags::IN) {
            waker.reset();
        }
    }

    /// What is there to be read, without taking it.
    pub(crate) fn pending(&self) -> Pending {
        net::pending(self)
    }

    /// Whether the system takes some bytes at once.
    pub(crate) fn takes_bytes(&self) -> bool {
        let mut watched = [PollFd::new(self, PollFlags::OUT)];
        poll_until(&mut watched, Some(Instant::now())).is_ok()
            && watched[0].revents().contains(PollFlags::OUT)
    }

    /// Ends the connection: whoever waits on it wakes up, and nothing can block on it any more.
    pub(crate) fn shutdown(&self) {
        // Fails only where it is not connected any more.
        let _ = rustix::net::shutdown(self, Shutdown::Both);
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}

/// Polls until something is ready or time is up. `None` waits for ever.
pub(crate) fn poll_until(
    watched: &mut [PollFd<'_>],
    until: Option<Instant>,
) -> Result<usize, Errno> {
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    let left = left.map(|left| Timespec {
        // What overflows is for ever, near enough.
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    });
    poll(watched, left.as_ref())
}

/// Wakes the thread that waits on the socket.
#[derive(Debug)]
pub(crate) struct Waker(WakerEnds);

#[cfg(any(target_os = "linux", target_os = "android"))]
type WakerEnds = OwnedFd;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
type WakerEnds = (OwnedFd, OwnedFd);

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        use rustix::event::{EventfdFlags, eventfd};
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    pub(crate) fn wake(&self) {
        // Full means that it is awake.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    fn reset(&self) {
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        Ok(Self((reader.into(), writer.into())))
    }

    pub(crate) fn wake(&self) {
        let _ = rustix::io::write(&self.0.1, &[1]);
    }

    fn reset(&self) {
        while rustix::io::read(&self.0.0, &mut [0; 64]).is_ok_and(|count| count > 0) {}
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}
