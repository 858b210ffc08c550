//! Connections that the caller makes: over a proxy of one's own, vsock, a WebSocket, a pipe, or a
//! socket that is there already.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use socket2::{SockRef, Type};

use crate::Target;

/// Makes the connections that sessions go over, in place of our own to the target's host and port:
/// one for each dial, as a pool opens several and replaces those that died.
///
/// The target's name is not looked up then, but its host keys are still looked up by host and port
/// ([`HostKeys::alias`](crate::HostKeys::alias) sets another name). The time that making a
/// connection takes counts against [`Options::connect_timeout`](crate::Options::connect_timeout).
/// An [`io::Error`] means to a pool what it means of a TCP connect: [`ConnectionRefused`] says that
/// nobody is there, most others are tried again.
///
/// Clones are the same transport, and their sessions may be shared; two that were made apart are
/// two, whatever they do.
///
/// ```
/// use std::os::unix::net::UnixStream;
///
/// use ssh_session::{Auth, Options, Route, Target, Transport};
///
/// let socket = Transport::sockets(|_| UnixStream::connect("/run/ssh-unix-local/socket"));
/// let target = Target::new("container.example.com", 22, "deploy")?;
/// let options = Options::new(target).auth(Auth::Agent).route(Route::Transport(socket));
/// # Ok::<(), ssh_session::SshError>(())
/// ```
///
/// [`ConnectionRefused`]: io::ErrorKind::ConnectionRefused
#[derive(Clone)]
pub struct Transport {
    dial: Dial,
    /// Tells it from others.
    number: u64,
}

#[derive(Clone)]
enum Dial {
    Socket(Arc<MakeSocket>),
    #[cfg(feature = "streams")]
    Stream(Arc<streams::MakeStream>),
}

type MakeSocket = dyn Fn(&Target) -> io::Result<OwnedFd> + Send + Sync;

/// A connected socket that a [`Transport`] made.
#[derive(Debug)]
pub struct OwnSocket {
    /// The socket itself.
    pub descriptor: OwnedFd,
    /// Whether it is one of TCP.
    pub is_tcp: bool,
}

impl Transport {
    /// Connected stream sockets of whatever family: `TcpStream`, `UnixStream`, an `OwnedFd`. For
    /// threads and for tasks. `dial` runs on a thread where it may wait; where it takes longer than
    /// it may, nobody waits for it any more, and what it makes is closed.
    ///
    /// A socket has to be the caller's no more: it is made non-blocking, shut down and closed; one of
    /// TCP gets the options that our own have (`TCP_NODELAY`, `SO_KEEPALIVE`).
    pub fn sockets<S: Into<OwnedFd>>(
        dial: impl Fn(&Target) -> io::Result<S> + Send + Sync + 'static,
    ) -> Self {
        Self::new(Dial::Socket(Arc::new(move |target| dial(target).map(Into::into))))
    }

    fn new(dial: Dial) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { dial, number: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// A number that no other transport of this process has, but for clones.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether it makes sockets, which every backend can take.
    pub fn makes_sockets(&self) -> bool {
        matches!(self.dial, Dial::Socket(_))
    }

    /// Makes a socket; may wait.
    ///
    /// # Errors
    ///
    /// The caller's own, and where what was made is no connected stream socket.
    pub fn socket(&self, target: &Target) -> io::Result<OwnSocket> {
        let unfit = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, why.to_owned());
        let descriptor = match &self.dial {
            Dial::Socket(dial) => dial(target)?,
            #[cfg(feature = "streams")]
            Dial::Stream(_) => {
                return Err(unfit(
                    "the transport makes streams for tasks, and threads need sockets",
                ));
            }
        };
        let socket = SockRef::from(&descriptor);
        if !socket.r#type().is_ok_and(|kind| kind == Type::STREAM) {
            return Err(unfit("the transport made something that is no stream socket"));
        }
        let is_tcp = match socket.peer_addr() {
            Ok(peer) => peer.is_ipv4() || peer.is_ipv6(),
            Err(error) => {
                let text = format!("the transport made a socket that is not connected: {error}");
                return Err(unfit(&text));
            }
        };
        Ok(OwnSocket { descriptor, is_tcp })
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transport(#{})", self.number)
    }
}

