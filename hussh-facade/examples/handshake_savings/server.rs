//! The server that is talked to: one of ours, or the user's.

use std::time::Duration;
use std::{fs, io};

use anyhow::{Result, anyhow};
use hussh::Target;
use test_servers::embedded::EmbeddedServer;
use test_servers::keys::known_hosts_line;
use test_servers::proxy::FaultProxy;
use test_servers::sshd::Sshd;

use crate::arguments::Arguments;
use crate::login::Login;

/// How long sshd's log may lag behind.
const LOG_PATIENCE: Duration = Duration::from_secs(10);

/// A running server. Those of ours end when dropped, with their commands and files.
pub(crate) struct Server {
    kind: Kind,
    /// What stands before a server of ours to make the way there longer.
    network: Option<(FaultProxy, Duration)>,
}

enum Kind {
    Embedded(Box<EmbeddedServer>),
    Sshd(Box<Sshd>),
    Own(Target),
}

impl Server {
    pub(crate) fn start(arguments: &Arguments) -> Result<Self> {
        let kind = Kind::start(arguments)?;
        let address = match &kind {
            Kind::Embedded(server) => server.addr(),
            Kind::Sshd(server) => server.addr(),
            Kind::Own(_) => return Ok(Self { kind, network: None }),
        };
        let round_trip = arguments.round_trip();
        if round_trip.is_zero() {
            return Ok(Self { kind, network: None });
        }
        let proxy = FaultProxy::start(address)
            .map_err(|error| anyhow!("cannot start the proxy before the server: {error}"))?;
        proxy.delay(round_trip / 2);
        Ok(Self { kind, network: Some((proxy, round_trip)) })
    }

    /// How to log in to a server of ours. Its key is told beforehand, in a file that goes when the
    /// server does; the user's own known_hosts is left alone.
    pub(crate) fn login(&self) -> Result<Option<Login>> {
        let (folder, host_key, address) = match &self.kind {
            Kind::Embedded(server) => (server.dir(), server.host_public_key(), server.addr()),
            Kind::Sshd(server) => (server.dir(), server.host_public_key(), server.addr()),
            Kind::Own(_) => return Ok(None),
        };
        let address = self.network.as_ref().map_or(address, |(proxy, _)| proxy.addr());
        let to = |user| Login::to(&address.ip().to_string(), address.port(), user);
        let login = match &self.kind {
            Kind::Embedded(server) => to(server.user()).password(server.password()),
            Kind::Sshd(server) => to(server.user()).private_key(&server.identity(), None),
            Kind::Own(_) => return Ok(None),
        };
        let file = folder.join("known_hosts");
        fs::write(&file, format!("{}\n", known_hosts_line(address, host_key)))
            .map_err(|error| anyhow!("cannot write {}: {error}", file.display()))?;
        Ok(Some(login.known_hosts(&file).strict()))
    }

    /// The logins a server of ours has seen, once it has also seen so many commands.
    pub(crate) fn counted(&self, commands: usize) -> io::Result<Option<usize>> {
        match &self.kind {
            Kind::Embedded(server) => Ok(Some(server.handshakes())),
            Kind::Sshd(server) => {
                let truth = server.wait_for(LOG_PATIENCE, |truth| truth.sessions >= commands)?;
                Ok(Some(truth.authentications))
            }
            Kind::Own(_) => Ok(None),
        }
    }

    pub(crate) fn name(&self) -> String {
        let name = match &self.kind {
            Kind::Embedded(_) => "embedded".into(),
            Kind::Sshd(_) => "sshd".into(),
            Kind::Own(target) => target.to_string(),
        };
        match &self.network {
            Some((_, round_trip)) => format!("{name} {} ms away", round_trip.as_millis()),
            None => name,
        }
    }
}

impl Kind {
    fn start(arguments: &Arguments) -> Result<Self> {
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
}
