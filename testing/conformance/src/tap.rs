//! What a client and a server offer each other, listened to on the way: it is said in clear.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use ssh_session::{Lists, Opening, is_aead};

/// A way to a server, on which one listens in.
#[derive(Debug)]
pub struct Tap {
    address: SocketAddr,
    heard: Arc<Mutex<[Opening; 2]>>,
}

/// What a client and a server come to (RFC 4253, 7.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The key exchange.
    pub kex: String,
    /// The host key's algorithm.
    pub host_key: String,
    /// The cipher from the server.
    pub cipher: String,
    /// The MAC from the server; `None` where the cipher has its own.
    pub mac: Option<String>,
}

impl Tap {
    /// Listens, and passes on what comes. Only the last connection counts.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let tap = Self { address: listener.local_addr()?, heard: Arc::default() };
        let heard = Arc::clone(&tap.heard);
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let Ok(server) = TcpStream::connect(server) else { return };
                *heard.lock().unwrap_or_else(PoisonError::into_inner) = Default::default();
                let twins = (client.try_clone(), server.try_clone());
                let (Ok(client_twin), Ok(server_twin)) = twins else { return };
                let own = Arc::clone(&heard);
                thread::spawn(move || pass(client, server, &own, 0));
                let own = Arc::clone(&heard);
                thread::spawn(move || pass(server_twin, client_twin, &own, 1));
            }
        });
        Ok(tap)
    }

    /// Where to connect to.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// What the client of the last connection offered, if it got so far.
    pub fn offered(&self) -> Option<Lists> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard[0].lists().cloned()
    }

    /// What both came to.
    pub fn agreed(&self) -> Option<Agreed> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let (ours, theirs) = (heard[0].lists()?, heard[1].lists()?);
        let first = |ours: &[String], theirs: &[String]| {
            ours.iter().find(|name| theirs.contains(name)).cloned()
        };
        let cipher = first(&ours.ciphers[1], &theirs.ciphers[1])?;
        let mac = match is_aead(&cipher) {
            true => None,
            false => Some(first(&ours.macs[1], &theirs.macs[1])?),
        };
        Some(Agreed {
            kex: first(&ours.kex, &theirs.kex)?,
            host_key: first(&ours.host_keys, &theirs.host_keys)?,
            cipher,
            mac,
        })
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, heard: &Mutex<[Opening; 2]>, side: usize) {
    let mut buffer = [0; 32 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        // What it is, is for those to say who listen.
        let _ = heard.lock().unwrap_or_else(PoisonError::into_inner)[side].read(&buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
