//! libssh2's error numbers, and what they mean to us.

use std::ffi::c_int;

use libssh2_sys as raw;
use ssh2::{Error, ErrorCode};

/// "Would block", as libssh2 says it.
pub(crate) fn again() -> Error {
    Error::new(ErrorCode::Session(raw::LIBSSH2_ERROR_EAGAIN), "would block")
}

/// A refusal of ours.
pub(crate) fn refused(why: &'static str) -> Error {
    Error::new(ErrorCode::Session(raw::LIBSSH2_ERROR_AUTHENTICATION_FAILED), why)
}

/// The number of a libssh2 error.
pub(super) fn code(error: &Error) -> c_int {
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
