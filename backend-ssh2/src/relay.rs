//! A jump host at work: a thread that moves bytes between a channel, behind which the next host is,
//! and one end of a socket pair, on whose other end the next session runs.
//!
//! No more is taken from either side than the other one takes. The thread ends with either side, and
//! shuts the other one down; so a chain of hops falls from either end to the other.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::thread;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::Shutdown;
use ssh_session::Target;

use crate::jump_session::JumpSession;
use crate::socket::{SEND_FLAGS, Socket, poll_until};
use crate::way::Way;

/// How much is moved at once: as much as libssh2 puts into one packet.
const CHUNK: usize = 32 * 1024;

struct Relay {
    hop: JumpSession,
    near: UnixStream,
    /// From the near end, on its way into the channel.
    up: Chunk,
    /// From the channel, on its way to the near end.
    down: Chunk,
}

/// Bytes of which some are still to be moved.
struct Chunk {
    bytes: Box<[u8]>,
    from: usize,
    to: usize,
}

/// Why a relay is over.
#[derive(Debug)]
enum End {
    /// The session through it ended.
    Near,
    /// The next host ended the connection.
    Far,
    /// The hop did not hold out.
    JumpSession(String),
}

/// Starts a thread that owns the hop on this target. The next session goes the way that leads into
/// it.
pub(crate) fn start(hop: JumpSession, target: Target) -> io::Result<Way> {
    let (ours, near) = UnixStream::pair()?;
    let way = Way::over(Socket::pair(ours)?);
    near.set_nonblocking(true)?;
    let fate = way.fate.clone();
    let mut relay = Relay { hop, near, up: Chunk::new(), down: Chunk::new() };
    thread::Builder::new().name("hussh-jump".into()).spawn(move || {
        let end = relay.run();
        tracing::debug!(%target, ?end, "jump over");
        if let End::JumpSession(end) = end {
            // That of a hop before this one is the cause.
            let own = || format!("jump host {target}: {end}");
            fate.get_or_init(|| relay.hop.fate().unwrap_or_else(own));
        }
    })?;
    Ok(way)
}

impl Relay {
    /// Works until either side has ended, and says why.
    fn run(&mut self) -> End {
        loop {
            let moved = self.turn().and_then(|moved| if moved { Ok(()) } else { self.wait() });
            if let Err(end) = moved {
                return end;
            }
        }
    }

    /// Moves what can be moved without waiting. Whether that was anything.
    fn turn(&mut self) -> Result<bool, End> {
        self.hop.beat().map_err(End::JumpSession)?;
        let up = self.move_up()?;
        let down = self.move_down()?;
        Ok(up || down)
    }

    fn move_up(&mut self) -> Result<bool, End> {
        if self.up.is_empty() {
            match self.near.read(&mut self.up.bytes) {
                Ok(count @ 1..) => self.up.filled(count),
                Err(error) if is_again(&error) => return Ok(false),
                Ok(0) | Err(_) => return Err(End::Near),
            }
        }
        let count = self.hop.write(self.up.rest()).map_err(End::JumpSession)?;
        self.up.from += count;
        Ok(count > 0)
    }

    fn move_down(&mut self) -> Result<bool, End> {
        if self.down.is_empty() {
            match self.hop.read(&mut self.down.bytes).map_err(End::JumpSession)? {
                Some(0) => return Err(End::Far),
                Some(count) => self.down.filled(count),
                None => return Ok(false),
            }
        } else {
            self.hop.drain_input().map_err(End::JumpSession)?;
        }
        match rustix::net::send(&self.near, self.down.rest(), SEND_FLAGS) {
            Ok(count) => {
                self.down.from += count;
                Ok(true)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(_) => Err(End::Near),
        }
    }

    fn wait(&self) -> Result<(), End> {
        let mut events = PollFlags::empty();
        events.set(PollFlags::IN, self.up.is_empty());
        events.set(PollFlags::OUT, !self.down.is_empty());
        let mut watched = vec![PollFd::new(&self.near, events)];
        watched.extend(self.hop.watched());
        // An interrupted or failed wait is a short wait: the next turn looks anew anyhow.
        let _ = poll_until(&mut watched, self.hop.next_beat());
        // Otherwise the next turn reads what is left, and the end behind it.
        if watched[0].revents().contains(PollFlags::HUP) && !self.up.is_empty() {
            return Err(End::Near);
        }
        Ok(())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Before the hop says goodbye. Fails only where it is not connected any more.
        let _ = rustix::net::shutdown(&self.near, Shutdown::Both);
    }
}

impl Chunk {
    fn new() -> Self {
        Self { bytes: vec![0; CHUNK].into(), from: 0, to: 0 }
    }

    fn is_empty(&self) -> bool {
        self.from == self.to
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.from..self.to]
    }

    /// So many bytes were put in from the start.
    fn filled(&mut self, count: usize) {
        (self.from, self.to) = (0, count);
    }
}

fn is_again(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
