//! Async SSH sessions over russh, to be pooled or held.
//!
//! [`RusshSession`] is one logged-in connection that any number of tasks may use at once;
//! [`RusshBackend`] opens such sessions for a [`pool_core::AsyncPool`].
//!
//! Every command runs in a task of its own, which takes in what the server sends. Neither a slow
//! reader nor a future that nobody polls holds up the connection's other commands, as only a
//! command that is alone on its connection is made to wait (see `unread.rs`), and a future that is dropped leaves somebody behind who kills the command and closes its
//! channel. A connection that is stuck is ended from outside, by shutting its socket down.
//!
//! A session's bytes go through a socket that we can shut down from beside, whatever the way: TCP, a
//! proxy command's input and output, or a pair of sockets in memory, from whose other end somebody
//! leads on: a relay to a channel of the session on a jump host, or one to a stream that the caller
//! made. A jump host's session is like any other, but opens nothing on its own.
//!
//! ```no_run
//! use backend_russh::RusshSession;
//! use ssh_session::{AsyncSession as _, Auth, Command, Options, Target};
//!
//! # async fn run() -> Result<(), ssh_session::SshError> {
//! let target = Target::new("server.example.com", 22, "deploy")?;
//! let session = RusshSession::connect(&Options::new(target).auth(Auth::Agent)).await?;
//! let output = session.exec(&Command::new("uptime")).await?;
//! println!("{}", output.stdout_lossy());
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod agent;
mod apart;
mod backend;
mod becoming;
pub mod blocking;
mod channels;
mod client;
mod config;
mod deadline;
mod dial;
mod files;
mod forward;
mod heartbeat;
mod keys;
mod learning;
mod liveness;
mod link;
mod login;
mod prefetch;
mod pipe;
mod process;
mod pump;
mod random;
mod relay;
mod running;
mod session;
mod signals;
mod socket;
mod stream;
mod tcp;
mod tunnel;
mod tunnel_open;
mod unread;
mod way;

#[doc(hidden)]
pub use apart::block_in_tasks;
pub use backend::RusshBackend;
pub use files::FileChannel;
pub use process::RusshProcess;
pub use session::RusshSession;
pub use ssh_session;
pub use tunnel::RusshTunnel;
