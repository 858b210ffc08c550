//! Hosts on the way.

use ssh_session::SshConfig;

use crate::Error;
use crate::setters::shared_setters;
use crate::settings::Settings;

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
#[derive(Debug, Clone)]
#[must_use = "a jump host does nothing until a builder has it"]
pub struct JumpHost {
    pub(crate) settings: Settings,
}

impl JumpHost {
    /// A host's name or address, as the host before it knows it, and the user to log in as.
    pub fn new(host: impl Into<String>, username: impl Into<String>) -> Self {
        Self { settings: Settings::new(host.into(), username.into()) }
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
        Ok(Self { settings: Settings::configured(alias.as_ref(), config)? })
    }

    shared_setters!("`None`");
}
