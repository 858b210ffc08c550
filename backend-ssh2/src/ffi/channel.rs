//! Session channels.

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::ptr::{self, NonNull};

use super::errors::{Error, is_again, violated};
use super::session::{Locked, Session, unread};
use libssh2_sys as raw;
use ssh_session::Request;

unsafe extern "C" {
    fn libssh2_channel_has_exit_status(channel: *mut raw::LIBSSH2_CHANNEL) -> c_int;
    fn libssh2_channel_signal_ex(
        channel: *mut raw::LIBSSH2_CHANNEL,
        name: *const c_char,
        length: usize,
    ) -> c_int;
}

/// A session channel.
pub(crate) struct Channel {
    raw: NonNull<raw::LIBSSH2_CHANNEL>,
    /// Keeps the session, and so the channel, from being freed before this.
    session: Session,
}

// SAFETY: the pointer is used only under the session's lock.
unsafe impl Send for Channel {}

impl Channel {
    /// Asks for a channel; to be repeated while it would block, with no other open in between.
    pub(crate) fn open(session: &Session) -> Result<Self, Error> {
        let kind = b"session";
        let locked = session.lock();
        // SAFETY: the session is valid and locked; the type's name is copied.
        let channel = unsafe {
            raw::libssh2_channel_open_ex(
                locked.raw(),
                kind.as_ptr().cast(),
                kind.len() as c_uint,
                raw::LIBSSH2_CHANNEL_WINDOW_DEFAULT as c_uint,
                raw::LIBSSH2_CHANNEL_PACKET_DEFAULT as c_uint,
                ptr::null(),
                0,
            )
        };
        Self::opened(session, locked, channel)
    }

    /// Asks the server for a connection to another host; to be repeated while it would block, with
    /// no other open in between. Where it comes from is for the server's log, and not told.
    pub(crate) fn open_to(session: &Session, host: &CStr, port: u16) -> Result<Self, Error> {
        let locked = session.lock();
        // SAFETY: the session is valid and locked; both strings end in NUL and are copied.
        let channel = unsafe {
            raw::libssh2_channel_direct_tcpip_ex(
                locked.raw(),
                host.as_ptr(),
                port.into(),
                c"127.0.0.1".as_ptr(),
                0,
            )
        };
        Self::opened(session, locked, channel)
    }

    /// Asks the server for a connection to a Unix socket there; to be repeated while it would block,
    /// with no other open in between.
    pub(crate) fn open_to_socket(session: &Session, path: &CStr) -> Result<Self, Error> {
        let locked = session.lock();
        // SAFETY: the session is valid and locked; both strings end in NUL and are copied.
        let channel = unsafe {
            raw::libssh2_channel_direct_streamlocal_ex(
                locked.raw(),
                path.as_ptr(),
                c"127.0.0.1".as_ptr(),
                0,
            )
        };
        Self::opened(session, locked, channel)
    }

    /// `locked` is of `session`, and `channel` what that gave.
    fn opened(
        session: &Session,
        mut locked: Locked<'_>,
        channel: *mut raw::LIBSSH2_CHANNEL,
    ) -> Result<Self, Error> {
        match NonNull::new(channel) {
            Some(raw) => {
                locked.opened(raw);
                Ok(Self { raw, session: session.clone() })
            }
            None => Err(locked.last_error()),
        }
    }

    pub(crate) fn setenv(&mut self, name: &[u8], value: &[u8]) -> Result<(), Error> {
        // SAFETY: see `call`; both strings are copied.
        self.call(|channel| unsafe {
            raw::libssh2_channel_setenv_ex(
                channel,
                name.as_ptr().cast(),
                name.len() as c_uint,
                value.as_ptr().cast(),
                value.len() as c_uint,
            )
        })
        .map(drop)
    }

