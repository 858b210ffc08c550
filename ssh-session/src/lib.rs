//! The words that SSH backends share: whom to talk to, as whom, which host keys to believe, what
//! to run, what came back, and what went wrong.
//!
//! Nothing here waits for a peer. A backend is given [`Options`], asks [`HostKeys`] about the key a
//! server presents *before* it sends any credential, and answers in [`Output`] and [`SshError`].
//!
//! ```
//! use ssh_session::{Auth, Command, Options, Target};
//!
//! let target = Target::new("server.example.com", 22, "deploy")?;
//! let options = Options::new(target).auth(Auth::password("secret"));
//! assert!(!format!("{options:?}").contains("secret"));
//!
//! let command = Command::new("wc -c").stdin("twelve bytes");
//! command.validate()?;
//! # Ok::<(), ssh_session::SshError>(())
//! ```
#![forbid(unsafe_code)]

mod auth;
mod command;
mod error;
mod error_text;
mod fingerprint;
mod home;
mod host_keys;
pub mod known_hosts;
pub mod net;
mod options;
mod output;
mod session;
mod target;
mod text;

pub use auth::Auth;
pub use command::{Command, Pty, Stdin};
pub use error::{
    ConnectProblem, HostKeyProblem, HostKeyRefused, KeyProblem, Kind, PartialOutput, Phase,
    SshError,
};
pub use fingerprint::{Fingerprint, HostKey};
pub use home::Home;
pub use host_keys::{HostKeyPolicy, HostKeys, PendingKey, Verdict};
pub use known_hosts::KnownHosts;
pub use options::{KeepaliveOptions, Options};
pub use output::{ExitStatus, Output};
pub use secrecy::{ExposeSecret, SecretString};
pub use session::{AsyncProcess, AsyncSession, Chunk, Process, Session};
pub use target::Target;
pub use text::printable;
