//! A session of libssh2, under a lock of its own.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_ulong, c_void};
use std::os::fd::AsRawFd as _;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libssh2_sys as raw;
use ssh_session::printable;

use super::errors::Error;
use super::memory::{self, Account};
use crate::framing::Framing;
use crate::socket::Socket;

/// What a session may hold of its own, in bytes: its buffers, keys and channels take some 100 KiB,
/// and one call takes in a megabyte or two.
const OWN: usize = 8 << 20;

/// What a byte of output may take in memory: it may come in a packet of its own.
const PER_BYTE: usize = 128;

/// What sessions agree on with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Kex,
    HostKey,
    CipherOut,
    CipherIn,
    MacOut,
    MacIn,
    /// By what RSA keys of ours sign.
    UserRsa,
}

/// A handle of a session, which never waits.
#[derive(Clone)]
pub(crate) struct Session {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    raw: NonNull<raw::LIBSSH2_SESSION>,
    /// Pointed to by libssh2. Through that pointer only is it used.
    account: NonNull<Account>,
    /// Kept open as long as libssh2 uses its number.
    socket: Option<Socket>,
    /// Channels that are open, so that what waits in them can be told from what nobody asked for.
    channels: Vec<NonNull<raw::LIBSSH2_CHANNEL>>,
}

// SAFETY: the pointers are used only under the lock around this.
unsafe impl Send for Inner {}

/// A session that nobody else uses meanwhile.
pub(super) struct Locked<'a>(MutexGuard<'a, Inner>);

impl Locked<'_> {
    pub(super) fn raw(&self) -> *mut raw::LIBSSH2_SESSION {
        self.0.raw.as_ptr()
    }

    /// An error that a call came to.
    pub(super) fn error(&self, code: c_int) -> Error {
        // SAFETY: the session is valid and locked.
        unsafe { Error::of_session(self.raw(), code) }
    }

    /// The last error.
    pub(super) fn last_error(&self) -> Error {
        // SAFETY: the session is valid and locked.
        unsafe { Error::of_session(self.raw(), raw::libssh2_session_last_errno(self.raw())) }
    }

    pub(super) fn opened(&mut self, channel: NonNull<raw::LIBSSH2_CHANNEL>) {
        self.0.channels.push(channel);
    }

    pub(super) fn freed(&mut self, channel: NonNull<raw::LIBSSH2_CHANNEL>) {
        self.0.channels.retain(|open| *open != channel);
    }

    fn check(&self, code: c_int) -> Result<(), Error> {
        if code == 0 { Ok(()) } else { Err(self.error(code)) }
    }
}

impl Session {
    pub(crate) fn new() -> Result<Self, Error> {
        raw::init();
        let account = NonNull::from(Box::leak(Box::new(Account::new())));
        // SAFETY: the functions have the signatures that libssh2 calls them with and live for
        // ever, and the account outlives the session (see `Drop`).
        let session = unsafe {
            let (allocate, release, reallocate) =
                (memory::allocate, memory::release, memory::reallocate);
            raw::libssh2_session_init_ex(
                Some(allocate),
                Some(release),
                Some(reallocate),
                account.as_ptr().cast(),
            )
        };
        let Some(raw) = NonNull::new(session) else {
            // SAFETY: it came from a box, and nobody has it.
            drop(unsafe { Box::from_raw(account.as_ptr()) });
            return Err(Error::unknown());
        };
        // SAFETY: the session is valid, and nobody else has it yet.
        unsafe { raw::libssh2_session_set_blocking(raw.as_ptr(), 0) };
        let inner = Inner { raw, account, socket: None, channels: Vec::new() };
        Ok(Self { inner: Arc::new(Mutex::new(inner)) })
    }

    /// Greets the server, agrees on keys and checks the server's signature; to be repeated while
    /// it would block.
    pub(crate) fn handshake(&self) -> Result<(), Error> {
        let locked = self.lock();
        let Some(socket) = &locked.0.socket else { return Err(Error::unknown()) };
        // SAFETY: the session is valid and locked, and the socket stays open as long as it lives.
        let done = unsafe { raw::libssh2_session_handshake(locked.raw(), socket.as_raw_fd()) };
        locked.check(done)
    }

    /// Looks at what is known of the server's bytes.
    pub(crate) fn with_framing<T>(&self, look: impl FnOnce(&mut Framing) -> T) -> T {
        let mut locked = self.lock();
        // SAFETY: the account lives as long as the session, which is locked.
        look(&mut unsafe { locked.0.account.as_mut() }.framing)
    }

    pub(crate) fn set_socket(&self, socket: Socket) {
        self.lock().0.socket = Some(socket);
    }

    pub(crate) fn set_banner(&self, banner: &CStr) -> Result<(), Error> {
        let locked = self.lock();
        // SAFETY: the session is valid and locked, and the text is copied.
        locked.check(unsafe { raw::libssh2_session_banner_set(locked.raw(), banner.as_ptr()) })
    }

