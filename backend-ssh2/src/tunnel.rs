//! A connection that the server has opened for us.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ssh_session::tunnel::{Close, Destination, Tunnel};
use ssh_session::{Phase, SshError, TunnelProblem, printable};

use crate::command_io::{CHUNK, CallQueue};
use crate::deadline::Deadline;
use crate::destination::{self, Address};
use crate::ffi::{self, Channel, Error, Session};
use crate::link::{Link, User};
use crate::state::{End, Op, State, Stop};

/// What is sent before the other side and the deadline are looked at again.
const SLICE: usize = 128 * 1024;

/// A connection that the server of an [`Ssh2Session`](crate::Ssh2Session) has opened. Any number of
/// threads may use it at once; closed when dropped.
///
/// What nobody reads stays within the window of its channel, 2 MiB, which opens again as it is read.
pub struct Ssh2Tunnel {
    link: Arc<Link>,
    destination: Destination,
    /// Locked within the link's lock, or without it, never around it.
    io: Mutex<TunnelIo>,
}

/// A tunnel's channel and what is known of it.
struct TunnelIo {
    /// Taken out once it is closed and no call is under way on it.
    channel: Option<Channel>,
    /// Calls under way.
    calls: usize,
    writing: CallQueue,
    /// A read has sent word of more room in part, and is to be repeated before anything is sent.
    adjusting: bool,
    is_read_over: bool,
    is_write_over: bool,
    /// Why nothing goes either way any more.
    closed: Option<SshError>,
    /// For the next piece.
    buffer: Vec<u8>,
}

/// What a step of reading came to.
enum Read {
    Piece(usize),
    End,
    /// It was closed on our side, or has failed.
    Closed,
}

/// What a step of writing came to.
#[derive(PartialEq, Eq)]
enum Wrote {
    All,
    Some,
    /// Nothing more goes that way.
    Closed,
}

/// A call under way on a tunnel. The last one takes the channel of a closed tunnel out.
struct Call<'a> {
    tunnel: &'a Ssh2Tunnel,
    user: User<'a>,
}

impl Ssh2Tunnel {
    /// Has the server connect, within this time.
    pub(crate) fn open(
        link: &Arc<Link>,
        to: &Destination,
        timeout: Duration,
    ) -> Result<Self, SshError> {
        let address = Arc::new(Address::of(to)?);
        let deadline = Deadline::after(Some(timeout));
        let user = link.enter();
        let channel = match link.take_tunnel(user.op, &address, &deadline) {
            Ok(channel) => channel,
            Err(Stop::Refused(error)) if ffi::is_open_refused(&error) => {
                return Err(destination::refused(&link.target, to, &error));
            }
            Err(stop) => return Err(link.error(stop, Phase::OpenChannel, &deadline)),
        };
        let io = Mutex::new(TunnelIo {
            channel: Some(channel),
            calls: 0,
            writing: CallQueue::default(),
            adjusting: false,
            is_read_over: false,
            is_write_over: false,
            closed: None,
            buffer: Vec::new(),
        });
        Ok(Self { link: Arc::clone(link), destination: to.clone(), io })
    }

