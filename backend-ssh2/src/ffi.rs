//! The calls of libssh2 that the `ssh2` crate lacks or makes unsound.
//!
//! Its `Channel` frees itself without the session's lock, takes only UTF-8, and cannot tell "exit
//! status 0" from "no exit status". So channels are ours: each call here takes the session's lock
//! through [`Session::raw`], dropping included.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::ffi::{c_char, c_int, c_long, c_uint, c_void};
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};

use libssh2_sys as raw;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use ssh2::{Error, ErrorCode, Session};

/// libssh2's `LIBSSH2_CALLBACK_RECV`.
const CALLBACK_RECV: c_int = 6;

/// How often one call of libssh2 may receive: it reads on for as long as something comes, so without
/// a limit a peer that never stops sending would keep it from returning, beyond any deadline and
/// under our lock. It asks for tens of kilobytes at a time, of a banner for one byte.
const RECEIVES_MAX: u32 = 64;

/// How much of a greeting is kept: less than an SSH server's banner and list of algorithms.
pub(crate) const GREETING_SIZE: usize = 512;

type Receive = extern "C" fn(c_int, *mut c_void, usize, c_int, *mut *mut c_void) -> isize;

unsafe extern "C" {
    fn libssh2_channel_has_exit_status(channel: *mut raw::LIBSSH2_CHANNEL) -> c_int;
    fn libssh2_channel_signal_ex(
        channel: *mut raw::LIBSSH2_CHANNEL,
        name: *const c_char,
        length: usize,
    ) -> c_int;
    fn libssh2_session_set_read_timeout(session: *mut raw::LIBSSH2_SESSION, seconds: c_long);
    fn libssh2_session_callback_set2(
        session: *mut raw::LIBSSH2_SESSION,
        kind: c_int,
        callback: Option<Receive>,
    ) -> *mut c_void;
}

/// What came from the socket during a [`watch`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Received {
    pub(crate) bytes: u64,
    /// How often something came.
    times: u32,
    /// Set when nothing will come any more; the errno, if it was not an orderly end.
    pub(crate) end: Option<Option<Errno>>,
}

