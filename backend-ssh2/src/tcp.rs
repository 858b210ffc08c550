//! TCP connections, to whichever address answers first.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use pool_core::Interrupt;
use rustix::event::{PollFd, PollFlags};
use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use ssh_session::{Options, Phase, SshError, net};

use crate::deadline::Deadline;
use crate::socket::{Socket, poll_until};

/// Connects to the first address that answers.
pub(crate) fn connect(
    options: &Options,
    addresses: &[SocketAddr],
    deadline: &Deadline,
    interrupt: &Interrupt,
) -> Result<Socket, SshError> {
    let attempts = Attempts::default();
    interrupt.on_interrupt({
        let attempts = attempts.clone();
        move || attempts.give_up()
    });
    let mut waiting: Vec<RawSocket> = Vec::new();
    let mut untried = addresses.iter();
    let mut last_error = None;
    loop {
        let next_start = Instant::now() + net::HEAD_START;
        let started = match untried.next() {
            Some(address) => match start(*address) {
                Ok(socket) => {
                    attempts.note(&socket);
                    waiting.push(socket);
                    true
                }
                Err(error) => {
                    last_error = Some(error);
                    continue;
                }
            },
            None => false,
        };
        // Until the next address is due, or for good behind the last one.
        loop {
            if waiting.is_empty() {
                break;
            }
            if deadline.is_over() {
                return Err(SshError::Timeout {
                    target: options.target.clone(),
                    phase: Phase::Connect,
                    elapsed: deadline.elapsed(),
                    partial: None,
                    maybe_started: false,
                });
            }
            let more = started && untried.len() > 0;
            if more && Instant::now() >= next_start {
                break;
            }
            let until = match (deadline.at(), more.then_some(next_start)) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            for index in ready(&waiting, until).into_iter().rev() {
                let socket = waiting.swap_remove(index);
                match socket.take_error() {
                    Ok(None) => {
                        return Ok(Socket::tcp(socket.into(), options.keepalive));
                    }
                    Ok(Some(error)) | Err(error) => last_error = Some(error),
                }
            }
        }
        if waiting.is_empty() && untried.len() == 0 {
            let source = last_error.unwrap_or_else(|| io::Error::other("no address to connect to"));
            return Err(net::connect_error(&options.target, source));
        }
    }
}

/// The connections being tried, for whoever gives them up.
#[derive(Clone, Default)]
struct Attempts(Arc<Mutex<Vec<RawSocket>>>);

impl Attempts {
    fn note(&self, socket: &RawSocket) {
        // Without a second descriptor this one ends with its time.
        if let Ok(socket) = socket.try_clone() {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(socket);
        }
    }

    /// A socket that is shut down while it connects has failed, and whoever polls it wakes up.
    fn give_up(&self) {
        for socket in self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

fn start(address: SocketAddr) -> io::Result<RawSocket> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    match socket.connect(&address.into()) {
        Err(error)
            if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error())
                && error.kind() != io::ErrorKind::WouldBlock =>
        {
            Err(error)
        }
        _ => Ok(socket),
    }
}

/// The sockets whose attempt has ended one way or the other, in rising order.
fn ready(waiting: &[RawSocket], until: Option<Instant>) -> Vec<usize> {
    let mut watched: Vec<_> =
        waiting.iter().map(|socket| PollFd::new(socket, PollFlags::OUT)).collect();
    let _ = poll_until(&mut watched, until);
    (0..watched.len()).filter(|index| !watched[*index].revents().is_empty()).collect()
}
