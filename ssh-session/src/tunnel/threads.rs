//! Local port forwarding on threads: one accepts, and each connection has two, a direction each.
//!
//! No lock is held while any of them waits, so that commands on the same session go on beside them.
//! What one side does not take is not read from the other.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;

use super::socks::{self, SocksHandshake, SocksStep};
use super::{Destination, ForwardSlot, ForwardState, Forwarding, LocalForward, Tunnel};
use crate::{Session, SshError, TunnelProblem};

/// As much of what a client sends is read at once.
const PIECE: usize = 64 * 1024;

/// How long a client may take for each part of a SOCKS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a client that takes nothing is left, to see whether the forwarding is over.
const LOOK: Duration = Duration::from_millis(250);

/// How long accepting pauses where this process has no descriptor or thread left.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Listens, and has the session carry on what connects, until the guard is dropped.
///
/// # Errors
///
/// [`SshError::InvalidInput`] where the forwarding makes no sense, or its address cannot be listened
/// on.
pub fn forward<S: Session + 'static>(
    session: &Arc<S>,
    forward: &LocalForward,
) -> Result<Forwarding, SshError> {
    forward.validate()?;
    let not_bound = |error: io::Error| cannot_listen(forward, &error);
    let listener = TcpListener::bind(forward.address()).map_err(not_bound)?;
    listener.set_nonblocking(true).map_err(not_bound)?;
    let address = listener.local_addr().map_err(not_bound)?;
    let (bell, rings) = UnixStream::pair().map_err(not_bound)?;
    bell.set_nonblocking(true).map_err(not_bound)?;
    rings.set_nonblocking(true).map_err(not_bound)?;
    // A bell that cannot ring as it rings already is no loss.
    let wake = move || drop((&bell).write(&[1]));
    let state = Arc::new(ForwardState::new(forward, address, wake));
    let acceptor = Acceptor {
        session: Arc::downgrade(session),
        forward: Arc::new(forward.clone()),
        listener,
        rings,
        state: Arc::clone(&state),
    };
    let named = thread::Builder::new().name("hussh-forward".into());
    named.spawn(move || acceptor.run()).map_err(not_bound)?;
    Ok(Forwarding::new(state))
}

/// What to say where an address is not to be had.
pub fn cannot_listen(forward: &LocalForward, error: &io::Error) -> SshError {
    SshError::invalid("bind", format!("{} cannot be listened on: {error}", forward.address()))
}

struct Acceptor<S> {
    session: Weak<S>,
    forward: Arc<LocalForward>,
    listener: TcpListener,
    rings: UnixStream,
    state: Arc<ForwardState>,
}

/// A connection that was accepted.
struct Accepted<S> {
    session: Weak<S>,
    forward: Arc<LocalForward>,
    client: TcpStream,
    slot: ForwardSlot,
}

impl<S: Session + 'static> Acceptor<S> {
    fn run(self) {
        let mut pause = None;
        while !self.state.is_over() {
            let accepts = pause.is_none() && self.state.has_room();
            let mut watched = vec![PollFd::new(&self.rings, PollFlags::IN)];
            if accepts {
                watched.push(PollFd::new(&self.listener, PollFlags::IN));
            }
            // An interrupted or failed wait is a short wait: the next turn looks anew anyhow.
            let _ = poll(&mut watched, pause.take().as_ref());
            while matches!((&self.rings).read(&mut [0; 64]), Ok(1..)) {}
            if accepts && !self.state.is_over() {
                match self.listener.accept() {
                    Ok((client, _)) => pause = self.begin(client).err().map(|_| PAUSE),
                    Err(error) if is_passing(&error) => {}
                    // It has gone before it was accepted.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(error) => {
                        tracing::warn!(%error, "a forwarded port accepts nothing for a moment");
                        pause = Some(PAUSE);
                    }
                }
            }
        }
    }

    fn begin(&self, client: TcpStream) -> io::Result<()> {
        client.set_nonblocking(false)?;
        // Failing costs time, not bytes.
        let _ = client.set_nodelay(true);
        client.set_write_timeout(Some(LOOK))?;
        let accepted = Accepted {
            session: Weak::clone(&self.session),
            forward: Arc::clone(&self.forward),
            client,
            slot: self.state.accepted(),
        };
        thread::Builder::new().name("hussh-forward".into()).spawn(move || accepted.serve())?;
        Ok(())
    }
}

/// Whether it says that there is nothing to do now.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

