//! libssh2's error numbers, and what they mean to us.

use std::borrow::Cow;
use std::ffi::{CStr, c_char, c_int};
use std::fmt;
use std::ptr;

use libssh2_sys as raw;

/// What a call of libssh2 came to.
#[derive(Debug)]
pub(crate) struct Error {
    code: c_int,
    message: Cow<'static, str>,
}

impl Error {
    pub(super) fn new(code: c_int, message: &'static str) -> Self {
        Self { code, message: Cow::Borrowed(message) }
    }

    /// One of which libssh2 says nothing.
    pub(crate) fn unknown() -> Self {
        Self::new(c_int::MIN, "libssh2 does not say what went wrong")
    }

    /// What no call could make sense of.
    pub(super) fn invalid(message: &'static str) -> Self {
        Self::new(raw::LIBSSH2_ERROR_INVAL, message)
    }

    /// That of a call which came to `code`. libssh2 has words for the last error only.
    ///
    /// # Safety
    ///
    /// The session is valid and locked.
    pub(super) unsafe fn of_session(session: *mut raw::LIBSSH2_SESSION, code: c_int) -> Self {
        let mut text: *mut c_char = ptr::null_mut();
        // SAFETY: as the caller promises; the text is libssh2's own, ends in NUL and is copied
        // before anything else is called.
        unsafe {
            let last = raw::libssh2_session_last_error(session, &mut text, ptr::null_mut(), 0);
            match code {
                0 => Self::unknown(),
                _ if last == code && !text.is_null() => {
                    let message = CStr::from_ptr(text).to_string_lossy().into_owned();
                    Self { code, message: Cow::Owned(message) }
                }
                _ => Self { code, message: Cow::Owned(format!("libssh2's error {code}")) },
            }
        }
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// "Would block", as libssh2 says it.
pub(crate) fn again() -> Error {
    Error::new(raw::LIBSSH2_ERROR_EAGAIN, "would block")
}

/// A refusal of ours.
pub(crate) fn refused(why: &'static str) -> Error {
    Error::new(raw::LIBSSH2_ERROR_AUTHENTICATION_FAILED, why)
}

/// What ends a session: its server does what no server may.
pub(crate) fn violated(what: &'static str) -> Error {
    Error::new(raw::LIBSSH2_ERROR_PROTO, what)
}

/// The number of a libssh2 error.
pub(super) fn code(error: &Error) -> c_int {
    error.code
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

/// Whether the server ended the connection in so many words. Of a login that it ended libssh2 says
/// that it was refused, while it waited for the answer.
pub(crate) fn is_goodbye(error: &Error) -> bool {
    match code(error) {
        raw::LIBSSH2_ERROR_SOCKET_DISCONNECT => true,
        raw::LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED | raw::LIBSSH2_ERROR_AUTHENTICATION_FAILED => {
            error.message().starts_with("Waiting for")
        }
        _ => false,
    }
}

/// Whether both sides may have found no common algorithm.
pub(crate) fn is_disagreement(error: &Error) -> bool {
    code(error) == raw::LIBSSH2_ERROR_KEX_FAILURE
}

/// Whether the server refused to open a channel.
pub(crate) fn is_open_refused(error: &Error) -> bool {
    code(error) == raw::LIBSSH2_ERROR_CHANNEL_FAILURE
}

/// What nobody asked the server for, as it refused others who asked before and still wait.
pub(crate) fn no_channel_left() -> Error {
    let message = "other commands wait for one";
    Error::new(raw::LIBSSH2_ERROR_CHANNEL_FAILURE, message)
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
pub(crate) fn is_unreadable_key(error: &Error) -> bool {
    matches!(code(error), raw::LIBSSH2_ERROR_FILE | raw::LIBSSH2_ERROR_KEYFILE_AUTH_FAILED)
}

/// Whether a key was not judged by the server, since it could not be read or nothing be signed.
pub(crate) fn is_unsent_key(error: &Error) -> bool {
    let unsigned = matches!(
        code(error),
        raw::LIBSSH2_ERROR_METHOD_NONE
            | raw::LIBSSH2_ERROR_METHOD_NOT_SUPPORTED
            | raw::LIBSSH2_ERROR_ALGO_UNSUPPORTED
            | raw::LIBSSH2_ERROR_INVAL
    );
    let by_callback = code(error) == raw::LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED
        && error.message().starts_with("Callback");
    is_unreadable_key(error) || unsigned || by_callback
}

/// Whether the server took a key, but not the signature by it, as it does where it wants more.
pub(crate) fn is_signature_refused(error: &Error) -> bool {
    code(error) == raw::LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED
        && error.message().starts_with("Invalid signature")
}
