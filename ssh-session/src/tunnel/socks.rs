//! The server's half of a SOCKS 5 handshake (RFC 1928): `CONNECT`, without authentication.
//!
//! It says how many bytes it wants next, so that nothing behind the handshake is ever read with it.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Destination;
use crate::{SshError, TunnelProblem};

const VERSION: u8 = 5;
/// No authentication, of the methods of RFC 1928, 3.
const NO_AUTHENTICATION: u8 = 0;
const CONNECT: u8 = 1;

/// A handshake under way.
#[derive(Debug, Default, Clone)]
pub struct SocksHandshake {
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Version and number of methods.
    #[default]
    Greeting,
    Methods(u8),
    /// Version, command, reserved, type of address.
    Request,
    /// The length of a name.
    NameLength,
    /// The address and the port behind it.
    Address(Kind),
    /// Nothing more is to be read.
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    V4,
    V6,
    Name(u8),
}

/// What comes of the bytes that were wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocksStep {
    /// More is wanted.
    Read,
    /// This is to be sent, and more is wanted.
    Send(&'static [u8]),
    /// A connection to there is wanted; [`reply`] is the answer.
    Connect(Destination),
    /// This is to be sent, if it is anything, and the connection to be closed.
    Refuse(&'static [u8]),
}

impl SocksHandshake {
    /// How many bytes are to be read next: 257 at most, 0 where it is over.
    pub fn wanted(&self) -> usize {
        match self.state {
            State::Greeting => 2,
            State::Methods(count) => count.into(),
            State::Request => 4,
            State::NameLength => 1,
            State::Address(Kind::V4) => 4 + 2,
            State::Address(Kind::V6) => 16 + 2,
            State::Address(Kind::Name(length)) => usize::from(length) + 2,
            State::Over => 0,
        }
    }

    /// Takes in exactly as many bytes as were [wanted](Self::wanted).
    pub fn receive(&mut self, bytes: &[u8]) -> SocksStep {
        let (next, step) = match (self.state, bytes) {
            (State::Greeting, [VERSION, count]) if *count > 0 => {
                (State::Methods(*count), SocksStep::Read)
            }
            (State::Methods(count), methods) if methods.len() == usize::from(count) => {
                if methods.contains(&NO_AUTHENTICATION) {
                    (State::Request, SocksStep::Send(&[VERSION, NO_AUTHENTICATION]))
                } else {
                    (State::Over, SocksStep::Refuse(&[VERSION, 0xff]))
                }
            }
            (State::Request, [VERSION, CONNECT, _, 1]) => {
                (State::Address(Kind::V4), SocksStep::Read)
            }
            (State::Request, [VERSION, CONNECT, _, 3]) => (State::NameLength, SocksStep::Read),
            (State::Request, [VERSION, CONNECT, _, 4]) => {
                (State::Address(Kind::V6), SocksStep::Read)
            }
            (State::Request, [VERSION, CONNECT, ..]) => refusal(8),
            (State::Request, [VERSION, ..]) => refusal(7),
            (State::NameLength, [length]) if *length > 0 => {
                (State::Address(Kind::Name(*length)), SocksStep::Read)
            }
            (State::NameLength, [_]) => refusal(1),
            (State::Address(kind), bytes) => match destination(kind, bytes) {
                Some(to) => (State::Over, SocksStep::Connect(to)),
                None => refusal(1),
            },
            // Not SOCKS 5; nothing that we say would be understood.
            _ => (State::Over, SocksStep::Refuse(&[])),
        };
        self.state = next;
        step
    }
}

fn refusal(code: u8) -> (State, SocksStep) {
    (State::Over, SocksStep::Refuse(answer(code)))
}

fn destination(kind: Kind, bytes: &[u8]) -> Option<Destination> {
    let (address, port) = bytes.split_last_chunk::<2>()?;
    let host = match kind {
        Kind::V4 => Ipv4Addr::from(*address.first_chunk::<4>()?).to_string(),
        Kind::V6 => Ipv6Addr::from(*address.first_chunk::<16>()?).to_string(),
        Kind::Name(_) => std::str::from_utf8(address).ok()?.to_owned(),
    };
    let to = Destination::tcp(host, u16::from_be_bytes(*port));
    to.validate().is_ok().then_some(to)
}

/// What the client is told of its connection: opened, or why not.
pub fn reply(opened: Result<(), &SshError>) -> &'static [u8] {
    answer(match opened {
        Ok(()) => 0,
        Err(SshError::Tunnel(error)) => match error.problem {
            TunnelProblem::Prohibited => 2,
            TunnelProblem::ConnectFailed => 5,
            _ => 1,
        },
        // The destination does not answer: "host unreachable".
        Err(SshError::Timeout { .. }) => 4,
        Err(_) => 1,
    })
}