impl<S: Session + 'static> Accepted<S> {
    fn serve(self) {
        let Ok(client) = self.client.try_clone() else { return };
        // While there is no tunnel.
        let closer = move || reset(&client);
        if !self.slot.closed_by(closer) {
            return;
        }
        let asked = match self.forward.destination() {
            Some(to) => Some(to.clone()),
            None => self.socks().unwrap_or_default(),
        };
        let Some(to) = asked else { return };
        // A session that is no more has ended the forwarding, too.
        let Some(session) = self.session.upgrade() else { return };
        let opened = session.open_tunnel(&to, self.forward.time_to_open());
        drop(session);
        let is_socks = self.forward.destination().is_none();
        if is_socks {
            let reply = socks::reply(opened.as_ref().map(drop));
            let _ = (&self.client).write_all(reply);
        }
        match opened {
            Ok(tunnel) => self.carry(&Arc::new(tunnel)),
            Err(error) => {
                if !is_socks {
                    reset(&self.client);
                }
                self.slot.failed(error);
            }
        }
    }

    /// Where the client asks to be connected to; `None` where it was told that it cannot be.
    fn socks(&self) -> io::Result<Option<Destination>> {
        self.client.set_read_timeout(Some(HANDSHAKE_TIMEOUT))?;
        let mut handshake = SocksHandshake::default();
        loop {
            let mut bytes = vec![0; handshake.wanted()];
            (&self.client).read_exact(&mut bytes)?;
            match handshake.receive(&bytes) {
                SocksStep::Read => {}
                SocksStep::Send(bytes) => (&self.client).write_all(bytes)?,
                SocksStep::Connect(to) => {
                    self.client.set_read_timeout(None)?;
                    return Ok(Some(to));
                }
                SocksStep::Refuse(bytes) => {
                    (&self.client).write_all(bytes)?;
                    return Ok(None);
                }
            }
        }
    }

    /// Carries bytes both ways until both have ended, or it fails.
    fn carry<T: Tunnel>(self, tunnel: &Arc<T>) {
        // Closed however this ends.
        let _open = Open(tunnel);
        let (Ok(own), Ok(closers)) = (self.client.try_clone(), self.client.try_clone()) else {
            return;
        };
        let closing = Arc::downgrade(tunnel);
        let closer = move || {
            if let Some(tunnel) = closing.upgrade() {
                tunnel.close();
            }
            reset(&closers);
        };
        if !self.slot.closed_by(closer) {
            return;
        }
        let upwards = Arc::clone(tunnel);
        let up = move || up(&own, &*upwards);
        let Ok(uploading) = thread::Builder::new().name("hussh-forward".into()).spawn(up) else {
            return reset(&self.client);
        };
        if let Err(error) = self.down(&**tunnel) {
            self.slot.failed(error);
        }
        // It has told what there is to tell by closing either side.
        let _ = uploading.join();
    }
}

impl<S> Accepted<S> {
    /// From the tunnel to the client, until the tunnel's other side has ended.
    fn down(&self, tunnel: &impl Tunnel) -> Result<(), SshError> {
        loop {
            match tunnel.read(None) {
                Ok(Some(bytes)) => {
                    if self.send(&bytes).is_err() {
                        tunnel.close();
                        reset(&self.client);
                        return Ok(());
                    }
                }
                Ok(None) => {
                    let _ = self.client.shutdown(Shutdown::Write);
                    return Ok(());
                }
                Err(error) => {
                    reset(&self.client);
                    return if is_own_doing(&error) { Ok(()) } else { Err(error) };
                }
            }
        }
    }

    /// Sends all of this, unless the forwarding ends meanwhile: ending our direction of the socket
    /// would wake this, but have the client take that for the end of what comes.
    fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() && !self.slot.is_over() {
            match (&self.client).write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Has a tunnel closed when it is dropped, also where another thread still has it.
struct Open<'a, T: Tunnel>(&'a Arc<T>);

impl<T: Tunnel> Drop for Open<'_, T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// From the client to the tunnel, until the client has ended.
fn up(mut client: &TcpStream, tunnel: &impl Tunnel) {
    let mut buffer = vec![0; PIECE];
    loop {
        let sent = match client.read(&mut buffer) {
            Ok(0) => {
                // An error is told to the one who reads.
                let _ = tunnel.close_write();
                return;
            }
            Ok(count) => tunnel.write(&buffer[..count], None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // The client has gone, and what it had sent may not be whole.
            Err(_) => return tunnel.close(),
        };
        if sent.is_err() {
            // What comes back may still be of use.
            let _ = client.shutdown(Shutdown::Read);
            return;
        }
    }
}

/// Whether a tunnel is closed since the client went away.
fn is_own_doing(error: &SshError) -> bool {
    match error {
        SshError::Tunnel(error) => error.problem == TunnelProblem::Closed,
        SshError::Closed { .. } => true,
        _ => false,
    }
}

/// Has a client told that its connection broke once it is closed, so that it doesn't take what it has
/// got for all there was, and wakes whoever reads from it here.
fn reset(client: &TcpStream) {
    let _ = SockRef::from(client).set_linger(Some(Duration::ZERO));
    let _ = client.shutdown(Shutdown::Read);
}
