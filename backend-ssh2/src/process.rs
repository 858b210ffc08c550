//! A command under way.

mod start;

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ssh_session::{Chunk, ExitStatus, Phase, Process, SshError, check_signal, printable};

use crate::command_io::{CommandIo, Ended, Progress, Stream, Wrote};
use crate::deadline::Deadline;
use crate::ffi::{self, Error, Session};
use crate::link::Link;
use crate::session::Ssh2Session;
use crate::state::{End, Op, State, Stop};

/// A command under way on an [`Ssh2Session`](crate::Ssh2Session).
///
/// What nobody reads stays within the window of its channel, 2 MiB for both streams together; the
/// window opens again as it is read.
pub struct Ssh2Process<'s> {
    link: Arc<Link>,
    session: PhantomData<&'s Ssh2Session>,
    /// It stays with the session.
    kept: bool,
    deadline: Deadline,
    /// Closes the channel when the command is done or given up.
    op: Op,
    /// Locked within the link's lock, or without it, never around it.
    body: Mutex<CommandIo>,
}

/// Why a call failed.
pub(crate) enum Failure {
    Stop(Stop),
    NoExitStatus,
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl Ssh2Process<'_> {
    /// Waits for the next piece of output: the length of it, now at the buffer's start. `None` at
    /// the command's end.
    pub(crate) fn advance(
        &self,
        op: Op,
        buffer: &mut [u8],
    ) -> Result<Option<(Stream, usize)>, SshError> {
        self.advance_within(op, buffer, None)
    }

    /// As [`advance`](Self::advance), with a time to wait beside the command's own deadline.
    fn advance_within(
        &self,
        op: Op,
        buffer: &mut [u8],
        patience: Option<Duration>,
    ) -> Result<Option<(Stream, usize)>, SshError> {
        let until = patience.map_or(self.deadline, |patience| self.deadline.within(patience));
        let mut looks = 0;
        loop {
            if let Some(ended) = self.body().ended() {
                return match ended {
                    Ended::Failed(error) => Err(error.clone()),
                    Ended::Closed(_) => Ok(None),
                };
            }
            let mut step = |body: &mut CommandIo, _: &mut State, session: &Session| {
                body.advance(session, buffer)
            };
            // What is there is read, also by those who have no time to wait for it: the second look
            // is where the first took in what was for the other stream.
            looks += 1;
            let has_time = looks <= 2 && !self.deadline.is_over();
            let progress = match self.drive_within(op, &until, has_time, &mut step) {
                Err(Stop::Timeout) if patience.is_some() && !self.deadline.is_over() => {
                    return Err(Deadline::after(patience).late(&self.link.target, Phase::Run));
                }
                other => other.map_err(|stop| self.fail(stop.into(), Phase::Run, ""))?,
            };
            match progress {
                Progress::Piece(stream, length) => return Ok(Some((stream, length))),
                Progress::Ended => {
                    let channel = self.body().close();
                    if let Some(channel) = channel {
                        self.link.finish_channel(self.op, channel, self.kept);
                    }
                }
                // So that neither a server that takes all nor one that sends without end keeps the
                // session's lock, or the call beyond its deadline.
                Progress::Busy => {}
            }
        }
    }

    /// The next piece of output, waiting as long as the command may take, or so long.
    fn next(&self, patience: Option<Duration>) -> Result<Option<Chunk>, SshError> {
        self.link.home.check(&self.link.target, Phase::Run)?;
        let call = self.link.enter();
        let mut buffer = self.body().buffer();
        let piece = self.advance_within(call.op, &mut buffer, patience);
        let chunk = piece.map(|piece| {
            piece.map(|(stream, length)| {
                let bytes = Bytes::copy_from_slice(&buffer[..length]);
                match stream {
                    Stream::Stdout => Chunk::Stdout(bytes),
                    Stream::Stderr => Chunk::Stderr(bytes),
                }
            })
        });
        self.body().keep_buffer(buffer);
        chunk
    }

    /// Ends the input and waits for the command's end.
    fn finish(&self) -> Result<ExitStatus, SshError> {
        self.link.home.check(&self.link.target, Phase::Run)?;
        self.body().end_input();
        let call = self.link.enter();
        let mut buffer = self.body().buffer();
        while self.advance(call.op, &mut buffer)?.is_some() {}
        self.status()
    }

    fn write_until(&self, bytes: &[u8], deadline: &Deadline) -> Result<(), SshError> {
        self.check()?;
        let call = self.link.enter();
        let mut left = bytes;
        while !left.is_empty() {
            let mut write = |body: &mut CommandIo, state: &mut State, session: &Session| {
                body.write(state, session, call.op, &mut left)
            };
            let wrote = self
                .drive_within(call.op, deadline, false, &mut write)
                .map_err(|stop| self.fail(stop.into(), Phase::Run, ""))?;
            match wrote {
                Wrote::All => break,
                Wrote::Some => {}
                Wrote::NotPiped => {
                    return Err(SshError::invalid(
                        "stdin",
                        "takes nothing more: it was closed, or given whole with the command",
                    ));
                }
            }
        }
        self.check()
    }

    /// Makes this the rest of its standard input, which was piped so far. It is sent while the
    /// command is read.
    pub(crate) fn give(&self, bytes: Bytes) {
        self.body().give(bytes);
    }