    /// Begins a call, where it is not closed.
    fn call(&self) -> Result<Call<'_>, SshError> {
        self.link.home.check(&self.link.target, Phase::Tunnel)?;
        let user = self.link.enter();
        let mut io = self.io();
        if let Some(error) = &io.closed {
            return Err(error.clone());
        }
        io.calls += 1;
        drop(io);
        Ok(Call { tunnel: self, user })
    }

    /// Why a call failed. Where that is not that its time is up, so do all that follow.
    fn fail(&self, stop: Stop, deadline: &Deadline) -> SshError {
        let stop = match stop {
            Stop::Timeout => return deadline.late(&self.link.target, Phase::Tunnel),
            Stop::Refused(error) => Stop::Ended(End::Lost(printable(error.message().as_bytes()))),
            ended @ Stop::Ended(_) => ended,
        };
        let error = self.link.error(stop, Phase::Tunnel, deadline);
        self.io().closed.get_or_insert(error).clone()
    }

    /// What those are told who find it closed.
    fn closed(&self) -> SshError {
        let closed = || {
            let problem = TunnelProblem::Closed;
            destination::failed(&self.link.target, &self.destination, problem)
        };
        self.io().closed.clone().unwrap_or_else(closed)
    }

    fn write_until(
        &self,
        call: &Call<'_>,
        bytes: &[u8],
        deadline: &Deadline,
    ) -> Result<(), SshError> {
        let (mut left, op) = (bytes, call.user.op);
        while !left.is_empty() {
            let wrote = self.link.drive(op, deadline, |state, session| {
                self.io().write(state, session, op, &mut left)
            });
            match wrote.map_err(|stop| self.fail(stop, deadline))? {
                Wrote::All => break,
                Wrote::Some => {}
                Wrote::Closed => return Err(self.closed()),
            }
        }
        Ok(())
    }

    fn io(&self) -> MutexGuard<'_, TunnelIo> {
        self.io.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tunnel for Ssh2Tunnel {
    fn read(&self, patience: Option<Duration>) -> Result<Option<Bytes>, SshError> {
        let call = self.call()?;
        let deadline = Deadline::after(patience);
        let mut buffer = std::mem::take(&mut self.io().buffer);
        buffer.resize(CHUNK, 0);
        let read = self
            .link
            .drive(call.user.op, &deadline, |_, session| self.io().read(session, &mut buffer));
        let piece = match read {
            Ok(Read::Piece(length)) => Ok(Some(Bytes::copy_from_slice(&buffer[..length]))),
            Ok(Read::End) => Ok(None),
            Ok(Read::Closed) => Err(self.closed()),
            Err(stop) => Err(self.fail(stop, &deadline)),
        };
        self.io().buffer = buffer;
        piece
    }

    fn write(&self, bytes: &[u8], patience: Option<Duration>) -> Result<(), SshError> {
        let call = self.call()?;
        let wrote = self.write_until(&call, bytes, &Deadline::after(patience));
        if matches!(wrote, Err(SshError::Timeout { .. })) {
            self.close();
        }
        wrote
    }

    fn close_write(&self) -> Result<(), SshError> {
        let call = self.call()?;
        let (op, deadline) = (call.user.op, Deadline::after(None));
        let ended = self
            .link
            .drive(op, &deadline, |state, session| self.io().end_write(state, session, op));
        ended.map_err(|stop| self.fail(stop, &deadline))
    }
}

impl Close for Ssh2Tunnel {
    fn close(&self) {
        if !self.link.home.is_current() {
            return;
        }
        let mut state = self.link.lock();
        let mut io = self.io();
        let target = self.link.target.clone();
        io.closed.get_or_insert(SshError::Closed { target, maybe_started: false });
        let channel = io.leave();
        drop(io);
        match channel {
            Some(channel) => self.link.close_tunnel(&mut state, channel),
            // Those who are in the middle of a call finish what they sent in part.
            None => self.link.changed(&state),
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let Ssh2Tunnel { link, .. } = self.tunnel;
        let mut state = link.lock();
        let mut io = self.tunnel.io();
        io.calls -= 1;
        state.news |= io.writing.leave(self.user.op);
        let channel = io.closed.is_some().then(|| io.leave()).flatten();
        drop(io);
        match channel {
            Some(channel) => link.close_tunnel(&mut state, channel),
            None if std::mem::take(&mut state.news) => link.changed(&state),
            None => {}
        }
    }
}

impl Drop for Ssh2Tunnel {
    fn drop(&mut self) {
        if !self.link.home.is_current() {
            let io = self.io.get_mut().unwrap_or_else(PoisonError::into_inner);
            return std::mem::forget(io.channel.take());
        }
        self.close();
    }
}

impl TunnelIo {
    /// Takes the channel out, where no call is under way.
    fn leave(&mut self) -> Option<Channel> {
        if self.calls == 0 { self.channel.take() } else { None }
    }

