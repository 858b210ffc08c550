//! Names to addresses, within a deadline.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use ssh_session::{Phase, SshError, Target, net};

use crate::deadline::Deadline;

/// All addresses of a host, IPv6 and IPv4 in turn.
pub(crate) fn lookup(target: &Target, deadline: &Deadline) -> Result<Vec<SocketAddr>, SshError> {
    let (sender, receiver) = mpsc::channel();
    net::lookup(target, move |found| {
        // Nobody waits any more if this fails.
        let _ = sender.send(found);
    });
    match receiver.recv_timeout(deadline.remaining().unwrap_or(Duration::MAX)) {
        Ok(found) => found,
        Err(RecvTimeoutError::Timeout) => Err(SshError::Timeout {
            target: target.clone(),
            phase: Phase::Resolve,
            elapsed: deadline.elapsed(),
            partial: None,
            maybe_started: false,
        }),
        Err(RecvTimeoutError::Disconnected) => {
            Err(net::resolve_error(target, io::Error::other("no thread to look it up")))
        }
    }
}