/// A reply with this code. Where the server has bound its end is not known: 0.0.0.0, port 0.
fn answer(code: u8) -> &'static [u8] {
    const REPLIES: [[u8; 10]; 9] = {
        let mut replies = [[VERSION, 0, 0, 1, 0, 0, 0, 0, 0, 0]; 9];
        let mut code = 0;
        while code < replies.len() {
            replies[code][1] = code as u8;
            code += 1;
        }
        replies
    };
    static ALL: [[u8; 10]; 9] = REPLIES;
    ALL.get(usize::from(code)).unwrap_or(&ALL[1])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Destination, SocksHandshake, SocksStep};

    /// Plays the bytes of a client, as far as they are wanted: what was sent, how it came out, and
    /// how many were read.
    fn play(bytes: &[u8]) -> (Vec<u8>, Option<SocksStep>, usize) {
        let (mut handshake, mut sent, mut at) = (SocksHandshake::default(), Vec::new(), 0);
        loop {
            let Some(next) = bytes.get(at..at + handshake.wanted()) else {
                return (sent, None, at);
            };
            at += next.len();
            match handshake.receive(next) {
                SocksStep::Read => {}
                SocksStep::Send(bytes) => sent.extend_from_slice(bytes),
                over => {
                    assert_eq!(handshake.wanted(), 0);
                    return (sent, Some(over), at);
                }
            }
        }
    }

    #[test]
    fn names_and_addresses_of_both_families_are_connected_to() {
        let greeting = [5, 2, 2, 0];
        for (request, host) in [
            ([&[5, 1, 0, 1, 127, 0, 0, 1][..], &[0, 80]].concat(), "127.0.0.1"),
            ([&[5, 1, 0, 3, 2][..], b"db", &[0, 80]].concat(), "db"),
            ([&[5, 1, 0, 4][..], &[0; 15], &[1, 0, 80]].concat(), "::1"),
        ] {
            let bytes = [&greeting[..], &request, b"what follows"].concat();
            let (sent, step, read) = play(&bytes);
            assert_eq!(sent, [5, 0]);
            assert_eq!(step, Some(SocksStep::Connect(Destination::tcp(host, 80))));
            assert_eq!(&bytes[read..], b"what follows");
        }
    }

    #[test]
    fn what_is_not_offered_here_is_refused_in_the_words_of_the_protocol() {
        assert_eq!(play(&[5, 1, 2]).1, Some(SocksStep::Refuse(&[5, 0xff])), "with a password only");
        let bind = play(&[5, 1, 0, 5, 2, 0, 1]).1;
        assert!(matches!(bind, Some(SocksStep::Refuse([5, 7, ..]))), "{bind:?}");
        let address = play(&[5, 1, 0, 5, 1, 0, 2]).1;
        assert!(matches!(address, Some(SocksStep::Refuse([5, 8, ..]))), "{address:?}");
        let port = play(&[5, 1, 0, 5, 1, 0, 1, 1, 2, 3, 4, 0, 0]).1;
        assert!(matches!(port, Some(SocksStep::Refuse([5, 1, ..]))), "{port:?}");
        assert_eq!(play(b"\x04\x01\0\x50").1, Some(SocksStep::Refuse(&[])), "SOCKS 4");
        assert_eq!(play(b"GET / HTTP/1.1\r\n").1, Some(SocksStep::Refuse(&[])));
    }

    proptest! {
        #[test]
        fn any_client_is_answered_within_bounds_and_connects_to_what_is_valid(
            tail in prop::collection::vec(any::<u8>(), 0..600),
            begins in any::<bool>(),
        ) {
            let head: &[u8] = if begins { &[5, 1, 0, 5, 1, 0] } else { &[] };
            let (sent, step, read) = play(&[head, &tail].concat());
            prop_assert!(read <= 2 + 255 + 4 + 1 + 257 && sent.len() <= 2);
            if let Some(SocksStep::Connect(to)) = step {
                prop_assert!(to.validate().is_ok());
            }
        }
    }
}