    fn read(&mut self, session: &Session, buffer: &mut [u8]) -> Result<Read, Error> {
        if !self.adjusting {
            if self.closed.is_some() {
                return Ok(Read::Closed);
            }
            if self.is_read_over {
                return Ok(Read::End);
            }
        }
        let Some(channel) = &mut self.channel else { return Ok(Read::Closed) };
        let seen = ffi::received_so_far();
        match channel.read(0, buffer) {
            Ok(0) => {}
            Ok(length) => {
                self.adjusting = false;
                return Ok(Read::Piece(length));
            }
            Err(error) if ffi::is_again(&error) => {}
            Err(error) => return Err(error),
        }
        self.adjusting = session.is_blocked();
        if self.adjusting {
            return Err(ffi::again());
        }
        if self.closed.is_some() {
            return Ok(Read::Closed);
        }
        if channel.eof() {
            self.is_read_over = true;
            return Ok(Read::End);
        }
        if ffi::received_so_far() == seen {
            // What waits now is of a kind that tunnels have not.
            channel.drop_unnamed()?;
        }
        Err(ffi::again())
    }

    /// Writes some of this, and cuts that off; the turn ends with the last of it.
    fn write(
        &mut self,
        state: &mut State,
        session: &Session,
        op: Op,
        left: &mut &[u8],
    ) -> Result<Wrote, Error> {
        if !self.writing.take(op) {
            return if self.closed.is_some() { Ok(Wrote::Closed) } else { Err(ffi::again()) };
        }
        let wrote = self.write_some(session, left);
        if !matches!(&wrote, Ok(Wrote::Some))
            && !matches!(&wrote, Err(error) if ffi::is_again(error))
        {
            state.news |= self.writing.end();
        }
        wrote
    }

    fn write_some(&mut self, session: &Session, left: &mut &[u8]) -> Result<Wrote, Error> {
        // What was sent in part is sent whole first.
        if !session.is_blocked() && (self.closed.is_some() || self.is_write_over) {
            return Ok(Wrote::Closed);
        }
        let Some(channel) = &mut self.channel else { return Ok(Wrote::Closed) };
        // libssh2 sends to a channel that the server has closed, too.
        if !session.is_blocked() && channel.eof() && channel.is_closed()? {
            self.is_write_over = true;
            return Ok(Wrote::Closed);
        }
        let slice_end = left.len().saturating_sub(SLICE);
        while left.len() > slice_end {
            match channel.write(left) {
                Ok(count) if count > 0 => *left = &left[count..],
                Err(error) if ffi::is_input_closed(&error) => {
                    self.is_write_over = true;
                    return Ok(Wrote::Closed);
                }
                Err(error) if !ffi::is_again(&error) => return Err(error),
                _ => {
                    let closed = channel.is_closed()? && !session.is_blocked();
                    self.is_write_over |= closed;
                    return if closed { Ok(Wrote::Closed) } else { Err(ffi::again()) };
                }
            }
        }
        Ok(if left.is_empty() { Wrote::All } else { Wrote::Some })
    }

    /// Ends our direction, behind what others are writing.
    fn end_write(&mut self, state: &mut State, session: &Session, op: Op) -> Result<(), Error> {
        if !self.writing.take(op) {
            return if self.closed.is_some() { Ok(()) } else { Err(ffi::again()) };
        }
        let is_over = !session.is_blocked() && (self.closed.is_some() || self.is_write_over);
        if let Some(channel) = self.channel.as_mut().filter(|_| !is_over) {
            match channel.send_eof() {
                Err(error) if ffi::is_again(&error) => return Err(error),
                Err(error) if !channel.eof() && !ffi::is_input_closed(&error) => return Err(error),
                _ => self.is_write_over = true,
            }
        }
        state.news |= self.writing.end();
        Ok(())
    }
}

impl fmt::Debug for Ssh2Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ssh2Tunnel")
            .field("target", &self.link.target)
            .field("destination", &self.destination)
            .finish_non_exhaustive()
    }
}
