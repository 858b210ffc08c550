//! SSH sessions over libssh2, to be pooled or held.
//!
//! [`Ssh2Session`] is one logged-in connection that any number of threads may use at once;
//! [`Ssh2Backend`] opens such sessions for a [`pool_core::Pool`].
//!
//! libssh2 never waits here. It runs in non-blocking mode under one lock of ours, and that lock is
//! never held while waiting: one of the waiting threads polls the socket, the others sleep until
//! it has something for them (see `link.rs`). So a call ends at its deadline whatever the peer
//! does, and several commands run side by side on one connection.
//!
//! Whatever the way to a server, a session runs over a socket: of TCP, or one end of a pair, whose
//! other end is a proxy command's, or is relayed to a channel of the session on a jump host. That
//! session is owned by a thread of its own, which ends with either side (see `relay.rs`).
//!
//! Of what a user may ask for, libssh2 leaves this undone:
//!
//! * It tells neither what a server takes nor that it accepted a credential in part, so the server
//!   is asked where that matters. sshd counts such a question as one of `MaxAuthTries`, but for the
//!   first, which comes before any credential.
//! * A dialogue (keyboard-interactive) in which a prompt was answered can be given up, but no other
//!   one begun on the connection. What nobody answers is left to the next credential that answers
//!   prompts, as long as no other comes before that.
//! * A private key in PEM is read by libssh2, so whether it is the one that was sent before, or the
//!   one that a certificate is for, is not known. Keys in devices are an agent's matter.
//!
//! ```no_run
//! use backend_ssh2::Ssh2Session;
//! use ssh_session::{Auth, Command, Options, Session as _, Target};
//!
//! let target = Target::new("server.example.com", 22, "deploy")?;
//! let session = Ssh2Session::connect(&Options::new(target).auth(Auth::Agent))?;
//! let output = session.exec(&Command::new("uptime"))?;
//! println!("{}", output.stdout_lossy());
//! # Ok::<(), ssh_session::SshError>(())
//! ```
#![deny(unsafe_code)]

mod agent;
mod agreement;
mod prompts;
mod backend;
mod command_io;
mod becoming;
mod channels;
mod deadline;
mod destination;
mod dial;
mod entry;
mod exec;
mod ffi;
mod framing;
mod heartbeat;
mod jump_session;
mod keepalive;
mod keys;
mod link;
mod login;
mod process;
mod relay;
mod resolve;
mod route;
mod service;
mod session;
mod socket;
mod state;
mod tcp;
mod tunnel;
mod tunnel_open;
mod way;

pub use backend::Ssh2Backend;
pub use process::Ssh2Process;
pub use session::Ssh2Session;
pub use ssh_session;
pub use tunnel::Ssh2Tunnel;