#[cfg(feature = "streams")]
mod streams {
    use std::io;
    use std::pin::Pin;
    use std::sync::Arc;

    use tokio::io::{AsyncRead, AsyncWrite};

    use super::{Dial, Transport};
    use crate::Target;

    /// What tasks can read and write.
    pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

    impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

    /// A connection that tasks read and write.
    pub type OwnStream = Box<dyn Stream>;

    /// The future of one.
    pub type Streaming = Pin<Box<dyn Future<Output = io::Result<OwnStream>> + Send>>;

    pub(super) type MakeStream = dyn Fn(&Target) -> Streaming + Send + Sync;

    impl Transport {
        /// Whatever tasks can read and write: TLS, a WebSocket, one end of
        /// [`tokio::io::duplex`]. For sessions over russh, those of threads included (which go
        /// over its runtime); libssh2 needs [`sockets`](Self::sockets).
        ///
        /// `dial` is polled on the runtime of whoever opens the session, and dropped where it takes
        /// longer than it may. That a stream has ended is known once the runtime has read its end; of a
        /// socket the system tells it at once. The stream is flushed after each write, as with
        /// [`tokio::io::copy_bidirectional`], shut down at the session's end, and dropped a second later at
        /// most.
        ///
        /// ```
        /// use ssh_session::Transport;
        /// use tokio::io::duplex;
        ///
        /// # fn serve(_: tokio::io::DuplexStream) {}
        /// let pipe = Transport::streams(|_target| async {
        ///     let (ours, theirs) = duplex(64 * 1024);
        ///     serve(theirs);
        ///     Ok(ours)
        /// });
        /// ```
        pub fn streams<F, S>(dial: impl Fn(&Target) -> F + Send + Sync + 'static) -> Self
        where
            F: Future<Output = io::Result<S>> + Send + 'static,
            S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        {
            let boxed = move |target: &Target| {
                let making = dial(target);
                let making = async move { Ok(Box::new(making.await?) as OwnStream) };
                Box::pin(making) as Streaming
            };
            Self::new(Dial::Stream(Arc::new(boxed)))
        }

        /// Begins to make a stream; `None` where the transport makes sockets.
        pub fn stream(&self, target: &Target) -> Option<Streaming> {
            match &self.dial {
                Dial::Stream(dial) => Some(dial(target)),
                Dial::Socket(_) => None,
            }
        }
    }
}

#[cfg(feature = "streams")]
pub use streams::{OwnStream, Stream, Streaming};

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::Transport;
    use crate::{Auth, Options, Route, Target};

    fn target() -> Target {
        Target::new("h", 22, "u").expect("valid")
    }

    #[test]
    fn a_socket_is_taken_as_what_it_is_and_anything_else_refused_in_words() {
        let pair = Transport::sockets(|_| Ok(UnixStream::pair()?.0));
        assert!(!pair.socket(&target()).expect("a socket").is_tcp);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let tcp = Transport::sockets(move |_| TcpStream::connect(address));
        assert!(tcp.socket(&target()).expect("a socket").is_tcp);
        let file = Transport::sockets(|_| Ok(OwnedFd::from(std::fs::File::open("/dev/null")?)));
        let datagrams = Transport::sockets(|_| UdpSocket::bind("127.0.0.1:0"));
        let listening = Transport::sockets(|_| TcpListener::bind("127.0.0.1:0"));
        for (unfit, why) in
            [(file, "no stream socket"), (datagrams, "no stream socket"), (listening, "connected")]
        {
            let error = unfit.socket(&target()).expect_err(why);
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn sessions_over_one_transport_are_shared_and_those_over_another_are_not() {
        let over = |transport: &Transport| {
            let route = Route::Transport(transport.clone());
            Options::new(target()).auth(Auth::Agent).route(route).identity()
        };
        let make = || Transport::sockets(|_| Ok(UnixStream::pair()?.0));
        let (one, other) = (make(), make());
        assert_eq!(over(&one), over(&one.clone()));
        assert_ne!(over(&one), over(&other));
        let direct = Options::new(target()).auth(Auth::Agent).identity();
        assert_ne!(over(&one), direct);
    }
}
