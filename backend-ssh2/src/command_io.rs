//! The steps of a running command: its input, its output, and how it ends.

use bytes::Bytes;
use ssh_session::{ExitStatus, SshError, printable};

use crate::ffi::{self, Channel, Error, Session};
use crate::state::{Op, State};

/// What is read at once: libssh2's packets are smaller.
pub(crate) const CHUNK: usize = 64 * 1024;

/// What is sent before the other side and the deadline are looked at again.
const SLICE: usize = 128 * 1024;

/// Which of its two outputs a command wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// What a step of reading came to.
pub(crate) enum Progress {
    /// So many bytes of a stream are in the buffer.
    Piece(Stream, usize),
    /// Nothing yet, but it is not the time to wait.
    Busy,
    /// The server has closed the channel, and all it sent was read.
    Ended,
}

/// What a step of writing came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrote {
    /// What there was, or the command has ended and needs none of it.
    All,
    /// There is more.
    Some,
    /// There is no pipe to write to.
    NotPiped,
}

/// How a command is over.
pub(crate) enum Ended {
    /// The server closed its channel; with a status, or without.
    Closed(Option<ExitStatus>),
    /// A call failed, and so do all that follow.
    Failed(SshError),
}

/// A command's channel and what is known of it.
pub(crate) struct CommandIo {
    /// Taken out when the command is over.
    channel: Option<Channel>,
    input: Input,
    /// To write, or end the input: libssh2 wants the same bytes until they are sent.
    writing: CallQueue,
    telling: CallQueue,
    /// For the next piece.
    buffer: Vec<u8>,
    /// The stream that the last piece came from: the other one is looked at first.
    last: Stream,
    /// A read has sent word of more room in part, and is to be repeated before anything is sent.
    adjusting: bool,
    ended: Option<Ended>,
}

/// One call after another.
#[derive(Default)]
pub(crate) struct CallQueue {
    holder: Option<Op>,
    /// Somebody else waits for it.
    wanted: bool,
}

impl CallQueue {
    /// Whether it is a call's turn.
    pub(crate) fn take(&mut self, op: Op) -> bool {
        let mine = *self.holder.get_or_insert(op) == op;
        self.wanted |= !mine;
        mine
    }

    /// Ends a call's turn, if it is its. True if somebody waits for that.
    pub(crate) fn leave(&mut self, op: Op) -> bool {
        self.holder == Some(op) && self.end()
    }

    /// Ends a call's turn. True if somebody waits for that.
    pub(crate) fn end(&mut self) -> bool {
        self.holder = None;
        std::mem::take(&mut self.wanted)
    }
}

/// What is left of a command's input.
pub(crate) struct Input {
    left: Bytes,
    /// More may come.
    piped: bool,
    /// Its end was sent, or nobody reads it.
    ended: bool,
}

impl Input {
    pub(crate) fn given(bytes: Bytes) -> Self {
        Self { left: bytes, piped: false, ended: false }
    }

    pub(crate) fn piped() -> Self {
        Self { left: Bytes::new(), piped: true, ended: false }
    }
}

impl CommandIo {
    /// What is left of the input from now on.
    pub(crate) fn give(&mut self, bytes: Bytes) {
        self.input = Input::given(bytes);
    }

    pub(crate) fn new(channel: Channel, input: Input) -> Self {
        Self {
            channel: Some(channel),
            input,
            writing: CallQueue::default(),
            telling: CallQueue::default(),
            buffer: Vec::new(),
            last: Stream::Stderr,
            adjusting: false,
            ended: None,
        }
    }

    /// Feeds the command, and reads from whichever of its streams has something: a server stops
    /// sending either when nobody reads the other.
    pub(crate) fn advance(
        &mut self,
        session: &Session,
        buffer: &mut [u8],
    ) -> Result<Progress, Error> {
        let Some(channel) = &mut self.channel else { return Ok(Progress::Busy) };
        let mut busy = false;
        if !self.adjusting {
            // Writing first: what was sent in part must be repeated before anything else.
            busy = self.input.feed(channel)?;
            if session.is_blocked() {
                // To read may be to send, too. So what comes is taken in, as far as the window goes.
                channel.is_closed()?;
                return Err(ffi::again());
            }
        }
        let order = match self.last {
            Stream::Stderr => [Stream::Stdout, Stream::Stderr],
            Stream::Stdout => [Stream::Stderr, Stream::Stdout],
        };
        let seen = ffi::received_so_far();
        for (index, stream) in order.into_iter().enumerate() {
            // Reading the second stream may take in bytes of the first, and the socket would not
            // tell of them again.
            busy |= index == 1 && ffi::received_so_far() != seen;
            match channel.read(stream as i32, buffer) {
                Ok(0) => {}
                Ok(length) => {
                    self.adjusting = false;
                    self.last = stream;
                    return Ok(Progress::Piece(stream, length));
                }
                Err(error) if ffi::is_again(&error) => {}
                Err(error) => return Err(error),
            }
        }
        self.adjusting = session.is_blocked();
        if self.adjusting {
            return Err(ffi::again());
        }
        busy |= ffi::received_so_far() != seen;
        if !busy {
            // What waits now is of neither stream, and nobody is going to read it.
            channel.drop_unnamed()?;
        }
        if channel.eof() && channel.is_closed()? {
            return Ok(Progress::Ended);
        }
        if busy { Ok(Progress::Busy) } else { Err(ffi::again()) }
    }