    /// Asks for a terminal.
    pub(crate) fn request_pty(
        &mut self,
        term: &[u8],
        modes: &[u8],
        columns: u32,
        rows: u32,
    ) -> Result<(), Error> {
        // SAFETY: see `call`; both strings are copied.
        self.call(|channel| unsafe {
            raw::libssh2_channel_request_pty_ex(
                channel,
                term.as_ptr().cast(),
                term.len() as c_uint,
                modes.as_ptr().cast(),
                modes.len() as c_uint,
                size(columns),
                size(rows),
                0,
                0,
            )
        })
        .map(drop)
    }

    /// Says that the terminal has another size. There is no answer.
    pub(crate) fn resize(&mut self, columns: u32, rows: u32) -> Result<(), Error> {
        // SAFETY: see `call`.
        self.call(|channel| unsafe {
            raw::libssh2_channel_request_pty_size_ex(channel, size(columns), size(rows), 0, 0)
        })
        .map(drop)
    }

    /// Asks for a command to be run, a shell, or a subsystem.
    pub(crate) fn start(&mut self, request: Request, command: &[u8]) -> Result<(), Error> {
        let (request, command): (&[u8], _) = match request {
            Request::Exec => (b"exec", Some(command)),
            Request::Subsystem => (b"subsystem", Some(command)),
            Request::Shell => (b"shell", None),
        };
        // SAFETY: see `call`; both strings are copied. Where the second is null, none is sent.
        self.call(|channel| unsafe {
            raw::libssh2_channel_process_startup(
                channel,
                request.as_ptr().cast(),
                request.len() as c_uint,
                command.map_or(ptr::null(), |command| command.as_ptr().cast()),
                command.map_or(0, |command| command.len() as c_uint),
            )
        })
        .map(drop)
    }

    /// Reads from stream 0 (output) or 1 (errors); 0 at the end.
    pub(crate) fn read(&mut self, stream: c_int, buffer: &mut [u8]) -> Result<usize, Error> {
        // SAFETY: see `call`; the buffer is valid for the call.
        self.call(|channel| unsafe {
            let (buffer, length) = (buffer.as_mut_ptr().cast(), buffer.len());
            raw::libssh2_channel_read_ex(channel, stream, buffer, length) as c_int
        })
    }

    /// Drops what came as extended data of a type that has no name (RFC 4254, 5.2, knows one: 1,
    /// standard error), and gives its room back. To be called behind reads of both streams that
    /// found nothing, with nothing received since: then whatever waits is of other types.
    ///
    /// libssh2 counts what it drops once more when this is repeated, so an error is final, also
    /// where it is that the call would block: the word of more room could not be sent at once.
    pub(crate) fn drop_unnamed(&mut self) -> Result<(), Error> {
        /// `LIBSSH2_CHANNEL_FLUSH_EXTENDED_DATA`
        const EXTENDED_DATA: c_int = -1;
        // SAFETY: see `call`.
        let waiting =
            self.call(|channel| unsafe { c_int::try_from(unread(channel)).unwrap_or(c_int::MAX) })?;
        if waiting == 0 {
            return Ok(());
        }
        // SAFETY: see `call`.
        let dropped =
            self.call(|channel| unsafe { raw::libssh2_channel_flush_ex(channel, EXTENDED_DATA) });
        match dropped {
            Ok(_) => Ok(()),
            Err(error) if is_again(&error) => {
                Err(violated("extended data of an unknown type, and nothing can be sent"))
            }
            Err(error) => Err(error),
        }
    }

