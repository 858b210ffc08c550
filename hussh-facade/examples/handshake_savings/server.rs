//! The server that is talked to: one of ours, or the user's.

use std::time::Duration;
use std::{fs, io};

use anyhow::{Result, anyhow};
use hussh::Target;
use testkit::embedded::EmbeddedServer;
use testkit::sshd::Sshd;

use crate::arguments::Arguments;
use crate::login::Login;

/// How long sshd's log may lag behind.
const LOG_PATIENCE: Duration = Duration::from_secs(10);

/// A running server. Those of ours end when dropped, with their commands and files.
pub(crate) enum Server {
    Embedded(Box<EmbeddedServer>),
    Sshd(Box<Sshd>),
    Own(Target),
}

impl Server {
    pub(crate) fn start(arguments: &Arguments) -> Result<Self> {
        if let Some(target) = &arguments.host {
            return Ok(Self::Own(target.clone()));
        }
        if arguments.sshd {
            // Stock limits but this one: sshd drops connections at random when more than ten log
            // in at once, which is just what many threads without a pool do.
            let startups = (2 * arguments.threads()).max(10);
            let server = Sshd::builder().max_startups(format!("{startups}:30:{}", 10 * startups));
            let server = server.start().map_err(|error| anyhow!("cannot start sshd: {error}"))?;
            return Ok(Self::Sshd(Box::new(server)));
        }
        let server = EmbeddedServer::start();
        let server = server.map_err(|error| anyhow!("cannot start the server: {error}"))?;
        Ok(Self::Embedded(Box::new(server)))
    }

    /// How to log in to a server of ours. Its key is told beforehand, in a file that goes when the
    /// server does; the user's own known_hosts is left alone.
    pub(crate) fn login(&self) -> Result<Option<Login>> {
        let (login, file, line) = match self {
            Self::Embedded(server) => (
                Login::to(&server.host(), server.port(), server.user()).password(server.password()),
                server.dir().join("known_hosts"),
                server.known_hosts_line(),
            ),
            Self::Sshd(server) => (
                Login::to(&server.host(), server.port(), server.user())
                    .private_key(&server.identity(), None),
                server.dir().join("known_hosts"),
                server.known_hosts_line(),
            ),
            Self::Own(_) => return Ok(None),
        };
        fs::write(&file, format!("{line}\n"))
            .map_err(|error| anyhow!("cannot write {}: {error}", file.display()))?;
        Ok(Some(login.known_hosts(&file).strict()))
    }

    /// The logins a server of ours has seen, once it has also seen so many commands.
    pub(crate) fn counted(&self, commands: usize) -> io::Result<Option<usize>> {
        match self {
            Self::Embedded(server) => Ok(Some(server.handshakes())),
            Self::Sshd(server) => {
                let truth = server.wait_for(LOG_PATIENCE, |truth| truth.sessions >= commands)?;
                Ok(Some(truth.authentications))
            }
            Self::Own(_) => Ok(None),
        }
    }

    pub(crate) fn name(&self) -> String {
        match self {
            Self::Embedded(_) => "embedded".into(),
            Self::Sshd(_) => "sshd".into(),
            Self::Own(target) => target.to_string(),
        }
    }
}