    /// How the command ended, once [`advance`](Self::advance) has said that it did.
    pub(crate) fn status(&self) -> Result<ExitStatus, SshError> {
        match self.body().ended() {
            Some(Ended::Failed(error)) => Err(error.clone()),
            Some(Ended::Closed(Some(status))) => Ok(status.clone()),
            Some(Ended::Closed(None)) | None => Err(self.no_exit_status()),
        }
    }

    /// Repeats a step of a running command until it no longer would block.
    fn drive<T>(
        &self,
        op: Op,
        mut step: impl FnMut(&mut CommandIo, &mut State, &Session) -> Result<T, Error>,
    ) -> Result<T, SshError> {
        self.drive_within(op, &self.deadline, false, &mut step)
            .map_err(|stop| self.fail(stop.into(), Phase::Run, ""))
    }

    fn drive_within<T>(
        &self,
        op: Op,
        deadline: &Deadline,
        has_time: bool,
        step: &mut impl FnMut(&mut CommandIo, &mut State, &Session) -> Result<T, Error>,
    ) -> Result<T, Stop> {
        if !has_time && deadline.is_over() {
            return Err(Stop::Timeout);
        }
        self.link.drive(op, deadline, |state, session| step(&mut self.body(), state, session))
    }

    /// Gives the command up: ends it as far as the server allows, and says what became of it.
    fn fail(&self, failure: Failure, phase: Phase, request: &str) -> SshError {
        let refused = matches!(&failure, Failure::Stop(Stop::Refused(_)));
        let may_have_started = match phase {
            Phase::Start => !refused,
            phase => phase == Phase::Run,
        };
        let running = may_have_started && matches!(failure, Failure::Stop(_));
        let target = self.link.target.clone();
        let error = match failure {
            Failure::NoExitStatus => self.no_exit_status(),
            Failure::Stop(Stop::Refused(error))
                if phase != Phase::Run && ffi::is_denied(&error) =>
            {
                SshError::RequestRefused { target, request: request.into() }
            }
            // Whatever it is that libssh2 dislikes, the command has run.
            Failure::Stop(Stop::Refused(error)) if phase == Phase::Run => {
                let end = End::Lost(printable(error.message().as_bytes()));
                self.link.error(Stop::Ended(end), phase, &self.deadline)
            }
            Failure::Stop(stop) => self.link.error(stop, phase, &self.deadline),
        };
        let error = with_may_have_started(error, may_have_started);
        let (error, channel) = self.body().fail(error);
        if let Some(channel) = channel {
            self.link.give_up_channel(self.op, channel, running, self.kept);
        }
        error
    }

    fn no_exit_status(&self) -> SshError {
        let target = self.link.target.clone();
        SshError::NoExitStatus { target, partial: Box::default() }
    }

    fn body(&self) -> MutexGuard<'_, CommandIo> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The error of an earlier call, which is that of all later ones.
    fn check(&self) -> Result<(), SshError> {
        self.link.home.check(&self.link.target, Phase::Run)?;
        match self.body().ended() {
            Some(Ended::Failed(error)) => Err(error.clone()),
            _ => Ok(()),
        }
    }
}

fn with_may_have_started(mut error: SshError, may_have_started: bool) -> SshError {
    if let SshError::Timeout { maybe_started, .. }
    | SshError::ConnectionLost { maybe_started, .. }
    | SshError::Closed { maybe_started, .. } = &mut error
    {
        *maybe_started = may_have_started;
    }
    error
}

impl Process for Ssh2Process<'_> {
    fn read(&self) -> Result<Option<Chunk>, SshError> {
        self.next(None)
    }

    fn read_within(&self, patience: Duration) -> Result<Option<Chunk>, SshError> {
        self.next(Some(patience))
    }

    fn write(&self, bytes: &[u8]) -> Result<(), SshError> {
        self.write_until(bytes, &self.deadline)
    }

    fn write_within(&self, bytes: &[u8], patience: Duration) -> Result<(), SshError> {
        self.write_until(bytes, &self.deadline.within(patience))
    }
    fn close_stdin(&self) -> Result<(), SshError> {
        self.check()?;
        let call = self.link.enter();
        self.drive(call.op, |body, state, _| body.close_input(state, call.op))?;
        self.check()
    }

    fn signal(&self, name: &str) -> Result<(), SshError> {
        check_signal(name)?;
        self.check()?;
        let call = self.link.enter();
        self.drive(call.op, |body, state, _| {
            body.tell(state, call.op, |channel| channel.signal(name.as_bytes()))
        })?;
        self.check()
    }

    fn resize(&self, columns: u32, rows: u32) -> Result<(), SshError> {
        self.check()?;
        let call = self.link.enter();
        self.drive(call.op, |body, state, _| {
            body.tell(state, call.op, |channel| channel.resize(columns, rows))
        })?;
        self.check()
    }

    fn wait(self) -> Result<ExitStatus, SshError> {
        self.finish()
    }

    fn wait_within(mut self, patience: Duration) -> Result<ExitStatus, SshError> {
        self.deadline = self.deadline.within(patience);
        self.finish()
    }
}

impl Drop for Ssh2Process<'_> {
    fn drop(&mut self) {
        let body = self.body.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !self.link.home.is_current() {
            return std::mem::forget(body.take_channel());
        }
        if let Some(channel) = body.close() {
            self.link.give_up_channel(self.op, channel, true, self.kept);
        }
    }
}

impl fmt::Debug for Ssh2Process<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ssh2Process").field("target", &self.link.target).finish_non_exhaustive()
    }
}
