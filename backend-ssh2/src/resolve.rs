//! Names to addresses, within a deadline.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use ssh_session::{Phase, SshError, Target};

use crate::deadline::Deadline;

/// All addresses of a host, IPv6 and IPv4 in turn.
pub(crate) fn lookup(target: &Target, deadline: &Deadline) -> Result<Vec<SocketAddr>, SshError> {
    if let Ok(address) = target.host().parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, target.port())]);
    }
    let failed = |source: io::Error| SshError::Resolve {
        target: target.clone(),
        // All that std tells about the resolver's answer is its text.
        temporary: source.to_string().contains("Temporary failure"),
        source: Arc::new(source),
    };
    // The system's resolver cannot be interrupted; a thread that outlives the deadline ends by
    // itself once the resolver gives up.
    let (sender, receiver) = mpsc::channel();
    let asked = target.clone();
    thread::Builder::new()
        .name("hussh-resolve".into())
        .spawn(move || {
            let found = (asked.host(), asked.port()).to_socket_addrs().map(Vec::from_iter);
            // Nobody waits any more if this fails.
            let _ = sender.send(found);
        })
        .map_err(failed)?;
    let patience = deadline.remaining().unwrap_or(Duration::MAX);
    match receiver.recv_timeout(patience) {
        Ok(Ok(addresses)) if addresses.is_empty() => {
            Err(failed(io::Error::new(io::ErrorKind::NotFound, "the name has no address")))
        }
        Ok(Ok(addresses)) => Ok(interleave(addresses)),
        Ok(Err(error)) => Err(failed(error)),
        Err(RecvTimeoutError::Timeout) => Err(SshError::Timeout {
            target: target.clone(),
            phase: Phase::Resolve,
            elapsed: deadline.elapsed(),
            partial: None,
            maybe_started: false,
        }),
        Err(RecvTimeoutError::Disconnected) => {
            Err(failed(io::Error::other("the resolver's thread died")))
        }
    }
}

/// Families in turn, the resolver's favourite first, so that one that leads nowhere costs little.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let v6_first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == v6_first);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut mixed = Vec::new();
    loop {
        let pair = (first.next(), second.next());
        if pair == (None, None) {
            return mixed;
        }
        mixed.extend([pair.0, pair.1].into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::interleave;

    #[test]
    fn families_take_turns() {
        let parse = |list: &[&str]| {
            list.iter().map(|text| text.parse().expect("an address")).collect::<Vec<_>>()
        };
        assert_eq!(
            interleave(parse(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"])),
            parse(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"])
        );
    }
}
