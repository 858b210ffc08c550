//! A cable that can be pulled out: packets really get lost, in the kernel, on their way.
//!
//! The [`proxy`](crate::proxy) holds bytes back that TCP has acknowledged. Here nothing is
//! acknowledged any more: a network namespace, joined to ours by a pair of virtual interfaces, has
//! a listener whose connections lead on to a server. Pull the cable, and no packet passes either
//! way; nobody is told.
//!
//! Needs root and `ip` (iproute2). Touches nothing but what it makes itself, and takes that away
//! when dropped.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::background::Background;
use crate::keys::random_secret;

/// A listener behind a cable; dropping it takes both away.
#[derive(Debug)]
pub struct Cable {
    // Fields are dropped in this order: sockets keep a namespace alive.
    _background: Background,
    namespace: Namespace,
    address: SocketAddr,
}

/// A namespace with the far end of a pair of interfaces in it.
#[derive(Debug)]
struct Namespace {
    name: String,
    near: String,
    far: String,
}

impl Cable {
    /// A cable to the server at `upstream`, plugged in.
    ///
    /// # Errors
    ///
    /// `ip` is missing, or we may not make a network namespace: this needs root.
    pub fn start(upstream: SocketAddr) -> io::Result<Self> {
        let tag = random_secret().to_lowercase();
        let tag = tag.get(..8).unwrap_or("cable");
        let namespace = Namespace {
            name: format!("test-cable-{tag}"),
            near: format!("tc{tag}-n"),
            far: format!("tc{tag}-f"),
        };
        // 198.18.0.0/15 is set aside for tests of networks (RFC 2544); each cable takes a /30.
        let net = 0xc612_0000 | (fifteen_bits(tag) << 2);
        let (near, far) = (Ipv4Addr::from_bits(net | 1), Ipv4Addr::from_bits(net | 2));
        namespace.make(near, far)?;
        let listener = namespace.listen(far)?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let background = Background::start("test-cable")?;
        let listener = background.enter(|| TcpListener::from_std(listener))?;
        background.spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let _ = near.set_nodelay(true);
                    if let Ok(mut far) = TcpStream::connect(upstream).await {
                        let _ = far.set_nodelay(true);
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
        Ok(Self { _background: background, namespace, address })
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Pulls the cable out at its far end: from now on every packet is lost, both ways.
    pub fn pull(&self) -> io::Result<()> {
        self.namespace.set_far("down")
    }

    /// Plugs it in again. What TCP has not given up by then, it sends again.
    pub fn plug(&self) -> io::Result<()> {
        self.namespace.set_far("up")
    }
}

impl Namespace {
    fn make(&self, near: Ipv4Addr, far: Ipv4Addr) -> io::Result<()> {
        let Self { name, near: near_end, far: far_end } = self;
        ip(&["netns", "add", name])?;
        ip(&["link", "add", near_end, "type", "veth", "peer", "name", far_end, "netns", name])?;
        ip(&["address", "add", &format!("{near}/30"), "dev", near_end])?;
        ip(&["link", "set", near_end, "up"])?;
        ip(&["-n", name, "address", "add", &format!("{far}/30"), "dev", far_end])?;
        self.set_far("up")
    }

    fn set_far(&self, state: &str) -> io::Result<()> {
        ip(&["-n", &self.name, "link", "set", &self.far, state])
    }

    /// A listener in the namespace. A socket stays where it was made, whoever uses it.
    fn listen(&self, address: Ipv4Addr) -> io::Result<StdListener> {
        let namespace = File::open(format!("/run/netns/{}", self.name))?;
        // A thread of its own, since it never comes back from there.
        let listening = thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            StdListener::bind((address, 0))
        });
        listening.join().unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The pair goes with either of its ends.
        let _ = ip(&["link", "delete", &self.near]);
        let _ = ip(&["netns", "delete", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> io::Result<()> {
    let output = Command::new("ip")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("ip (iproute2): {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!("`ip {}` needs root: {said}", arguments.join(" "))))
}

fn fifteen_bits(text: &str) -> u32 {
    let mix = |sum: u32, byte: u8| sum.wrapping_mul(31).wrapping_add(byte.into());
    text.bytes().fold(17, mix) & 0x7fff
}
