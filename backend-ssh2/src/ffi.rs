//! The calls of libssh2 that the `ssh2` crate lacks or makes unsound.
//!
//! Its `Channel` frees itself without the session's lock, takes only UTF-8, and cannot tell "exit
//! status 0" from "no exit status". So channels are ours: each call takes the session's lock
//! through [`Session::raw`], dropping included.
#![allow(unsafe_code)]

mod auth;
mod channel;
mod errors;
mod receive;

use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use ssh2::{BlockDirections, Session};

pub(crate) use auth::{auth_methods, auth_signed};
pub(crate) use channel::Channel;
pub(crate) use errors::{
    again, is_again, is_connection, is_denied, is_disagreement, is_fatal, is_goodbye,
    is_input_closed, is_open_refused, is_signature_refused, is_unreadable_key, is_unsent_key,
    refused,
};
pub(crate) use receive::{
    Finishing, GREETING_SIZE, keep_greeting, prepare, received_so_far, take_greeting, watch,
};

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

/// Whether a packet was sent in part: nothing else can be sent before the rest of it.
pub(crate) fn is_blocked(session: &Session) -> bool {
    matches!(session.block_directions(), BlockDirections::Outbound | BlockDirections::Both)
}
