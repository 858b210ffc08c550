//! libssh2, called safely.
//!
//! The `ssh2` crate would do much of this, but not what matters here: its `Channel` frees itself
//! without the session's lock, takes only UTF-8, and cannot tell "exit status 0" from "no exit
//! status", and its `Session` lets libssh2 allocate without a bound. So both are ours: each call
//! takes the session's lock, dropping included, and what libssh2 holds is counted.
#![allow(unsafe_code)]

mod auth;
mod channel;
mod errors;
mod memory;
mod receive;
mod session;

use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

pub(crate) use auth::{Prompt, Prompter, auth_interactive, auth_methods, auth_signed};
pub(crate) use channel::Channel;
pub(crate) use errors::{
    Error, again, is_again, is_connection, is_denied, is_disagreement, is_fatal, is_goodbye,
    is_input_closed, is_open_refused, is_signature_refused, is_unreadable_key, is_unsent_key,
    no_channel_left, refused,
};
pub(crate) use receive::{
    Finishing, GREETING_SIZE, keep_greeting, prepare, received_so_far, take_greeting, watch,
};
pub(crate) use session::{Method, Session};

/// Closes this process's copy of a connected socket without a word to the peer, or to the process
/// that it was copied from. The number stays taken, by an end of a pair whose other end is gone, so
/// that whoever still holds it hits nothing else.
pub(crate) fn disconnect_copy(socket: &impl AsRawFd) {
    let Ok((dead, _)) = std::os::unix::net::UnixStream::pair() else { return };
    // SAFETY: the number is that of an open descriptor, whose owner outlives this call and keeps
    // it, since `ManuallyDrop` does not close it.
    let mut copy = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(socket.as_raw_fd()) });
    if let Err(error) = rustix::io::dup2(dead, &mut copy) {
        tracing::warn!(%error, "a copy of a session's socket stays open");
    }
}
