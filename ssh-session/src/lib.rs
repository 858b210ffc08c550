//! The words that SSH backends share: whom to talk to, as whom, which host keys to believe, what
//! to run, what came back, and what went wrong.
//!
//! Nothing here waits for a peer. A backend is given [`Options`], asks a [`HostKeyCheck`] about the key a
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
pub mod becoming;
pub mod channels;
mod collected;
mod command;
mod crypto;
mod endpoint;
mod error;
mod error_text;
mod files;
pub mod gate;
mod process_id;
mod host_keys;
mod identity;
pub mod net;
mod opening;
mod options;
mod output;
mod pattern;
mod proxy;
mod pty;
mod proxy_process;
mod route;
pub mod scp;
mod session;
pub mod sftp;
pub mod shell;
mod signal;
pub mod ssh_config;
mod streams;
mod target;
mod text;
mod transport;
pub mod tunnel;
mod valid;

pub use auth::login;
pub use auth::{
    Answers, AskPassword, Auth, CertificateSource, KeyRules, MAX_ROUNDS, Methods, OpenedKey,
    Prompt, Question,
};
pub use becoming::{Become, BecomeProblem, BecomeRefused};
pub use collected::Collected;
pub use command::{Command, Request, Stdin};
pub use crypto::{Algorithms, Crypto, Lists, Offer, RekeyLimit, is_aead};
pub use endpoint::Endpoint;
pub use error::{
    ConnectProblem, FileError, KeyProblem, Kind, Outlook, PartialOutput, Phase, Side, SshError,
    TunnelError, TunnelProblem,
};
pub use files::small_text;
pub use host_keys::known_hosts::{self, KnownHosts};
pub use host_keys::{
    CertificateProblem, Fingerprint, FirstKey, FirstKeys, HostCertificate, HostKey,
    HostKeyAlgorithms, HostKeyCheck, HostKeyPolicy, HostKeyProblem, HostKeyRefused, HostKeys,
    KnownHostsCommand, NewKey, Pin, PresentedKey, SignatureAlgorithms, UNRECORDED, Verdict,
    exceeds_depth,
};
pub use identity::Identity;
pub use opening::{Opening, Proof};
pub use options::{KeepaliveOptions, Options};
pub use output::{ExitStatus, Output};
pub use process_id::ProcessId;
pub use proxy::ProxyCommand;
pub use proxy_process::ProxyProcess;
pub use pty::{Pty, TerminalMode};
pub use route::Route;
pub use secrecy::{ExposeSecret, SecretString};
pub use session::{AsyncProcess, AsyncSession, Chunk, Process, Session};
pub use signal::check_signal;
pub use ssh_config::{HostConfig, SshConfig};
pub use streams::{AsyncLines, Line, Lines, ProcessReader, ProcessWriter};
#[cfg(feature = "streams")]
pub use streams::{AsyncProcessReader, AsyncProcessWriter};
pub use target::Target;
pub use text::printable;
pub use transport::{OwnSocket, Transport};
#[cfg(feature = "streams")]
pub use transport::{OwnStream, Stream, Streaming};
