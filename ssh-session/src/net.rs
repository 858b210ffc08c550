//! Sockets and name lookup, as every backend wants them. Nothing here waits.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::RecvFlags;
use socket2::{SockRef, TcpKeepalive};

use crate::{ConnectProblem, KeepaliveOptions, SshError, Target, printable};

/// How long an address has before the next one is tried beside it (RFC 8305).
pub const HEAD_START: Duration = Duration::from_millis(250);

/// What a look at a socket says, without taking anything from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pending {
    /// Nothing has come.
    Nothing,
    /// Bytes, and perhaps the end behind them.
    Bytes,
    /// The connection is over.
    End,
}

/// Looks up all addresses of a host, families in turn, and hands them to `answer`.
///
/// The system's resolver cannot be interrupted, so it gets a thread of its own: whoever has waited
/// long enough leaves, and the thread ends by itself once the resolver gives up.
pub fn lookup(
    target: &Target,
    answer: impl FnOnce(Result<Vec<SocketAddr>, SshError>) + Send + 'static,
) {
    if let Ok(address) = target.host().parse::<IpAddr>() {
        return answer(Ok(vec![SocketAddr::new(address, target.port())]));
    }
    let asked = target.clone();
    let started = thread::Builder::new().name("hussh-resolve".into()).spawn(move || {
        let found = (asked.host(), asked.port()).to_socket_addrs().map(Vec::from_iter);
        answer(match found {
            Ok(addresses) if addresses.is_empty() => {
                let error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                Err(resolve_error(&asked, error))
            }
            Ok(addresses) => Ok(interleave(addresses)),
            Err(error) => Err(resolve_error(&asked, error)),
        });
    });
    // Without a thread `answer` is dropped, which its other end notices.
    if let Err(error) = started {
        tracing::debug!(%error, "no thread to look a name up");
    }
}

/// Sets what every session wants: small packets at once, and a kernel that notices dead peers.
///
/// `SO_KEEPALIVE` finds those that die while the line is idle, `TCP_USER_TIMEOUT` those that
/// die with something of ours on its way.
pub fn tune(socket: impl AsFd, keepalive: KeepaliveOptions) {
    let KeepaliveOptions { interval, count_max } = keepalive;
    // The kernel counts in seconds.
    let interval = interval.unwrap_or(Duration::from_secs(30)).max(Duration::from_secs(1));
    let socket = SockRef::from(&socket);
    let probes =
        TcpKeepalive::new().with_time(interval).with_interval(interval).with_retries(count_max);
    let mut refused = vec![socket.set_tcp_nodelay(true), socket.set_tcp_keepalive(&probes)];
    #[cfg(any(target_os = "linux", target_os = "android"))]
    refused.push(
        socket.set_tcp_user_timeout(Some(interval.saturating_mul(count_max.saturating_add(1)))),
    );
    for error in refused.drain(..).filter_map(Result::err) {
        tracing::debug!(%error, "socket option refused");
    }
}

/// Acknowledges at once for a while. sshd sends its answer to the first channel request behind
/// Nagle's algorithm, which would wait for our delayed acknowledgement: 40 ms.
pub fn acknowledge_quickly(socket: impl AsFd) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = SockRef::from(&socket).set_tcp_quickack(true);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = socket;
}

/// What is there to be read from a socket, without taking it.
pub fn pending(socket: impl AsFd) -> Pending {
    match rustix::net::recv(socket, &mut [0], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((_, 0)) => Pending::End,
        Ok(_) => Pending::Bytes,
        Err(Errno::AGAIN | Errno::INTR) => Pending::Nothing,
        Err(_) => Pending::End,
    }
}

/// Whether a server's first words are an SSH server's, or the beginning of such words: the rest may
/// have been cut off.
pub fn is_ssh_banner(greeting: &[u8]) -> bool {
    const START: &[u8] = b"SSH-";
    let mut lines = greeting.split(|byte| *byte == b'\n');
    let last = lines.next_back().unwrap_or_default();
    let begun = !last.is_empty() && START.starts_with(last);
    begun || last.starts_with(START) || lines.any(|line| line.starts_with(START))
}

/// What no address of a host answered, in the words of a user.
pub fn connect_error(target: &Target, source: io::Error) -> SshError {
    let problem = match source.kind() {
        io::ErrorKind::ConnectionRefused => ConnectProblem::Refused,
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::TimedOut => ConnectProblem::Unreachable,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => ConnectProblem::Reset,
        _ => ConnectProblem::Other,
    };
    SshError::Connect { target: target.clone(), problem, source: Arc::new(source) }
}

/// That a jump host does not open the connection to a target, in the words of a user.
///
/// It is forbidden where the reason says that it is prohibited (`administratively prohibited`,
/// RFC 4254, section 5.1).
pub fn jump_error(target: &Target, hop: &Target, reason: &str) -> SshError {
    let problem = match reason.contains("prohibited") {
        true => ConnectProblem::Forbidden,
        false => ConnectProblem::Proxy,
    };
    let text = format!("jump host {hop} does not connect us: {}", printable(reason.as_bytes()));
    SshError::Connect { target: target.clone(), problem, source: Arc::new(io::Error::other(text)) }
}

/// Why a name has no address, in the words of a user.
pub fn resolve_error(target: &Target, source: io::Error) -> SshError {
    SshError::Resolve {
        target: target.clone(),
        // All that std tells about the resolver's answer is its text.
        temporary: source.to_string().contains("Temporary failure"),
        source: Arc::new(source),
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
    use super::{interleave, is_ssh_banner};

    #[test]
    fn a_banner_cut_short_is_one() {
        for greeting in ["S", "SSH", "SSH-", "SSH-2.0-x\r\n", "Welcome\r\nSS", "a\nSSH-2.0-x\r\nb"]
        {
            assert!(is_ssh_banner(greeting.as_bytes()), "{greeting:?}");
        }
        for greeting in ["", "H", "SMTP", "SSH\n", "220 mail\r\n", "Not allowed at this time\r\n"] {
            assert!(!is_ssh_banner(greeting.as_bytes()), "{greeting:?}");
        }
    }

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
