//! Hosts on the way.

use ssh_session::{Options, Route, SshConfig, SshError};

use super::Builder;
use crate::Error;

/// A host that connections go through, with its own user, credentials and host keys. Nothing is run
/// there; its sshd has to allow TCP forwarding.
///
/// ```no_run
/// use hussh::{ConnectionPool, JumpHost};
///
/// let bastion = JumpHost::new("bastion.example.com", "jump").private_key("id_bastion", None);
/// let pool = ConnectionPool::builder("inside.example.com", "deploy")
///     .password("...")
///     .jump(bastion)
///     .build()?;
/// # Ok::<(), hussh::Error>(())
/// ```
pub type JumpHost = Builder<OnTheWay>;

/// Says of a [`Builder`] that it is a [`JumpHost`].
#[derive(Debug)]
pub enum OnTheWay {}

impl JumpHost {
    /// A host's name or address, as the host before it knows it, and the user to log in as.
    pub fn new(host: impl Into<String>, username: impl Into<String>) -> Self {
        Self::of(host, username)
    }

    /// What the user's `ssh_config` says about a host, with the way there.
    ///
    /// # Errors
    ///
    /// As [`AsyncConnection::from_ssh_config`](crate::AsyncConnection::from_ssh_config).
    pub fn from_ssh_config(alias: impl AsRef<str>) -> Result<Self, Error> {
        Self::from_config(alias, &SshConfig::user()?)
    }

    /// As [`from_ssh_config`](Self::from_ssh_config), with a configuration of your choice, which may
    /// serve for many hosts.
    ///
    /// # Errors
    ///
    /// Whatever in it cannot be used, with file and line.
    pub fn from_config(alias: impl AsRef<str>, config: &SshConfig) -> Result<Self, Error> {
        Self::configured(alias.as_ref(), config)
    }

    /// Adds the host to the end of a chain, behind those that it is reached through.
    pub(super) fn append_to(self, chain: &mut Vec<Options>) -> Result<(), SshError> {
        let mut options = self.unchecked()?;
        if let Route::Jump(before) = &mut options.route {
            chain.append(before);
            options.route = Route::Direct;
        }
        chain.push(options);
        Ok(())
    }
}
