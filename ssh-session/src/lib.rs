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
mod certificate;
mod command;
mod crypto;
mod endpoint;
mod error;
mod error_text;
mod fingerprint;
mod from_config;
mod home;
mod host_keys;
mod identity;
pub mod known_hosts;
pub mod login;
pub mod net;
mod opening;
mod options;
mod output;
mod pattern;
mod prompt;
mod proxy;
mod proxy_process;
mod refused;
mod route;
mod session;
pub mod ssh_config;
mod target;
mod text;
mod valid;

pub use auth::{Auth, CertificateSource};
pub use certificate::{CertificateProblem, HostCertificate, PresentedKey};
pub use command::{Command, Pty, Stdin};
pub use crypto::{Algorithms, Crypto, Lists, Offer, is_aead};
pub use endpoint::Endpoint;
pub use error::{ConnectProblem, KeyProblem, Kind, PartialOutput, Phase, SshError};
pub use fingerprint::{Fingerprint, HostKey, is_deep};
pub use home::Home;
pub use host_keys::{HostKeyPolicy, HostKeys, PendingKey, Preferences, Verdict};
pub use identity::Identity;
pub use known_hosts::KnownHosts;
pub use opening::Opening;
pub use options::{KeepaliveOptions, Options};
pub use output::{ExitStatus, Output};
pub use prompt::{Answers, AskPassword, Prompt, Question};
pub use proxy::ProxyCommand;
pub use proxy_process::ProxyProcess;
pub use refused::{HostKeyProblem, HostKeyRefused};
pub use route::Route;
pub use secrecy::{ExposeSecret, SecretString};
pub use session::{AsyncProcess, AsyncSession, Chunk, Process, Session};
pub use ssh_config::{HostConfig, SshConfig};
pub use target::Target;
pub use text::printable;
