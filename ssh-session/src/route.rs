//! How to get to a host.

use crate::{Options, ProxyCommand, SshError, Transport};

/// The way from here to a target.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Route {
    /// A TCP connection.
    #[default]
    Direct,
    /// Through these hosts in this order, each with its own user, credentials and host keys. Each
    /// is logged in to, and opens the connection to the next; the last one opens that to the
    /// target. How the first is reached says its own route; those of the others are direct.
    Jump(Vec<Options>),
    /// Over the standard input and output of a command.
    Command(ProxyCommand),
    /// Over connections that the caller makes.
    Transport(Transport),
}

impl Route {
    /// The longest chain: OpenSSH has no limit, but every hop is a whole session.
    pub const MAX_HOPS: usize = 16;

    pub(crate) fn validate(&self) -> Result<(), SshError> {
        let Self::Jump(hops) = self else { return Ok(()) };
        if hops.is_empty() {
            return Err(SshError::invalid("jump", "names no host"));
        }
        if hops.len() > Self::MAX_HOPS {
            let problem = format!("has more than {} hosts", Self::MAX_HOPS);
            return Err(SshError::invalid("jump", problem));
        }
        for (index, hop) in hops.iter().enumerate() {
            match hop.route {
                Self::Direct => {}
                Self::Command(_) | Self::Transport(_) if index == 0 => {}
                _ => {
                    return Err(SshError::invalid(
                        "jump",
                        format!(
                            "has a way of its own to {}; put its hosts into one list",
                            hop.target
                        ),
                    ));
                }
            }
            hop.validate()?;
        }
        Ok(())
    }
}
