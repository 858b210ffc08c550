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
mod asking;
mod backend;
mod body;
mod channels;
mod deadline;
mod dial;
mod exec;
mod ffi;
mod heartbeat;
mod hop;
mod keys;
mod link;
mod login;
mod process;
mod relay;
mod resolve;
mod service;
mod session;
mod socket;
mod state;
mod tcp;
mod way;

pub use backend::Ssh2Backend;
pub use process::Ssh2Process;
pub use session::Ssh2Session;
pub use ssh_session;
