//! An SSH server that says what a script says, right or wrong.
//!
//! It knows one way to agree on keys (curve25519-sha256), one cipher (aes256-ctr) and one MAC
//! (hmac-sha2-256-etm@openssh.com), which every client has. A script gets a [`Wire`] for each connection: it greets,
//! agrees on keys, lets in and runs commands by the steps there are for that, and sends whatever
//! bytes or packets it likes in between.
//!
//! ```no_run
//! use test_servers::scripted::{Kex, ScriptedServer};
//!
//! let server = ScriptedServer::start(|wire| {
//!     wire.begin(&Kex::default())?;
//!     let command = wire.command()?;
//!     wire.finish(command, 0)
//! })?;
//! println!("ssh -p {} anybody@127.0.0.1", server.addr().port());
//! # Ok::<(), std::io::Error>(())
//! ```

mod keys;
mod seal;
mod steps;
mod wire;

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

pub use keys::Kex;
pub use wire::{Packet, Wire};

/// What is done with each connection. An error ends it, as does the script's end.
pub type Script = dyn Fn(&mut Wire) -> io::Result<()> + Send + Sync;

/// A running server; stopped when dropped, with all its connections.
#[derive(Debug)]
pub struct ScriptedServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    stopped: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl ScriptedServer {
    /// Listens on a free port of the loopback address, with a thread for each connection.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub fn start(
        script: impl Fn(&mut Wire) -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let (script, own) = (Arc::new(script), Arc::clone(&shared));
        thread::Builder::new().name("scripted".into()).spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let Ok(twin) = stream.try_clone() else { continue };
                let mut streams = own.streams.lock().unwrap_or_else(PoisonError::into_inner);
                streams.push(twin);
                if own.stopped.load(Ordering::SeqCst) {
                    return;
                }
                drop(streams);
                let script = Arc::clone(&script);
                thread::spawn(move || {
                    // How a connection ended is the client's story.
                    if let Ok(mut wire) = Wire::new(stream) {
                        let _ = script(&mut wire);
                        wire.hang_up();
                    }
                });
            }
        })?;
        Ok(Self { address, shared })
    }

    /// Host and port.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the listener, which ends.
        let _ = TcpStream::connect(self.address);
        let mut streams = self.shared.streams.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
