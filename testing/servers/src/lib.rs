//! The servers, networks, agents and keys that sessions are tested against.
//!
//! * [`sshd`] starts a real OpenSSH server, and reads from its log what it saw.
//! * [`dropbear`] starts Dropbear's server, the one of small machines.
//! * [`embedded`] is an SSH server inside the test's process; nothing need be installed.
//! * [`distant`] puts any of them at the far end of a network.
//! * [`proxy`] stands between client and server and does what networks do.
//! * [`cable`] leads to a server through a network of its own, and can be pulled out.
//! * [`agent`] starts an ssh-agent, [`fido`] stands for one with a security key; [`authority`] signs certificates.
//! * [`keys`] makes the keys, secrets and known_hosts lines for a run.
//!
//! Everything started here is ended when its handle is dropped, also in a panic. What is missing
//! on a machine is an error that names it, so no test is skipped in silence.
#![forbid(unsafe_code)]

pub mod agent;
mod attempts;
pub mod authority;
mod background;
#[cfg(target_os = "linux")]
pub mod cable;
mod daemon;
pub mod distant;
pub mod dropbear;
pub mod embedded;
pub mod fido;
pub mod keys;
mod place;
mod port;
pub mod proxy;
pub mod scripted;
pub mod sshd;
pub mod sudo;

pub use attempts::Attempts;
pub use place::Place;