    /// What is to be agreed on, best first. Names that libssh2 doesn't know are left out; an error
    /// if none is left.
    pub(crate) fn prefer(&self, method: Method, names: &str) -> Result<(), Error> {
        let names = c_string(names)?;
        let locked = self.lock();
        // SAFETY: the session is valid and locked, and the text is copied.
        let done = unsafe {
            raw::libssh2_session_method_pref(locked.raw(), method.number(), names.as_ptr())
        };
        locked.check(done)
    }

    /// What libssh2 has, as it was built.
    pub(crate) fn supported(&self, method: Method) -> Result<Vec<String>, Error> {
        let locked = self.lock();
        let mut list: *mut *const c_char = ptr::null_mut();
        // SAFETY: the session is valid and locked. A list has as many names as it says, each of
        // which ends in NUL, and is ours to free.
        unsafe {
            let session = locked.raw();
            let count = raw::libssh2_session_supported_algs(session, method.number(), &mut list);
            let length = usize::try_from(count).map_err(|_| locked.error(count))?;
            if list.is_null() {
                return Ok(Vec::new());
            }
            let names = std::slice::from_raw_parts(list, length);
            let names = names.iter().filter(|name| !name.is_null());
            let names =
                names.map(|name| CStr::from_ptr(*name).to_string_lossy().into_owned()).collect();
            raw::libssh2_free(session, list.cast());
            Ok(names)
        }
    }

