//! A connection as a script sees it.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::seal::Seal;

/// How long a client may say nothing, and how long it may take nothing: then the script ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection of a client.
pub struct Wire {
    pub(super) stream: TcpStream,
    pub(super) outgoing: Seal,
    pub(super) incoming: Seal,
    /// What both sides call themselves.
    pub(super) greetings: (Vec<u8>, Vec<u8>),
    pub(super) session: Option<Vec<u8>>,
    /// What the client offered last, as it came.
    pub(super) offer: Vec<u8>,
    /// The client's half of the last exchange.
    pub(super) ephemeral: Vec<u8>,
    /// Packets that were passed over, to be received yet.
    kept: VecDeque<Vec<u8>>,
}

/// What goes into a packet, put together.
#[derive(Clone, Debug, Default)]
pub struct Packet(pub Vec<u8>);

impl Packet {
    /// One of this type (RFC 4250, 4.1.2).
    pub fn new(kind: u8) -> Self {
        Self(vec![kind])
    }

    /// Adds one byte.
    #[must_use]
    pub fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    /// Adds a number.
    #[must_use]
    pub fn number(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// Adds a string, with its length before it.
    #[must_use]
    pub fn string(self, string: impl AsRef<[u8]>) -> Self {
        let string = string.as_ref();
        let mut packet = self.number(u32::try_from(string.len()).unwrap_or(u32::MAX));
        packet.0.extend_from_slice(string);
        packet
    }
}

/// Takes a string off the front.
pub(super) fn take<'a>(rest: &mut &'a [u8]) -> io::Result<&'a [u8]> {
    let cut = || {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        behind.split_at_checked(u32::from_be_bytes(*length) as usize)
    };
    let (string, behind) = cut().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    *rest = behind;
    Ok(string)
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            outgoing: Seal::default(),
            incoming: Seal::default(),
            greetings: Default::default(),
            session: None,
            offer: Vec::new(),
            ephemeral: Vec::new(),
            kept: VecDeque::new(),
        })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// Those of the socket, as everywhere here.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a packet.
    pub fn send(&mut self, packet: &Packet) -> io::Result<()> {
        let packet = self.outgoing.close(&packet.0, None);
        self.stream.write_all(&packet)
    }

    /// Sends a packet that lies about its length.
    pub fn send_lying(&mut self, packet: &Packet, length: u32) -> io::Result<()> {
        let packet = self.outgoing.close(&packet.0, Some(length));
        self.stream.write_all(&packet)
    }

    /// Sends a packet over and over, many at a time, until the client takes no more, or `count`
    /// are sent.
    pub fn flood(&mut self, packet: &Packet, count: usize) -> io::Result<()> {
        let mut buffer = Vec::new();
        for _ in 0..count {
            buffer.extend(self.outgoing.close(&packet.0, None));
            if buffer.len() >= 1 << 16 {
                self.stream.write_all(&buffer)?;
                buffer.clear();
            }
        }
        self.stream.write_all(&buffer)
    }

    /// The next packet's payload.
    pub fn receive(&mut self) -> io::Result<Vec<u8>> {
        if let Some(packet) = self.kept.pop_front() {
            return Ok(packet);
        }
        self.incoming.open(&mut self.stream)
    }

    /// Takes packets until one of this type comes.
    pub fn receive_kind(&mut self, kind: u8) -> io::Result<Vec<u8>> {
        loop {
            let packet = self.receive()?;
            if packet.first() == Some(&kind) {
                return Ok(packet);
            }
        }
    }

    /// The next packet of this type; those before it are left to be received.
    pub fn receive_ahead(&mut self, kind: u8) -> io::Result<Vec<u8>> {
        loop {
            let packet = self.incoming.open(&mut self.stream)?;
            if packet.first() == Some(&kind) {
                return Ok(packet);
            }
            self.kept.push_back(packet);
        }
    }

    /// The session's identifier (RFC 4253, 7.2); empty before keys are agreed on.
    pub fn session_id(&self) -> Vec<u8> {
        self.session.clone().unwrap_or_default()
    }

    /// Reads whatever the client sends, until it hangs up.
    pub fn wait(&mut self) -> io::Result<()> {
        while self.stream.read(&mut [0; 4096])? > 0 {}
        Ok(())
    }

    /// What the client offered in its last KEXINIT: its lists, in the order of RFC 4253, 7.1.
    pub fn offers(&self) -> io::Result<Vec<String>> {
        let mut rest = self.offer.get(17..).unwrap_or_default();
        (0..10).map(|_| Ok(String::from_utf8_lossy(take(&mut rest)?).into_owned())).collect()
    }

    /// The client's random cookie and its half of the last exchange of keys.
    pub fn secrets_of_client(&self) -> (Vec<u8>, Vec<u8>) {
        (self.offer.get(1..17).unwrap_or_default().to_vec(), self.ephemeral.clone())
    }

    /// Ends the connection.
    pub fn hang_up(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("stream", &self.stream).finish_non_exhaustive()
    }
}
