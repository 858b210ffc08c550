//! A loopback port that stays ours over a restart.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use russh::keys::key::safe_rng;
use ssh_key::rand_core::Rng;

/// Below the range from which the kernel takes ports for outgoing connections and for port 0:
/// there, nobody takes ours by chance while a server restarts.
const FIRST: u16 = 15_000;
const LAST: u16 = 32_000;

/// A listener on a free loopback port.
pub(crate) fn bind_free() -> io::Result<(TcpListener, SocketAddr)> {
    bind_free_on(Ipv4Addr::LOCALHOST.into())
}

/// A listener on a free port of this address.
pub(crate) fn bind_free_on(ip: IpAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let mut last_error = io::ErrorKind::AddrInUse.into();
    for _ in 0..100 {
        let offset = safe_rng().next_u32() % u32::from(LAST - FIRST);
        let port = FIRST + u16::try_from(offset).unwrap_or_default();
        match TcpListener::bind((ip, port)) {
            Ok(listener) => {
                let address = listener.local_addr()?;
                return Ok((listener, address));
            }
            Err(error) => last_error = error,
        }
    }
    Err(last_error)
}

/// A listener on a port we had before.
pub(crate) fn bind_again(address: SocketAddr) -> io::Result<TcpListener> {
    // std sets SO_REUSEADDR, so connections that linger don't keep us out.
    TcpListener::bind(address)
}
