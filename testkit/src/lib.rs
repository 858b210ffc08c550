//! What our tests run against.
//!
//! * [`sshd`] starts a real OpenSSH server, and reads from its log what it saw.
//! * [`dropbear`] starts Dropbear's server, the one of small machines.
//! * [`embedded`] is an SSH server inside the test's process; nothing need be installed.
//! * [`proxy`] stands between client and server and does what networks do.
//! * [`cable`] leads to a server through a network of its own, and can be pulled out.
//! * `conformance` is one suite for every kind of session, on every server above.
//! * `words` has the bodies of the fuzz targets over what users and peers write.
//! * [`agent`] starts an ssh-agent, [`authority`] signs certificates.
//! * [`keys`] makes the keys, secrets and known_hosts lines for a run.
//!
//! Everything started here is ended when its handle is dropped, also in a panic. What is missing
//! on a machine is an error that names it, so no test is skipped in silence.
#![forbid(unsafe_code)]

#[cfg(feature = "ssh")]
pub mod agent;
#[cfg(feature = "ssh")]
mod attempts;
#[cfg(feature = "ssh")]
pub mod authority;
#[cfg(feature = "ssh")]
mod background;
#[cfg(all(feature = "ssh", target_os = "linux"))]
pub mod cable;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "ssh")]
mod daemon;
#[cfg(feature = "ssh")]
pub mod dropbear;
#[cfg(feature = "ssh")]
pub mod embedded;
#[cfg(feature = "fake")]
pub mod fake;
#[cfg(feature = "ssh")]
pub mod keys;
#[cfg(feature = "ssh")]
mod port;
#[cfg(feature = "ssh")]
pub mod proxy;
#[cfg(feature = "ssh")]
pub mod scripted;
#[cfg(feature = "ssh")]
pub mod sshd;
#[cfg(feature = "words")]
pub mod words;

#[cfg(feature = "ssh")]
pub use attempts::Attempts;