    /// Writes to the command's input; to be repeated with the same bytes while it would block.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        // SAFETY: see `call`; the bytes are copied.
        self.call(|channel| unsafe {
            raw::libssh2_channel_write_ex(channel, 0, bytes.as_ptr().cast(), bytes.len()) as c_int
        })
    }

    pub(crate) fn send_eof(&mut self) -> Result<(), Error> {
        // SAFETY: see `call`.
        self.call(|channel| unsafe { raw::libssh2_channel_send_eof(channel) }).map(drop)
    }

    /// Asks the server to signal the command. There is no answer.
    pub(crate) fn signal(&mut self, name: &[u8]) -> Result<(), Error> {
        // SAFETY: see `call`; the name is copied.
        self.call(|channel| unsafe {
            libssh2_channel_signal_ex(channel, name.as_ptr().cast(), name.len())
        })
        .map(drop)
    }

    /// Takes in all that has come, for whichever channel, and sends nothing but replies. Whether the
    /// server has closed this channel; what it sent on it need not have been read.
    pub(crate) fn is_closed(&mut self) -> Result<bool, Error> {
        for wait in [raw::libssh2_channel_wait_eof, raw::libssh2_channel_wait_closed] {
            // SAFETY: see `call`. Neither waits in non-blocking mode.
            match self.call(|channel| unsafe { wait(channel) }) {
                Ok(_) => {}
                Err(error) if is_again(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Closes the channel on our side; to be repeated while it would block. The server may not have
    /// done the same when this returns: see [`is_closed`](Self::is_closed).
    pub(crate) fn close(&mut self) -> Result<(), Error> {
        // SAFETY: see `call`.
        self.call(|channel| unsafe { raw::libssh2_channel_close(channel) }).map(drop)
    }

    /// Whether the server has sent everything and all of it has been read.
    pub(crate) fn eof(&mut self) -> bool {
        // SAFETY: see `call`.
        self.call(|channel| unsafe { raw::libssh2_channel_eof(channel) }).is_ok_and(|eof| eof != 0)
    }

    /// The exit status, if the server sent one.
    pub(crate) fn exit_status(&mut self) -> Option<u32> {
        let _locked = self.session.lock();
        // SAFETY: the channel is valid until dropped and its session is locked.
        unsafe {
            (libssh2_channel_has_exit_status(self.raw.as_ptr()) != 0)
                .then(|| raw::libssh2_channel_get_exit_status(self.raw.as_ptr()).cast_unsigned())
        }
    }

    /// The name of the signal that ended the command, if the server sent one.
    pub(crate) fn exit_signal(&mut self) -> Option<Vec<u8>> {
        let locked = self.session.lock();
        let (mut name, mut length) = (ptr::null_mut::<c_char>(), 0);
        // SAFETY: the channel is valid until dropped and its session is locked; null stands for
        // what we don't ask for. A name that is not null has this length and is ours to free.
        unsafe {
            let null = ptr::null_mut();
            raw::libssh2_channel_get_exit_signal(
                self.raw.as_ptr(),
                &raw mut name,
                &raw mut length,
                null,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
            );
            let name = NonNull::new(name)?;
            let copy = std::slice::from_raw_parts(name.as_ptr().cast::<u8>(), length).to_vec();
            raw::libssh2_free(locked.raw(), name.as_ptr().cast());
            Some(copy)
        }
    }

    /// Runs a call under the session's lock. The pointer it gets is valid: a channel lives until
    /// it is dropped here or its session is freed, and the session lives as long as this.
    fn call(
        &mut self,
        call: impl FnOnce(*mut raw::LIBSSH2_CHANNEL) -> c_int,
    ) -> Result<usize, Error> {
        let locked = self.session.lock();
        let result = call(self.raw.as_ptr());
        usize::try_from(result).map_err(|_| locked.error(result))
    }
}

/// A terminal's size as libssh2 takes it.
fn size(length: u32) -> c_int {
    c_int::try_from(length).unwrap_or(c_int::MAX)
}

impl Drop for Channel {
    fn drop(&mut self) {
        let mut locked = self.session.lock();
        locked.freed(self.raw);
        // SAFETY: the channel is valid, its session locked, and nobody uses the pointer after
        // this. Where it would block, libssh2 keeps the channel until it frees the session.
        unsafe { raw::libssh2_channel_free(self.raw.as_ptr()) };
    }
}
