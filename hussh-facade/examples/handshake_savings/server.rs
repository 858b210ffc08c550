//! The server that is talked to: one of ours, or the user's.

use std::io;
use std::time::Duration;

use anyhow::{Result, anyhow};
use hussh::Target;
use test_servers::distant::{AnyServer, DistantServer};
use test_servers::embedded::EmbeddedServer;
use test_servers::sshd::Sshd;

use crate::arguments::Arguments;
use crate::login::Login;

/// How long sshd's log may lag behind.
const LOG_PATIENCE: Duration = Duration::from_secs(10);

/// A running server. Those of ours end when dropped, with their commands and files.
pub(crate) enum Server {
    /// Near, or behind what makes the way there longer.
    Ours(Box<DistantServer>),
    Own(Target),
}

impl Server {
    pub(crate) fn start(arguments: &Arguments) -> Result<Self> {
        if let Some(target) = &arguments.host {
            return Ok(Self::Own(target.clone()));
        }
        let server = start(arguments)?;
        let server = DistantServer::start(server, arguments.round_trip());
        let server = server.map_err(|error| anyhow!("cannot get the server ready: {error}"))?;
        Ok(Self::Ours(Box::new(server)))
    }

    /// How to log in to a server of ours. Its key is told beforehand, in a file that goes when the
    /// server does; the user's own known_hosts is left alone.
    pub(crate) fn login(&self) -> Option<Login> {
        let Self::Ours(place) = self else { return None };
        let server = place.server();
        let (host, port) = (place.addr().ip().to_string(), place.addr().port());
        let login = Login::to(&host, port, server.user());
        let login = match server {
            AnyServer::Embedded(server) => login.password(server.password()),
            _ => login.private_key(&server.identity(), None),
        };
        Some(login.known_hosts(place.known_hosts()).strict())
    }

    /// The logins a server of ours has seen, once it has also seen so many commands.
    pub(crate) fn counted(&self, commands: usize) -> io::Result<Option<usize>> {
        match self {
            Self::Ours(place) => match place.server() {
                AnyServer::Embedded(server) => Ok(Some(server.handshakes())),
                AnyServer::Sshd(server) => {
                    let truth =
                        server.wait_for(LOG_PATIENCE, |truth| truth.sessions >= commands)?;
                    Ok(Some(truth.authentications))
                }
                AnyServer::Dropbear(_) => Ok(None),
            },
            Self::Own(_) => Ok(None),
        }
    }

    pub(crate) fn name(&self) -> String {
        let place = match self {
            Self::Ours(place) => place,
            Self::Own(target) => return target.to_string(),
        };
        let name = if matches!(place.server(), AnyServer::Sshd(_)) { "sshd" } else { "embedded" };
        match place.round_trip() {
            Duration::ZERO => name.into(),
            round_trip => format!("{name} {} ms away", round_trip.as_millis()),
        }
    }
}

fn start(arguments: &Arguments) -> Result<AnyServer> {
    if arguments.sshd {
        // Stock limits but this one: sshd drops connections at random when more than ten log in at
        // once, which is just what many threads without a pool do.
        let startups = (2 * arguments.threads()).max(10);
        let server = Sshd::builder().max_startups(format!("{startups}:30:{}", 10 * startups));
        let server = server.start().map_err(|error| anyhow!("cannot start sshd: {error}"))?;
        return Ok(server.into());
    }
    let server = EmbeddedServer::start();
    Ok(server.map_err(|error| anyhow!("cannot start the server: {error}"))?.into())
}