thread_local! {
    static RECEIVED: Cell<Received> = const { Cell::new(Received { bytes: 0, times: 0, end: None }) };
    static FINISHING: Cell<bool> = const { Cell::new(false) };
    static GREETING: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Keeps the first bytes that libssh2 receives on this thread from now on: of a server that does
/// not speak SSH it tells nothing.
pub(crate) fn keep_greeting() {
    GREETING.set(Some(Vec::new()));
}

/// The bytes kept since [`keep_greeting`], and no more of them.
pub(crate) fn take_greeting() -> Vec<u8> {
    GREETING.take().unwrap_or_default()
}

fn add_to_greeting(bytes: &[u8]) {
    // Fails in a thread that is ending: it may end sessions that it kept, and greets nobody.
    let _ = GREETING.try_with(|greeting| {
        if let Some(greeting) = &mut *greeting.borrow_mut() {
            let room = GREETING_SIZE.saturating_sub(greeting.len());
            greeting.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    });
}

/// Counts what libssh2 receives while `call` runs on this thread.
pub(crate) fn watch<T>(call: impl FnOnce() -> T) -> (T, Received) {
    RECEIVED.set(Received::default());
    let result = call();
    (result, RECEIVED.get())
}

/// How many bytes libssh2 has received since the [`watch`] that is under way began.
pub(crate) fn received_so_far() -> u64 {
    RECEIVED.get().bytes
}

/// While this lives, libssh2 sees the end of the connection on this thread, so that freeing a
/// session does not wait for a peer.
#[derive(Debug)]
pub(crate) struct Finishing(());

impl Finishing {
    /// Changes nothing until [`begin`](Self::begin).
    pub(crate) fn later() -> Self {
        Self(())
    }

    pub(crate) fn begin(&self) {
        FINISHING.set(true);
    }
}

impl Drop for Finishing {
    fn drop(&mut self) {
        FINISHING.set(false);
    }
}

/// Makes libssh2 receive through [`receive`], and leaves all deadlines to us: by itself it gives
/// up on any reply after 60 s.
pub(crate) fn prepare(session: &Session) {
    let mut locked = session.raw();
    // SAFETY: the session is valid and locked; the callback has the signature that this kind of
    // callback is called with, and lives for ever.
    unsafe {
        libssh2_session_callback_set2(&raw mut *locked, CALLBACK_RECV, Some(receive));
        libssh2_session_set_read_timeout(&raw mut *locked, c_long::from(i32::MAX));
    }
}

/// Receives as libssh2 does by itself, but counts, stops at [`RECEIVES_MAX`], and hides the end of the
/// connection: libssh2 would drop what it has received but not handed out.
extern "C" fn receive(
    socket: c_int,
    buffer: *mut c_void,
    length: usize,
    flags: c_int,
    _session: *mut *mut c_void,
) -> isize {
    let again = -(Errno::AGAIN.raw_os_error() as isize);
    let mut total = RECEIVED.get();
    if total.times >= RECEIVES_MAX && !FINISHING.get() {
        // What is left stays in the socket, and whoever waits for that finds it at once.
        return again;
    }
    // SAFETY: libssh2 passes the socket that the session owns and a buffer of this length, both
    // valid for the call. The buffer is written to only.
    let received = unsafe {
        let socket = BorrowedFd::borrow_raw(socket);
        let buffer =
            std::slice::from_raw_parts_mut(buffer.cast::<std::mem::MaybeUninit<u8>>(), length);
        let flags = RecvFlags::from_bits_retain(flags.cast_unsigned());
        rustix::net::recv(socket, buffer, flags).map(|((filled, _), count)| {
            add_to_greeting(filled);
            count
        })
    };
    let end = match received {
        Ok(count) if count > 0 => {
            total.bytes += count as u64;
            total.times += 1;
            RECEIVED.set(total);
            return count.cast_signed();
        }
        Ok(_) => None,
        Err(Errno::AGAIN | Errno::INTR) => return again,
        Err(errno) => Some(errno),
    };
    if FINISHING.get() {
        return end.map_or(0, |errno| -(errno.raw_os_error() as isize));
    }
    total.end = Some(end);
    RECEIVED.set(total);
    again
}

/// "Would block", as libssh2 says it.
pub(crate) fn again() -> Error {
    Error::new(ErrorCode::Session(raw::LIBSSH2_ERROR_EAGAIN), "would block")
}

/// The number of a libssh2 error.
pub(crate) fn code(error: &Error) -> c_int {
    match error.code() {
        ErrorCode::Session(code) | ErrorCode::SFTP(code) => code,
    }
}

pub(crate) fn is_again(error: &Error) -> bool {
    code(error) == raw::LIBSSH2_ERROR_EAGAIN
}

/// Whether an error says more than "no": the session cannot be used any more.
pub(crate) fn is_fatal(error: &Error) -> bool {
    !matches!(
        code(error),
        raw::LIBSSH2_ERROR_AUTHENTICATION_FAILED
            | raw::LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED
            | raw::LIBSSH2_ERROR_PASSWORD_EXPIRED
            | raw::LIBSSH2_ERROR_KEYFILE_AUTH_FAILED
            | raw::LIBSSH2_ERROR_METHOD_NOT_SUPPORTED
            | raw::LIBSSH2_ERROR_METHOD_NONE
            | raw::LIBSSH2_ERROR_ALGO_UNSUPPORTED
            | raw::LIBSSH2_ERROR_FILE
            | raw::LIBSSH2_ERROR_INVAL
            | raw::LIBSSH2_ERROR_BAD_USE
            | raw::LIBSSH2_ERROR_AGENT_PROTOCOL
            | raw::LIBSSH2_ERROR_CHANNEL_FAILURE
            | raw::LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED
            | raw::LIBSSH2_ERROR_EAGAIN
    )
}

/// Whether the connection, not the peer's answer, made a handshake fail.
pub(crate) fn is_connection(error: &Error) -> bool {
    matches!(
        code(error),
        raw::LIBSSH2_ERROR_BANNER_RECV
            | raw::LIBSSH2_ERROR_BANNER_SEND
            | raw::LIBSSH2_ERROR_SOCKET_SEND
            | raw::LIBSSH2_ERROR_SOCKET_RECV
            | raw::LIBSSH2_ERROR_SOCKET_DISCONNECT
            | raw::LIBSSH2_ERROR_TIMEOUT
    )
}

/// Whether the server ended the connection in so many words.
pub(crate) fn is_goodbye(error: &Error) -> bool {
    code(error) == raw::LIBSSH2_ERROR_SOCKET_DISCONNECT
}

/// Whether both sides may have found no common algorithm.
pub(crate) fn is_disagreement(error: &Error) -> bool {
    code(error) == raw::LIBSSH2_ERROR_KEX_FAILURE
}

/// Whether the server refused to open a channel.
pub(crate) fn is_open_refused(error: &Error) -> bool {
    code(error) == raw::LIBSSH2_ERROR_CHANNEL_FAILURE
}

/// Whether the server refused a request on a channel.
pub(crate) fn is_denied(error: &Error) -> bool {
    code(error) == raw::LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED
}

/// Whether a command reads no more input.
pub(crate) fn is_input_closed(error: &Error) -> bool {
    matches!(code(error), raw::LIBSSH2_ERROR_CHANNEL_CLOSED | raw::LIBSSH2_ERROR_CHANNEL_EOF_SENT)
}

/// Whether a private key could not be read.
pub(crate) fn is_bad_key(error: &Error) -> bool {
    matches!(code(error), raw::LIBSSH2_ERROR_FILE | raw::LIBSSH2_ERROR_KEYFILE_AUTH_FAILED)
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
        let mut locked = session.raw();
        let locked: *mut _ = &raw mut *locked;
        // SAFETY: the session is valid and locked; the type's name is copied.
        let channel = unsafe {
            raw::libssh2_channel_open_ex(
                locked,
                kind.as_ptr().cast(),
                kind.len() as c_uint,
                raw::LIBSSH2_CHANNEL_WINDOW_DEFAULT as c_uint,
                raw::LIBSSH2_CHANNEL_PACKET_DEFAULT as c_uint,
                ptr::null(),
                0,
            )
        };
        match NonNull::new(channel) {
            Some(raw) => Ok(Self { raw, session: session.clone() }),
            None => Err(Error::last_session_error_raw(locked).unwrap_or_else(Error::unknown)),
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
        columns: u32,
        rows: u32,
    ) -> Result<(), Error> {
        // No modes: only their end, `TTY_OP_END`.
        let modes = [0_u8];
        let size = |length: u32| c_int::try_from(length).unwrap_or(c_int::MAX);
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

    pub(crate) fn exec(&mut self, command: &[u8]) -> Result<(), Error> {
        let request = b"exec";
        // SAFETY: see `call`; both strings are copied.
        self.call(|channel| unsafe {
            raw::libssh2_channel_process_startup(
                channel,
                request.as_ptr().cast(),
                request.len() as c_uint,
                command.as_ptr().cast(),
                command.len() as c_uint,
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

    /// Whether the server has closed the channel; what it sent need not have been read.
    pub(crate) fn is_closed(&mut self) -> Result<bool, Error> {
        // SAFETY: see `call`.
        match self.call(|channel| unsafe { raw::libssh2_channel_wait_closed(channel) }) {
            Ok(_) => Ok(true),
            // It has not even ended what it sends.
            Err(error) if code(&error) == raw::LIBSSH2_ERROR_INVAL => Ok(false),
            Err(error) if is_again(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Closes the channel and waits for the server to do the same.
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
        let _locked = self.session.raw();
        // SAFETY: the channel is valid until dropped and its session is locked.
        unsafe {
            (libssh2_channel_has_exit_status(self.raw.as_ptr()) != 0)
                .then(|| raw::libssh2_channel_get_exit_status(self.raw.as_ptr()).cast_unsigned())
        }
    }

    /// The name of the signal that ended the command, if the server sent one.
    pub(crate) fn exit_signal(&mut self) -> Option<Vec<u8>> {
        let mut locked = self.session.raw();
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
            raw::libssh2_free(&raw mut *locked, name.as_ptr().cast());
            Some(copy)
        }
    }

    /// Runs a call under the session's lock. The pointer it gets is valid: a channel lives until
    /// it is dropped here or its session is freed, and the session lives as long as this.
    fn call(
        &mut self,
        call: impl FnOnce(*mut raw::LIBSSH2_CHANNEL) -> c_int,
    ) -> Result<usize, Error> {
        let mut locked = self.session.raw();
        let result = call(self.raw.as_ptr());
        usize::try_from(result).map_err(|_| Error::from_session_error_raw(&raw mut *locked, result))
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        let _locked = self.session.raw();
        // SAFETY: the channel is valid, its session locked, and nobody uses the pointer after
        // this. Where it would block, libssh2 keeps the channel until it frees the session.
        unsafe { raw::libssh2_channel_free(self.raw.as_ptr()) };
    }
}
