//! A network device, as far as its users see one: a prompt, an echo, a pager, and no commands but
//! what is typed.

use std::mem::take;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use russh::ChannelWriteHalf;
use russh::server::{Handle, Msg};
use tokio::sync::oneshot;

use super::inbox::InboxReader;
use super::shared::{Shared, Slot, TaskGuard};

/// What the pager says, and what it takes it away with.
const MORE: &[u8] = b" --More-- ";
const NO_MORE: &[u8] =
    b"\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08          \x08\x08\x08\x08\x08\x08\x08\x08\x08\x08";

/// Lines of the longest output there is: `show running-config`.
pub const CONFIG_LINES: usize = 100;

/// A device that serves shells alone, to be given to
/// [`device`](super::EmbeddedServerBuilder::device).
///
/// It echoes what is typed, knows `show version`, `show running-config` (`interface 1` to `interface
/// 100`), `enable` (which asks for a secret), `terminal length 0`, `exit`, and stops what is longer
/// than its terminal at ` --More-- ` until a key is pressed: space for a page, return for a line, `q`
/// for no more.
#[derive(Clone, Debug)]
pub struct Device {
    pub(super) secret: String,
    pub(super) pace: Duration,
}

impl Device {
    /// A device with this secret for `enable`.
    pub fn new(secret: impl Into<String>) -> Self {
        Self { secret: secret.into(), pace: Duration::ZERO }
    }

    /// Writes one byte in so much time, as over a serial line. Default: no time.
    pub fn pace(mut self, pace: Duration) -> Self {
        self.pace = pace;
        self
    }
}

/// What a device's channel holds; dropping it ends the device's shell.
#[derive(Debug)]
pub(super) struct DeviceShell {
    pub(super) rows: Arc<AtomicU32>,
    alive: oneshot::Sender<()>,
}

impl DeviceShell {
    pub(super) fn has_ended(&self) -> bool {
        self.alive.is_closed()
    }
}

/// Starts a device's shell in a channel.
pub(super) fn start(
    device: Device,
    rows: u32,
    (mut input, channel): (InboxReader, ChannelWriteHalf<Msg>),
    session: Handle,
    slot: Slot,
    shared: Arc<Shared>,
) -> DeviceShell {
    let rows = Arc::new(AtomicU32::new(rows));
    let (alive, gone) = oneshot::channel();
    let mut screen = Screen::new(device.secret, Arc::clone(&rows));
    let work = async move {
        let _task = TaskGuard::new(&shared);
        let mut output = screen.greet();
        loop {
            let pieces = if device.pace.is_zero() { output.len().max(1) } else { 1 };
            for piece in output.chunks(pieces) {
                if channel.data_bytes(piece.to_vec()).await.is_err() {
                    return;
                }
                tokio::time::sleep(device.pace).await;
            }
            if screen.over {
                break;
            }
            let Some(typed) = input.recv().await else { break };
            output = screen.typed(&typed);
        }
        let _ = session.exit_status_request(channel.id(), 0).await;
        let _ = session.eof(channel.id()).await;
        drop(slot);
        let _ = session.close(channel.id()).await;
    };
    tokio::spawn(async move {
        tokio::select! {
            () = work => {}
            _ = gone => {}
        }
    });
    DeviceShell { rows, alive }
}

/// What the device shows.
struct Screen {
    secret: String,
    rows: Arc<AtomicU32>,
    paged: bool,
    enabled: bool,
    state: State,
    line: Vec<u8>,
    after_return: bool,
    over: bool,
}

enum State {
    Prompt,
    Secret,
    /// Lines that are still to be shown, the last one first.
    More(Vec<String>),
}

impl Screen {
    fn new(secret: String, rows: Arc<AtomicU32>) -> Self {
        let (state, line) = (State::Prompt, Vec::new());
        let (paged, enabled, after_return, over) = (true, false, false, false);
        Self { secret, rows, paged, enabled, state, line, after_return, over }
    }

    fn greet(&self) -> Vec<u8> {
        [b"\r\nAuthorised use only.\r\n\r\n", self.prompt()].concat()
    }

    fn prompt(&self) -> &'static [u8] {
        if self.enabled { b"router# " } else { b"router> " }
    }

    fn typed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for byte in bytes {
            let ends_twice = *byte == b'\n' && take(&mut self.after_return);
            self.after_return = *byte == b'\r';
            if !ends_twice && !self.over {
                self.key(*byte, &mut out);
            }
        }
        out
    }

    fn key(&mut self, key: u8, out: &mut Vec<u8>) {
        if let State::More(lines) = &mut self.state {
            let lines = take(lines);
            out.extend_from_slice(NO_MORE);
            match key {
                b' ' => self.show(lines, self.page(), out),
                b'\r' | b'\n' => self.show(lines, 1, out),
                _ => self.ready(out),
            }
            return;
        }
        let echo = matches!(self.state, State::Prompt);
        match key {
            b'\r' | b'\n' => {
                out.extend_from_slice(b"\r\n");
                let line = String::from_utf8_lossy(&take(&mut self.line)).into_owned();
                self.entered(&line, out);
            }
            0x03 => {
                self.line.clear();
                out.extend_from_slice(b"^C\r\n");
                self.ready(out);
            }
            0x08 | 0x7f => {
                if self.line.pop().is_some() && echo {
                    out.extend_from_slice(b"\x08 \x08");
                }
            }
            _ if self.line.len() < 1000 => {
                self.line.push(key);
                if echo {
                    out.push(key);
                }
            }
            _ => out.push(7),
        }
    }

    fn entered(&mut self, line: &str, out: &mut Vec<u8>) {
        if matches!(self.state, State::Secret) {
            self.enabled = line == self.secret;
            if !self.enabled {
                out.extend_from_slice(b"% Bad secrets\r\n");
            }
            return self.ready(out);
        }
        match line.trim() {
            "show version" => out.extend_from_slice(b"Test OS, version 1.0\r\n"),
            "show running-config" if self.enabled => {
                let lines = (1..=CONFIG_LINES).rev().map(|n| format!("interface {n}\r\n"));
                return self.show(lines.collect(), self.page(), out);
            }
            "terminal length 0" => self.paged = false,
            "enable" => {
                self.state = State::Secret;
                return out.extend_from_slice(b"Password: ");
            }
            "exit" => {
                self.over = true;
                return;
            }
            "" => {}
            _ => out.extend_from_slice(b"% Unknown command\r\n"),
        }
        self.ready(out);
    }

    /// As many lines as go on the terminal with the pager's own.
    fn page(&self) -> usize {
        let rows = usize::try_from(self.rows.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        if self.paged { rows.saturating_sub(1).max(1) } else { usize::MAX }
    }

    fn show(&mut self, mut lines: Vec<String>, most: usize, out: &mut Vec<u8>) {
        for line in lines.drain(lines.len().saturating_sub(most)..).rev() {
            out.extend_from_slice(line.as_bytes());
        }
        if lines.is_empty() {
            return self.ready(out);
        }
        out.extend_from_slice(MORE);
        self.state = State::More(lines);
    }

    fn ready(&mut self, out: &mut Vec<u8>) {
        self.state = State::Prompt;
        out.extend_from_slice(self.prompt());
    }
}
