//! Who listens behind a server: what tunnels lead to.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ssh_session::tunnel::Destination;

/// A port of this machine, which does the same with each connection to it. It stays until the test
/// ends.
pub(super) struct Peer {
    address: SocketAddr,
    /// Bytes that it has sent, to all.
    sent: Arc<AtomicUsize>,
    /// Connections that it has seen end.
    ended: Arc<AtomicUsize>,
}

impl Peer {
    /// Sends back what it is sent, and ends when that ends.
    pub(super) fn echo() -> Self {
        Self::new(|mut stream, sent| {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                stream.write_all(&buffer[..count])?;
                sent.fetch_add(count, Ordering::Relaxed);
            }
            stream.shutdown(Shutdown::Write)
        })
    }

    /// Reads to the end, and only then says how many bytes that were.
    pub(super) fn count() -> Self {
        Self::new(|mut stream, _| {
            let read = io::copy(&mut stream, &mut io::sink())?;
            stream.write_all(read.to_string().as_bytes())
        })
    }

    /// Sends this, over and over, until so many bytes are sent, and ends.
    pub(super) fn source(bytes: Vec<u8>, total: usize) -> Self {
        Self::new(move |mut stream, sent| {
            let mut left = total;
            while left > 0 {
                let piece = &bytes[..bytes.len().min(left)];
                stream.write_all(piece)?;
                left -= piece.len();
                sent.fetch_add(piece.len(), Ordering::Relaxed);
            }
            stream.shutdown(Shutdown::Write)?;
            // Until the other side has ended, too.
            io::copy(&mut stream, &mut io::sink()).map(drop)
        })
    }

    /// Says something, and reads nothing but the end.
    pub(super) fn greets(greeting: &'static str) -> Self {
        Self::new(move |mut stream, _| {
            stream.write_all(greeting.as_bytes())?;
            io::copy(&mut stream, &mut io::sink()).map(drop)
        })
    }

    /// Says something and closes each connection.
    pub(super) fn closes() -> Self {
        Self::new(|mut stream, _| stream.write_all(b"bye"))
    }

    fn new(
        serve: impl Fn(TcpStream, &AtomicUsize) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (sent, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (serve, counts) = (Arc::new(serve), (Arc::clone(&sent), Arc::clone(&ended)));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let (serve, (sent, ended)) = (Arc::clone(&serve), counts.clone());
                thread::spawn(move || {
                    let _ = serve(stream, &sent);
                    ended.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        Self { address, sent, ended }
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(super) fn destination(&self) -> Destination {
        Destination::tcp("127.0.0.1", self.port())
    }

    pub(super) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    pub(super) fn ended(&self) -> usize {
        self.ended.load(Ordering::Relaxed)
    }
}

/// A port on which nobody listens.
pub(super) fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A port that answers no connection, until this is dropped: its queue is full.
pub(super) struct BlackHole {
    port: u16,
    _full: (socket2::Socket, Vec<socket2::Socket>),
}

impl BlackHole {
    pub(super) fn new() -> Self {
        let stream = || {
            let kind = (socket2::Domain::IPV4, socket2::Type::STREAM);
            socket2::Socket::new(kind.0, kind.1, None).expect("a socket")
        };
        let listener = stream();
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        listener.bind(&any.into()).expect("bound");
        listener.listen(0).expect("listening");
        let address = listener.local_addr().expect("an address");
        let waiting: Vec<_> = (0..8)
            .map(|_| {
                let socket = stream();
                socket.set_nonblocking(true).expect("set");
                let _ = socket.connect(&address);
                socket
            })
            .collect();
        let port = address.as_socket().expect("an address").port();
        Self { port, _full: (listener, waiting) }
    }

    pub(super) fn destination(&self) -> Destination {
        Destination::tcp("127.0.0.1", self.port)
    }
}