    /// What was agreed on.
    pub(crate) fn agreed(&self, method: Method) -> Option<String> {
        let locked = self.lock();
        // SAFETY: the session is valid and locked; a text ends in NUL and is copied at once.
        unsafe {
            let name = raw::libssh2_session_methods(locked.raw(), method.number());
            (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
        }
    }

    /// The server's key in wire format.
    pub(crate) fn host_key(&self) -> Vec<u8> {
        let locked = self.lock();
        let (mut length, mut kind) = (0, 0);
        // SAFETY: the session is valid and locked; a key that is not null has this length, and is
        // copied at once.
        unsafe {
            let key = raw::libssh2_session_hostkey(locked.raw(), &mut length, &mut kind);
            if key.is_null() {
                return Vec::new();
            }
            std::slice::from_raw_parts(key.cast::<u8>(), length).to_vec()
        }
    }

    /// Whether the server's key is this one. It is another one where keys were agreed on anew by
    /// another.
    pub(crate) fn has_host_key(&self, key: &[u8]) -> bool {
        let locked = self.lock();
        let (mut length, mut kind) = (0, 0);
        // SAFETY: the session is valid and locked; a key that is not null has this length, and is
        // looked at before anything else is called.
        unsafe {
            let own = raw::libssh2_session_hostkey(locked.raw(), &mut length, &mut kind);
            // Between two keys there is none.
            own.is_null() || std::slice::from_raw_parts(own.cast::<u8>(), length) == key
        }
    }

    pub(crate) fn authenticated(&self) -> bool {
        // SAFETY: the session is valid and locked.
        unsafe { raw::libssh2_userauth_authenticated(self.lock().raw()) != 0 }
    }

    /// Sends a password; to be repeated while it would block.
    pub(crate) fn userauth_password(&self, user: &str, password: &str) -> Result<(), Error> {
        let locked = self.lock();
        // SAFETY: the session is valid and locked; both texts have these lengths and are copied.
        let done = unsafe {
            raw::libssh2_userauth_password_ex(
                locked.raw(),
                user.as_ptr().cast(),
                user.len() as c_uint,
                password.as_ptr().cast(),
                password.len() as c_uint,
                None,
            )
        };
        locked.check(done)
    }

    /// Signs with a private key; to be repeated while it would block.
    pub(crate) fn userauth_pubkey_memory(
        &self,
        user: &str,
        public: Option<&str>,
        private: &str,
        passphrase: Option<&str>,
    ) -> Result<(), Error> {
        let public = public.map(c_string).transpose()?;
        let passphrase = passphrase.map(c_string).transpose()?;
        let private = c_string(private)?;
        let locked = self.lock();
        // SAFETY: the session is valid and locked; the texts have these lengths, end in NUL where
        // libssh2 wants that, and are copied or used up before the call returns.
        let done = unsafe {
            raw::libssh2_userauth_publickey_frommemory(
                locked.raw(),
                user.as_ptr().cast(),
                user.len(),
                public.as_ref().map_or(ptr::null(), |public| public.as_ptr()),
                public.as_ref().map_or(0, |public| public.as_bytes().len()),
                private.as_ptr(),
                private.as_bytes().len(),
                passphrase.as_ref().map_or(ptr::null(), |passphrase| passphrase.as_ptr()),
            )
        };
        locked.check(done)
    }

    /// Asks for a sign of life in a way that no answer can be matched to. Not more often than every
    /// other second, and only where the socket takes it: libssh2 does not tell where it does not.
    pub(crate) fn ask_unmatched(&self) -> Result<(), Error> {
        let locked = self.lock();
        let mut next = 0;
        // SAFETY: the session is valid and locked. The interval is for waits, of which there are none
        // in non-blocking mode, and has to be set for anything to be sent.
        let sent = unsafe {
            raw::libssh2_keepalive_config(locked.raw(), 1, 2);
            raw::libssh2_keepalive_send(locked.raw(), &raw mut next)
        };
        locked.check(sent)
    }

    /// Says goodbye.
    pub(crate) fn disconnect(&self) -> Result<(), Error> {
        /// `SSH_DISCONNECT_BY_APPLICATION`
        const BY_APPLICATION: c_int = 11;
        let locked = self.lock();
        let (words, language) = (c"done", c"");
        // SAFETY: the session is valid and locked, and the texts end in NUL and are copied.
        let done = unsafe {
            raw::libssh2_session_disconnect_ex(
                locked.raw(),
                BY_APPLICATION,
                words.as_ptr(),
                language.as_ptr(),
            )
        };
        locked.check(done)
    }

    /// Whether a packet was sent in part: nothing else can be sent before the rest of it.
    pub(crate) fn is_blocked(&self) -> bool {
        // SAFETY: the session is valid and locked.
        let directions = unsafe { raw::libssh2_session_block_directions(self.lock().raw()) };
        directions & raw::LIBSSH2_SESSION_BLOCK_OUTBOUND != 0
    }

    /// What is wrong where libssh2 came to this error: it knows less of it than we do.
    pub(crate) fn why(&self, error: &Error) -> String {
        let violation = self.with_framing(|framing| framing.violation);
        violation.map_or_else(|| printable(error.message().as_bytes()), str::to_owned)
    }

    /// Whether libssh2 holds more for this session than what came for open channels and was not
    /// read yet can account for: packets that nobody asked for.
    pub(crate) fn is_flooded(&self) -> bool {
        let locked = self.lock();
        // SAFETY: the account lives as long as the session, which is locked.
        let held = unsafe { locked.0.account.as_ref() }.held();
        if held <= OWN {
            return false;
        }
        let channels = locked.0.channels.iter();
        // SAFETY: the channels are valid: they leave the list before they are freed.
        let unread = channels.map(|channel| unsafe { unread(channel.as_ptr()) }).sum::<usize>();
        held - OWN > unread.saturating_mul(PER_BYTE)
    }

    pub(super) fn lock(&self) -> Locked<'_> {
        Locked(self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs a call with somebody to answer prompts, whom its callback finds in the account.
    pub(super) fn with_prompter(
        &self,
        prompter: NonNull<c_void>,
        call: impl FnOnce(*mut raw::LIBSSH2_SESSION) -> c_int,
    ) -> Result<(), Error> {
        let locked = self.lock();
        let account = locked.0.account.as_ptr();
        // SAFETY: the account lives as long as the session, which is locked; libssh2 uses it in
        // callbacks of the call only, between these two.
        unsafe { (*account).prompter = Some(prompter) };
        let done = call(locked.raw());
        unsafe { (*account).prompter = None };
        locked.check(done)
    }
}

/// Bytes that came for a channel and were not read yet.
///
/// # Safety
///
/// The channel is valid and its session locked.
pub(super) unsafe fn unread(channel: *mut raw::LIBSSH2_CHANNEL) -> usize {
    let (mut waiting, mut window): (c_ulong, c_ulong) = (0, 0);
    // SAFETY: as the caller promises.
    unsafe { raw::libssh2_channel_window_read_ex(channel, &mut waiting, &mut window) };
    usize::try_from(waiting).unwrap_or(usize::MAX)
}

impl Method {
    fn number(self) -> c_int {
        match self {
            Self::Kex => raw::LIBSSH2_METHOD_KEX,
            Self::HostKey => raw::LIBSSH2_METHOD_HOSTKEY,
            Self::CipherOut => raw::LIBSSH2_METHOD_CRYPT_CS,
            Self::CipherIn => raw::LIBSSH2_METHOD_CRYPT_SC,
            Self::MacOut => raw::LIBSSH2_METHOD_MAC_CS,
            Self::MacIn => raw::LIBSSH2_METHOD_MAC_SC,
            Self::UserRsa => raw::LIBSSH2_METHOD_SIGN_ALGO,
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: nobody has the session any more, and no channel of it is left: each keeps a
        // handle. The account came from a box, and libssh2 uses it no more once it has freed all.
        unsafe {
            let freed = raw::libssh2_session_free(self.raw.as_ptr());
            if freed == 0 {
                drop(Box::from_raw(self.account.as_ptr()));
            }
        }
    }
}

pub(super) fn c_string(text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| Error::invalid("there is a NUL character in it"))
}
