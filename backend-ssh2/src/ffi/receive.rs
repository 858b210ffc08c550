//! How libssh2 receives: through a callback of ours.

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_long, c_void};
use std::os::fd::BorrowedFd;

use libssh2_sys as raw;
use rustix::io::Errno;
use rustix::net::RecvFlags;

use super::memory::Account;
use super::session::Session;

/// libssh2's `LIBSSH2_CALLBACK_RECV`.
const CALLBACK_RECV: c_int = 6;

/// How often one call of libssh2 may receive: it reads on for as long as something comes, so without
/// a limit a peer that never stops sending would keep it from returning, beyond any deadline and
/// under our lock. It asks for tens of kilobytes at a time, of a banner for one byte.
const RECEIVES_MAX: u32 = 64;

/// How much of a greeting is kept: less than an SSH server's banner and list of algorithms.
pub(crate) const GREETING_SIZE: usize = 512;

/// What came is nothing that a server sends.
const MISFIT: usize = usize::MAX;

type Receive = extern "C" fn(c_int, *mut c_void, usize, c_int, *mut *mut c_void) -> isize;

unsafe extern "C" {
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
    let locked = session.lock();
    // SAFETY: the session is valid and locked; the callback has the signature that this kind of
    // callback is called with, and lives for ever.
    unsafe {
        libssh2_session_callback_set2(locked.raw(), CALLBACK_RECV, Some(receive));
        libssh2_session_set_read_timeout(locked.raw(), c_long::from(i32::MAX));
    }
}

/// Receives as libssh2 does by itself, but counts, stops at [`RECEIVES_MAX`], and hides the end of the
/// connection: libssh2 would drop what it has received but not handed out.
extern "C" fn receive(
    socket: c_int,
    buffer: *mut c_void,
    length: usize,
    flags: c_int,
    context: *mut *mut c_void,
) -> isize {
    let again = -(Errno::AGAIN.raw_os_error() as isize);
    let mut total = RECEIVED.get();
    if total.times >= RECEIVES_MAX && !FINISHING.get() {
        // What is left stays in the socket, and whoever waits for that finds it at once.
        return again;
    }
    // SAFETY: libssh2 passes the socket that the session owns, a buffer of this length and the
    // session's account, all valid for the call. The buffer is written to only.
    let received = unsafe {
        let socket = BorrowedFd::borrow_raw(socket);
        let buffer =
            std::slice::from_raw_parts_mut(buffer.cast::<std::mem::MaybeUninit<u8>>(), length);
        let flags = RecvFlags::from_bits_retain(flags.cast_unsigned());
        rustix::net::recv(socket, buffer, flags).map(|((filled, _), count)| {
            add_to_greeting(filled);
            let account = Account::of(context);
            let fit = account.map_or(Ok(()), |account| account.framing.read(filled));
            if fit.is_ok() { count } else { MISFIT }
        })
    };
    let end = match received {
        // libssh2 never sees it.
        Ok(MISFIT) => return -(Errno::PROTO.raw_os_error() as isize),
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
