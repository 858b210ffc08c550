//! The calls of libssh2 that the `ssh2` crate lacks or makes unsound.
//!
//! Its `Channel` frees itself without the session's lock, takes only UTF-8, and cannot tell "exit
//! status 0" from "no exit status". So channels are ours: each call takes the session's lock
//! through [`Session::raw`], dropping included.
#![allow(unsafe_code)]

mod channel;
mod errors;
mod receive;

use ssh2::{BlockDirections, Session};

pub(crate) use channel::Channel;
pub(crate) use errors::{
    again, is_again, is_bad_key, is_connection, is_denied, is_disagreement, is_fatal, is_goodbye,
    is_input_closed, is_open_refused,
};
pub(crate) use receive::{
    Finishing, GREETING_SIZE, keep_greeting, prepare, received_so_far, take_greeting, watch,
};

/// Whether a packet was sent in part: nothing else can be sent before the rest of it.
pub(crate) fn is_blocked(session: &Session) -> bool {
    matches!(session.block_directions(), BlockDirections::Outbound | BlockDirections::Both)
}
