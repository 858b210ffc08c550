//! The user's `ssh_config(5)`, read as `ssh` reads it.
//!
//! ```
//! use ssh_session::SshConfig;
//!
//! let text = "Host web*\n  HostName %h.example.com\n  User deploy\n  ProxyJump bastion\n";
//! let config = SshConfig::parse(text, "/home/me/.ssh/config")?;
//! let host = config.host("web1")?;
//! assert_eq!((host.host_name.as_str(), host.user.as_str()), ("web1.example.com", "deploy"));
//! # Ok::<(), ssh_session::SshError>(())
//! ```
//!
//! * `Host`, `Match` and `Include` decide which lines count; of several values for one keyword the
//!   first counts. Obeyed are `HostName`, `Port`, `User`, `IdentityFile`, `IdentitiesOnly`,
//!   `IdentityAgent`, `CertificateFile`, `UserKnownHostsFile`, `GlobalKnownHostsFile`,
//!   `RevokedHostKeys`, `KnownHostsCommand`, `HashKnownHosts`, `UpdateHostKeys`, `StrictHostKeyChecking`, `HostKeyAlias`,
//!   `HostKeyAlgorithms`, `CASignatureAlgorithms`, `KexAlgorithms`, `Ciphers`, `MACs`,
//!   `PubkeyAcceptedAlgorithms`, `RequiredRSASize`, `RekeyLimit`, `PasswordAuthentication`,
//!   `PubkeyAuthentication`, `KbdInteractiveAuthentication`, `PreferredAuthentications`,
//!   `NumberOfPasswordPrompts` (0; more than one is never asked), `ServerAliveInterval`,
//!   `ServerAliveCountMax`, `ConnectTimeout`, `ProxyJump`, `ProxyCommand`, `RefuseConnection`,
//!   `Tag` and `IgnoreUnknown`.
//! * `AddressFamily`, `BindAddress`, `BindInterface`, `CanonicalizeHostname`, `CheckHostIP`
//!   and `ProxyUseFdpass` are errors, with file and line, where a session is
//!   to be opened and they say something else than their default: skipping them would mean to trust
//!   more than `ssh`, to be less safe, or to arrive elsewhere.
//! * `VerifyHostKeyDNS` has no name server asked, and so nothing trusted, but turns the default of
//!   `UpdateHostKeys` off, as in `ssh`.
//! * Every other keyword of OpenSSH is skipped: it asks for what is not done here, and so changes
//!   nothing (`keywords.rs` says why, for each). A word that is
//!   none is an error with its file and line, as it is for `ssh`, since it may be a misspelt
//!   `ProxyJump` and the way without it the wrong one; `IgnoreUnknown` lets it be.
//! * No command is run to read a file. Where a line depends on `Match exec`, or on another
//!   criterion that has no answer here, reading the host's configuration fails; behind a criterion
//!   that does not match they do no harm.
//! * No name server is asked to read a file. `Match final` gets its second pass.
//! * A file that includes others deeper than 16 levels, or more than 512 in all, or one larger
//!   than 1 MiB, is an error. So is an included file that others can write to, as in `ssh`.
//!
//! Why not the `ssh2-config` crate (0.9), which is well kept: it knows no `Match`, replaces no
//! tokens, and has no values for `ProxyCommand`, `IdentitiesOnly`, `HostKeyAlias`,
//! `StrictHostKeyChecking`, `ServerAliveCountMax` and the known_hosts files. Who connects without
//! those arrives at another host, or believes another key, than `ssh` does with the same file. The
//! tests compare this reading with `ssh -G`.

mod condition;
mod destination;
mod evaluate;
mod file;
mod host;
mod keywords;
mod local;
mod options;
mod paths;
mod setting;
pub(crate) mod tokens;
mod value;
pub(crate) mod words;

use std::path::Path;

pub use destination::Destination;
pub use host::{HostConfig, IdentityAgent, Proxy};
pub use value::StrictHostKeyChecking;
pub(crate) use value::{rekey_bytes, time};

use crate::SshError;
use evaluate::Evaluation;
use file::{File, Owner, Reader};
use local::Local;

/// Configuration files, read once. Looking hosts up reads nothing more.
#[derive(Debug, Clone)]
pub struct SshConfig {
    /// The user's goes before the system's.
    files: Vec<File>,
    local: Local,
}

impl SshConfig {
    /// The user's `~/.ssh/config`, then `/etc/ssh/ssh_config`. Either may be missing.
    ///
    /// # Errors
    ///
    /// [`SshError::Config`] if one is there and cannot be read, or has a line that makes no sense,
    /// or if somebody else can write to the user's.
    pub fn user() -> Result<Self, SshError> {
        let local = Local::here();
        let mut files = Vec::new();
        if local.home.is_absolute() {
            let path = local.home.join(".ssh/config");
            files.extend(Reader::new(&local, Owner::User).read(&path, true)?);
        }
        let path = Path::new("/etc/ssh/ssh_config");
        files.extend(Reader::new(&local, Owner::System).read(path, false)?);
        Ok(Self { files, local })
    }

    /// One file instead of the user's and the system's, as `ssh -F` takes it.
    ///
    /// # Errors
    ///
    /// [`SshError::Config`] if it is missing or cannot be read, or has a line that makes no sense.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, SshError> {
        let (path, local) = (path.as_ref(), Local::here());
        let file = Reader::new(&local, Owner::User).read(path, false)?;
        let file = file.ok_or_else(|| SshError::config(path, 0, "does not exist"))?;
        Ok(Self { files: vec![file], local })
    }

    /// A text as if it were the content of the file at `path`, which is not read.
    ///
    /// # Errors
    ///
    /// [`SshError::Config`] if a line makes no sense, or a file that it includes cannot be read.
    pub fn parse(text: impl AsRef<[u8]>, path: impl AsRef<Path>) -> Result<Self, SshError> {
        let local = Local::here();
        let file = Reader::new(&local, Owner::User).parse(path.as_ref(), text.as_ref())?;
        Ok(Self { files: vec![file], local })
    }

    /// What the files say about a host: an alias, `user@alias` or `ssh://user@alias:port`, as on
    /// the command line of `ssh`.
    ///
    /// # Errors
    ///
    /// [`SshError::Config`] if a line about it makes no sense or cannot be answered,
    /// [`SshError::InvalidInput`] if the alias is none.
    pub fn host(&self, alias: &str) -> Result<HostConfig, SshError> {
        let invalid = |problem| SshError::invalid("host", format!("is not usable: {problem}"));
        let asked = if alias.starts_with("ssh://") {
            Destination::parse(alias).map_err(invalid)?
        } else {
            let (user, host) = match alias.rsplit_once('@') {
                Some((user, host)) => (Some(user.to_owned()), host),
                None => (None, alias),
            };
            crate::valid::host(host).map_err(invalid)?;
            user.as_deref().map_or(Ok(()), crate::valid::user).map_err(invalid)?;
            Destination { user, host: host.to_owned(), port: None }
        };
        self.destination(&asked, None)
    }

    /// What the files say about a host whose user, port and, with `jump`, whose way there are given.
    pub(crate) fn destination(
        &self,
        asked: &Destination,
        jump: Option<&[Destination]>,
    ) -> Result<HostConfig, SshError> {
        let mut evaluation = Evaluation::new(&self.local, asked, jump);
        evaluation.run(&self.files)?;
        evaluation.into_host()
    }
}

/// Text of a file, fit to be shown in an error.
fn shown(text: &str) -> String {
    crate::printable(text.as_bytes())
}
