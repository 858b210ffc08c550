//! What a server does that means no harm: letting a client in, and running its commands.

use std::io;

use super::keys::Kex;
use super::wire::{Packet, Wire, take};

const SERVICE_REQUEST: u8 = 5;
const SERVICE_ACCEPT: u8 = 6;
const AUTH_REQUEST: u8 = 50;
const AUTH_FAILURE: u8 = 51;
const AUTH_SUCCESS: u8 = 52;
const GLOBAL_REQUEST: u8 = 80;
const REQUEST_FAILURE: u8 = 82;
const CHANNEL_OPEN: u8 = 90;
const CHANNEL_CONFIRMATION: u8 = 91;
const CHANNEL_DATA: u8 = 94;
const CHANNEL_EXTENDED_DATA: u8 = 95;
const CHANNEL_EOF: u8 = 96;
const CHANNEL_CLOSE: u8 = 97;
const CHANNEL_REQUEST: u8 = 98;
const CHANNEL_SUCCESS: u8 = 99;

/// As much as a client may send on a channel, ever.
const WINDOW: u32 = 1 << 30;

impl Wire {
    /// Agrees on keys and lets the client in, whoever it is.
    ///
    /// # Errors
    ///
    /// Where the client won't have it.
    pub fn begin(&mut self, kex: &Kex) -> io::Result<()> {
        self.shake_hands(kex)?;
        self.let_in()
    }

    /// Lets the client in with the first password it sends.
    pub fn let_in(&mut self) -> io::Result<()> {
        self.serve_login()?;
        loop {
            let request = self.receive_kind(AUTH_REQUEST)?;
            let mut rest = request.get(1..).unwrap_or_default();
            let (_user, _service) = (take(&mut rest)?, take(&mut rest)?);
            if take(&mut rest)? == b"password" {
                return self.send(&Packet::new(AUTH_SUCCESS));
            }
            self.send(&Packet::new(AUTH_FAILURE).string("password").byte(0))?;
        }
    }

    /// Agrees to log the client in.
    pub fn serve_login(&mut self) -> io::Result<()> {
        let request = self.receive_kind(SERVICE_REQUEST)?;
        let service = take(&mut request.get(1..).unwrap_or_default())?.to_vec();
        self.send(&Packet::new(SERVICE_ACCEPT).string(service))
    }

    /// Opens every channel that is wanted, until a command or a subsystem is to be run: the client's
    /// number of its channel.
    pub fn command(&mut self) -> io::Result<u32> {
        loop {
            let packet = self.receive()?;
            let mut rest = packet.get(1..).unwrap_or_default();
            match packet.first() {
                Some(&CHANNEL_OPEN) => {
                    take(&mut rest)?;
                    let channel = number(rest)?;
                    let answer = Packet::new(CHANNEL_CONFIRMATION).number(channel).number(channel);
                    self.send(&answer.number(WINDOW).number(32_768))?;
                }
                Some(&CHANNEL_REQUEST) => {
                    let channel = number(rest)?;
                    let mut rest = rest.get(4..).unwrap_or_default();
                    let is_command = matches!(take(&mut rest)?, b"exec" | b"subsystem");
                    if rest.first() != Some(&0) {
                        self.send(&Packet::new(CHANNEL_SUCCESS).number(channel))?;
                    }
                    if is_command {
                        return Ok(channel);
                    }
                }
                Some(&GLOBAL_REQUEST) => {
                    take(&mut rest)?;
                    if rest.first() != Some(&0) {
                        self.send(&Packet::new(REQUEST_FAILURE))?;
                    }
                }
                _ => {}
            }
        }
    }

    /// Writes to a command's output.
    pub fn write(&mut self, channel: u32, bytes: &[u8]) -> io::Result<()> {
        self.send(&Packet::new(CHANNEL_DATA).number(channel).string(bytes))
    }

    /// Writes extended data; 1 is standard error.
    pub fn write_extended(&mut self, channel: u32, kind: u32, bytes: &[u8]) -> io::Result<()> {
        self.send(&Packet::new(CHANNEL_EXTENDED_DATA).number(channel).number(kind).string(bytes))
    }

    /// Ends a command with an exit code.
    pub fn finish(&mut self, channel: u32, code: u32) -> io::Result<()> {
        let status = Packet::new(CHANNEL_REQUEST).number(channel).string("exit-status").byte(0);
        self.send(&status.number(code))?;
        self.send(&Packet::new(CHANNEL_EOF).number(channel))?;
        self.send(&Packet::new(CHANNEL_CLOSE).number(channel))
    }

    /// Runs each command that comes as `echo works`.
    pub fn serve(&mut self) -> io::Result<()> {
        loop {
            let channel = self.command()?;
            self.write(channel, b"works\n")?;
            self.finish(channel, 0)?;
        }
    }
}

fn number(rest: &[u8]) -> io::Result<u32> {
    let number = rest.first_chunk().map(|number| u32::from_be_bytes(*number));
    number.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}