    /// Writes some of this to the pipe, and cuts that off; the turn ends with the last of it.
    pub(crate) fn write(
        &mut self,
        state: &mut State,
        session: &Session,
        op: Op,
        left: &mut &[u8],
    ) -> Result<Wrote, Error> {
        if !self.writing.take(op) {
            return Err(ffi::again());
        }
        let wrote = self.write_some(session, left);
        let goes_on = match &wrote {
            Ok(wrote) => *wrote == Wrote::Some,
            Err(error) => ffi::is_again(error),
        };
        if !goes_on {
            state.news |= self.writing.end();
        }
        wrote
    }

    fn write_some(&mut self, session: &Session, left: &mut &[u8]) -> Result<Wrote, Error> {
        if !self.input.piped {
            return Ok(Wrote::NotPiped);
        }
        let Some(channel) = &mut self.channel else { return Ok(Wrote::All) };
        let slice_end = left.len().saturating_sub(SLICE);
        while left.len() > slice_end {
            match channel.write(left) {
                Ok(count) if count > 0 => *left = &left[count..],
                // A command that has ended takes everything.
                Err(error) if ffi::is_input_closed(&error) => return Ok(Wrote::All),
                Err(error) if !ffi::is_again(&error) => return Err(error),
                _ => {
                    let closed = channel.is_closed()? && !session.is_blocked();
                    return if closed { Ok(Wrote::All) } else { Err(ffi::again()) };
                }
            }
        }
        Ok(if left.is_empty() { Wrote::All } else { Wrote::Some })
    }

    /// Ends the pipe, behind what others are writing to it.
    pub(crate) fn close_input(&mut self, state: &mut State, op: Op) -> Result<(), Error> {
        if !self.writing.take(op) {
            return Err(ffi::again());
        }
        if let Some(channel) = self.channel.as_mut().filter(|_| self.input.piped) {
            match channel.send_eof() {
                Err(error) if ffi::is_again(&error) => return Err(error),
                Err(error) if !channel.eof() && !ffi::is_input_closed(&error) => return Err(error),
                _ => self.input = Input { left: Bytes::new(), piped: false, ended: true },
            }
        }
        self.input.piped = false;
        state.news |= self.writing.end();
        Ok(())
    }

    /// Sends what the server takes of the input that was given whole.
    pub(crate) fn feed(&mut self) -> Result<(), Error> {
        match &mut self.channel {
            Some(channel) => self.input.feed(channel).map(drop),
            None => Ok(()),
        }
    }

    /// Lets the reader end the pipe.
    pub(crate) fn end_input(&mut self) {
        self.input.piped = false;
    }

    /// Tells the server something that has no answer, such as a signal.
    pub(crate) fn tell(
        &mut self,
        state: &mut State,
        op: Op,
        say: impl FnOnce(&mut Channel) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if !self.telling.take(op) {
            return Err(ffi::again());
        }
        let result = self.channel.as_mut().map_or(Ok(()), say);
        if !matches!(&result, Err(error) if ffi::is_again(error)) {
            state.news |= self.telling.end();
        }
        result
    }

    /// Takes the channel out, once it was closed by the server or its command is no longer wanted.
    pub(crate) fn close(&mut self) -> Option<Channel> {
        let mut channel = self.channel.take()?;
        self.ended = Some(Ended::Closed(status(&mut channel)));
        Some(channel)
    }

    /// Takes the channel out as it is.
    pub(crate) fn take_channel(&mut self) -> Option<Channel> {
        self.channel.take()
    }

    /// Takes the channel out of a command that failed. The error is the first one.
    pub(crate) fn fail(&mut self, error: SshError) -> (SshError, Option<Channel>) {
        match self.ended.get_or_insert(Ended::Failed(error.clone())) {
            Ended::Failed(first) => (first.clone(), self.channel.take()),
            Ended::Closed(_) => (error, None),
        }
    }

    /// A buffer of [`CHUNK`] bytes, the one that was kept if it is there.
    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(CHUNK, 0);
        buffer
    }

    pub(crate) fn keep_buffer(&mut self, buffer: Vec<u8>) {
        self.buffer = buffer;
    }

    pub(crate) fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    pub(crate) fn channel(&mut self) -> Option<&mut Channel> {
        self.channel.as_mut()
    }
}

impl Input {
    /// Sends what the server takes now, up to a slice, and the end behind it. True if there was
    /// more to send than that.
    fn feed(&mut self, channel: &mut Channel) -> Result<bool, Error> {
        let mut wrote = 0;
        while !self.piped && !self.ended {
            if wrote >= SLICE {
                return Ok(true);
            }
            let result = if self.left.is_empty() {
                channel.send_eof().map(|()| None)
            } else {
                channel.write(&self.left).map(Some)
            };
            match result {
                Ok(None) => self.ended = true,
                Ok(Some(0)) => break,
                Ok(Some(count)) => {
                    let _ = self.left.split_to(count);
                    wrote += count;
                }
                Err(error) if ffi::is_again(&error) => break,
                // The command may end without reading all of its input: its output and status
                // count, so this is not an error.
                Err(_) if channel.eof() => self.ended = true,
                Err(error) if ffi::is_input_closed(&error) => self.ended = true,
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}

fn status(channel: &mut Channel) -> Option<ExitStatus> {
    if let Some(name) = channel.exit_signal() {
        return Some(ExitStatus::Signal {
            name: printable(&name),
            // libssh2 reads neither.
            core_dumped: false,
            message: String::new(),
        });
    }
    channel.exit_status().map(ExitStatus::Code)
}
